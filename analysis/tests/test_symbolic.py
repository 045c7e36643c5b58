import math

import pytest
import sympy as sp
import torch

from analysis import symbolic
from analysis.symbolic._phases import define_phases
from analysis.symbolic._random import RandomSymbols
from analysis.symbolic._real import define
from psp_contexts import (
    BinaryContexts,
    BlockRotationContexts,
    ComplexContexts,
    Contexts,
    IdentityContexts,
    KroneckerRotationContexts,
    LocalMixContexts,
    OnePowerContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
)


def norms(dim):
    w, x = symbolic.vectors(dim)
    return sum(v**2 for v in w), sum(v**2 for v in x)


def angles_of(matrix: torch.Tensor) -> list[float]:
    """cos, sin and reflection of a matrix of O(2)."""
    return [matrix[0, 0].item(), matrix[1, 0].item(), matrix.det().item()]


def drawn_numbers(contexts: Contexts, index: int) -> list[float]:
    """The random numbers of a context in the order in which its definition asks for them."""
    numbers = contexts.draw(index)
    match contexts:
        case BinaryContexts():
            return numbers[0].tolist()
        case RotationContexts():
            return angles_of(numbers[0])
        case BlockRotationContexts():
            return [number for block in numbers[0] for number in angles_of(block)]
        case KroneckerRotationContexts():
            a, b, signs = numbers
            return [*angles_of(a), *angles_of(b), *signs.tolist()]
        case SignedPermutationContexts():
            return numbers[0].sign().tolist()
        case _:
            return []


@pytest.mark.parametrize(
    "contexts",
    [
        IdentityContexts(3, 9, seed=0),
        BinaryContexts(3, 9, seed=0),
        RotationContexts(2, 9, seed=0),
        BlockRotationContexts(4, 9, seed=0),
        KroneckerRotationContexts(4, 9, seed=0),
        PermutationContexts(3, 9, seed=0),
        SignedPermutationContexts(3, 9, seed=0),
    ],
    ids=lambda contexts: type(contexts).__name__,
)
def test_real_definitions_are_what_the_package_draws(contexts):
    random = RandomSymbols()
    alternatives = define(contexts, random)
    for index in range(9):
        values = dict(zip(random.symbols, drawn_numbers(contexts, index), strict=True))
        candidates = [
            torch.tensor(sp.Matrix(rows).subs(values).tolist(), dtype=torch.float64)
            for rows in alternatives
        ]
        matrix = contexts.matrix(index)
        assert sum(torch.allclose(candidate, matrix, atol=1e-9) for candidate in candidates) == 1


def test_phase_definitions_are_what_the_package_draws():
    # With neighbours=0 the phases that are mixed can be seen one by one.
    mixed = LocalMixContexts(5, 9, seed=0, neighbours=2)
    single = LocalMixContexts(5, 13, seed=0, neighbours=0)
    for index in range(9):
        expected = torch.zeros(5, dtype=torch.float64)
        for position, share in define_phases(mixed, index).items():
            expected += float(share) * single.draw(position + 2)[0]
        torch.testing.assert_close(mixed.draw(index)[0], expected)
    powers = OnePowerContexts(5, 9, seed=0)
    for index in range(9):
        coefficient = float(define_phases(powers, index)["shared"])
        expected = torch.polar(torch.ones(5).double(), coefficient * powers.shared_phases())
        torch.testing.assert_close(powers.matrix(index).diagonal(), expected)
    assert define_phases(ComplexContexts(2, 9, seed=0), 7) == {7: 1}


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_integrals_over_rotations_and_over_the_sphere_agree(dim):
    contexts = RotationContexts(dim, 2, seed=0)
    w2, x2 = norms(dim)
    for order, moment in ((2, symbolic.second_moment), (4, symbolic.fourth_moment)):
        sphere = (w2 * x2) ** (order // 2) * symbolic.sphere_moment(order, dim)
        assert sp.expand(moment(contexts) - sphere) == 0


def test_sphere_moments_are_rational_functions_of_the_dimension():
    dim = sp.Symbol("M", positive=True)
    assert symbolic.sphere_moment(0, dim) == 1
    assert symbolic.sphere_moment(1, dim) == symbolic.sphere_moment(3, dim) == 0
    assert sp.simplify(symbolic.sphere_moment(2, dim) - 1 / dim) == 0
    assert sp.simplify(symbolic.sphere_moment(4, dim) - 3 / (dim * (dim + 2))) == 0
    assert sp.simplify(symbolic.sphere_moment(6, dim) - 15 / (dim * (dim + 2) * (dim + 4))) == 0


@pytest.mark.parametrize(
    "contexts",
    [
        SignedPermutationContexts(1, 2, seed=0),
        SignedPermutationContexts(2, 2, seed=0),
        SignedPermutationContexts(3, 2, seed=0),
        KroneckerRotationContexts(4, 2, seed=0),
        KroneckerRotationContexts(6, 2, seed=0),
    ],
    ids=lambda contexts: f"{type(contexts).__name__}{contexts.dim}",
)
def test_cheap_families_have_haars_second_moment_for_any_w_and_x(contexts):
    w2, x2 = norms(contexts.dim)
    haar = w2 * x2 * symbolic.sphere_moment(2, contexts.dim)
    assert symbolic.mean(contexts) == 0
    assert sp.expand(symbolic.second_moment(contexts) - haar) == 0


@pytest.mark.parametrize(
    "contexts",
    [SignedPermutationContexts(3, 2, seed=0), KroneckerRotationContexts(4, 2, seed=0)],
    ids=lambda contexts: type(contexts).__name__,
)
def test_cheap_families_have_heavier_tails_than_haar_where_energy_is_on_one_unit(contexts):
    w, x = symbolic.vectors(contexts.dim)
    one_unit = {**dict.fromkeys([*w, *x], 0), w[0]: 1, x[0]: 1}
    fourth = symbolic.fourth_moment(contexts).subs(one_unit)
    assert fourth > symbolic.sphere_moment(4, contexts.dim)


def test_permutations_are_biased():
    w, x = symbolic.vectors(3)
    contexts = PermutationContexts(3, 2, seed=0)
    assert sp.expand(symbolic.mean(contexts) - sum(w) * sum(x) / 3) == 0
    centred = {w[2]: -w[0] - w[1]}
    assert sp.expand(symbolic.mean(contexts).subs(centred)) == 0


def test_opposite_offsets_of_one_power_are_coherent_and_no_others():
    contexts = OnePowerContexts(3, 2, seed=0)
    w, x = symbolic.vectors(3)
    v = sp.symbols("v0:3", real=True)
    coherent = sum(w[j] * v[j] * x[j] ** 2 for j in range(3)) / 2
    for offset in (-2, 1, 3):
        for other in (-3, -1, 2):
            product = symbolic.real_product_moment(contexts, offset=offset, other_offset=other)
            assert sp.expand(product - coherent * int(offset == -other)) == 0
    independent = ComplexContexts(3, 2, seed=0)
    assert symbolic.real_product_moment(independent, offset=3, other_offset=-3) == 0


def test_mixed_phases_leave_a_mean_overlap():
    contexts = LocalMixContexts(1, 2, seed=0)
    w, x = symbolic.vectors(1)
    for offset, value in ((1, 0.68), (2, 0.47), (3, 0.32), (50, 0.32)):
        overlap = symbolic.mean(contexts, offset=offset) / (w[0] * x[0])
        sinc = sp.sin(sp.pi / 3) / (sp.pi / 3)
        assert sp.simplify(overlap - sinc ** (2 * min(offset, 3))) == 0
        assert float(overlap) == pytest.approx(value, abs=0.005)
    assert symbolic.mean(LocalMixContexts(1, 2, seed=0, neighbours=0)) == 0


def test_a_family_or_a_size_without_a_definition_is_refused():
    class Mine(RotationContexts):
        pass

    with pytest.raises(NotImplementedError, match="no definition of the family Mine"):
        symbolic.mean(Mine(2, 2, seed=0))
    with pytest.raises(NotImplementedError, match=r"not O\(4\); use a smaller rotation"):
        symbolic.mean(RotationContexts(4, 2, seed=0))
    assert math.isclose(float(symbolic.sphere_moment(2, 4)), 0.25)


@pytest.mark.parametrize(
    "contexts",
    [
        BinaryContexts(10, 2, seed=0),
        PermutationContexts(6, 2, seed=0),
        LocalMixContexts(99, 2, seed=0),
    ],
    ids=lambda contexts: type(contexts).__name__,
)
def test_dims_with_too_many_terms_are_refused(contexts):
    with pytest.raises(ValueError, match=r"use analysis\.theory for larger dims"):
        symbolic.second_moment(contexts)


def test_offsets_of_one_context_or_one_model_are_refused():
    contexts = OnePowerContexts(2, 2, seed=0)
    with pytest.raises(ValueError, match="offset=0 is not a distance between two"):
        symbolic.mean(contexts, offset=0)
    with pytest.raises(ValueError, match="other_offset=0 is not a distance between two"):
        symbolic.real_product_moment(contexts, offset=1, other_offset=0)
    with pytest.raises(ValueError, match="are both 2; for one model, use second_moment"):
        symbolic.real_product_moment(contexts, offset=2, other_offset=2)


def test_impossible_spheres_are_refused():
    for dim in (0, -1, sp.Integer(0), sp.oo):
        with pytest.raises(ValueError, match=f"dim={dim} must be positive"):
            symbolic.sphere_moment(2, dim)
    with pytest.raises(ValueError, match="order=-2 must be at least 0"):
        symbolic.sphere_moment(-2, 3)


@pytest.mark.reliability
def test_a_string_as_dimension_is_not_evaluated(tmp_path):
    proof = tmp_path / "code was run"
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        symbolic.sphere_moment(2, f"__import__('pathlib').Path({str(proof)!r}).touch()")
    assert not proof.exists()
