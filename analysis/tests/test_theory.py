"""The closed forms against their derivation, and against every context where these are few."""

import itertools
import math
from functools import cache, partial

import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import symbolic, theory
from psp_contexts import (
    BinaryContexts,
    BlockRotationContexts,
    ComplexContexts,
    IdentityContexts,
    KroneckerRotationContexts,
    LocalMixContexts,
    OnePowerContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
)

exact = settings(deadline=None, derandomize=True, database=None, max_examples=15)

Block3 = partial(BlockRotationContexts, block_size=3)
Block1 = partial(BlockRotationContexts, block_size=1)
LocalMix0 = partial(LocalMixContexts, neighbours=0)
LocalMix2 = partial(LocalMixContexts, neighbours=2)

# Family, dim: small enough to be written out, with every size of rotation.
CASES = [
    (IdentityContexts, 3),
    (BinaryContexts, 1),
    (BinaryContexts, 4),
    (ComplexContexts, 3),
    (OnePowerContexts, 3),
    (LocalMixContexts, 3),
    (LocalMix0, 2),
    (LocalMix2, 2),
    (RotationContexts, 1),
    (RotationContexts, 2),
    (RotationContexts, 3),
    (BlockRotationContexts, 4),
    (Block1, 3),
    (Block3, 6),
    (KroneckerRotationContexts, 1),
    (KroneckerRotationContexts, 4),
    (KroneckerRotationContexts, 6),
    (PermutationContexts, 1),
    (PermutationContexts, 3),
    (PermutationContexts, 4),
    (SignedPermutationContexts, 1),
    (SignedPermutationContexts, 3),
]
PHASED = [case for case in CASES if case[0](case[1], 2, seed=0).is_complex]
MOMENTS = ["mean", "second_moment", "pseudo_moment", "fourth_moment"]


def name(case):
    family, dim = case
    return f"{getattr(family, 'func', family).__name__}{dim}"


@cache
def derived(moment, family, dim, offset=1):
    """The derivation as a function of numbers w0, … and x0, …."""
    contexts = family(dim, 2, seed=0)
    if moment == "pseudo_moment" and not contexts.is_complex:
        return derived("second_moment", family, dim, offset)
    expression = getattr(symbolic, moment)(contexts, offset=offset)
    return sp.lambdify(list(itertools.chain(*symbolic.vectors(dim))), expression, "math")


def whole_vectors(dim):
    entries = st.lists(st.integers(-3, 3), min_size=dim, max_size=dim)
    return st.tuples(entries, entries)


def check(moment, family, dim, offset=1):
    of_offset = {} if moment == "fourth_moment" else {"offset": offset}

    @exact
    @given(whole_vectors(dim))
    def run(vectors):
        w, x = (torch.tensor(v, dtype=torch.float64) for v in vectors)
        value = getattr(theory, moment)(family, w, x, **of_offset)
        expected = derived(moment, family, dim, offset)(*vectors[0], *vectors[1])
        assert value.item() == pytest.approx(expected, rel=1e-10, abs=1e-10)

    run()


@pytest.mark.parametrize(
    ("case", "moment"),
    [
        (case, moment)
        for case, moment in itertools.product(CASES, MOMENTS)
        # That one has a million terms; test_retrieval samples it instead.
        if (moment, *case) != ("fourth_moment", KroneckerRotationContexts, 6)
    ],
    ids=lambda value: value if isinstance(value, str) else name(value),
)
def test_closed_form_equals_derivation(case, moment):
    family, dim = case
    unknown = (PermutationContexts, LocalMixContexts, LocalMix0, LocalMix2)
    if moment == "fourth_moment" and family in unknown:
        with pytest.raises(NotImplementedError, match=r"fourth moment of family \w+; estimate it"):
            theory.fourth_moment(family, torch.ones(dim), torch.ones(dim))
    else:
        check(moment, family, dim)


@pytest.mark.parametrize("offset", [-7, -2, 2, 3, 4])
@pytest.mark.parametrize("case", PHASED, ids=name)
def test_closed_form_equals_derivation_at_other_offsets(case, offset):
    for moment in ("mean", "second_moment", "pseudo_moment"):
        check(moment, *case, offset=offset)


@pytest.mark.parametrize("case", PHASED, ids=name)
def test_contexts_are_far_apart_by_default(case):
    w, x = torch.tensor([1.0, 2.0, -1.0]), torch.tensor([3.0, 1.0, 1.0])
    for moment in ("mean", "second_moment", "pseudo_moment", "real_second_moment"):
        of = partial(getattr(theory, moment), case[0], w, x)
        assert torch.equal(of(), of(offset=1000))


@pytest.mark.parametrize(
    "case",
    [
        *PHASED,
        (BinaryContexts, 3),
        (SignedPermutationContexts, 2),
        (KroneckerRotationContexts, 4),
        (PermutationContexts, 3),
    ],
    ids=name,
)
def test_covariance_of_two_stored_models_equals_derivation(case):
    family, dim = case
    contexts = family(dim, 2, seed=0)
    v = sp.symbols(f"v0:{dim}", real=True)
    w, x = symbolic.vectors(dim)
    numbers = (range(1, dim + 1), range(-1, dim - 1), [2, -1, 1, 3][:dim])
    values = [dict(zip(s, n, strict=True)) for s, n in zip((w, v, x), numbers, strict=True)]
    point = {**values[0], **values[1], **values[2]}
    tensors = [torch.tensor(list(n), dtype=torch.float64) for n in numbers]
    for offset, other in ((1, -1), (1, 2), (-3, 3), (5, -1), (-2, -3)):
        means = [
            theory.mean(family, row, tensors[2], offset=at).real.item()
            for row, at in ((tensors[0], offset), (tensors[1], other))
        ]
        product = symbolic.real_product_moment(contexts, offset=offset, other_offset=other)
        expected = float(product.subs(point)) - means[0] * means[1]
        value = theory.real_covariance(
            family, tensors[0], tensors[2], offset=offset, other=tensors[1], other_offset=other
        )
        assert value.item() == pytest.approx(expected, abs=1e-10)


def every_context(family, dim):
    """All contexts of a finite family, as matrices (count, dim, dim)."""
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=dim)), dtype=torch.float64)
    orders = torch.eye(dim, dtype=torch.float64)[
        torch.tensor(list(itertools.permutations(range(dim))))
    ]
    if family is BinaryContexts:
        return torch.diag_embed(signs)
    if family is PermutationContexts:
        return orders
    return (signs[:, None, :, None] * orders).flatten(0, 1)


FINITE = [
    *((BinaryContexts, dim) for dim in (1, 2, 3, 5)),
    *((PermutationContexts, dim) for dim in (1, 2, 3, 4)),
    *((SignedPermutationContexts, dim) for dim in (1, 2, 3)),
]


@pytest.mark.parametrize("case", FINITE, ids=name)
def test_closed_form_is_the_average_over_every_pair_of_contexts(case):
    family, dim = case
    contexts = every_context(family, dim)

    @exact
    @given(whole_vectors(dim))
    def run(vectors):
        w, x = (torch.tensor(v, dtype=torch.float64) for v in vectors)
        z = (contexts @ w) @ (contexts @ x).T  # wᵀ C_kᵀ C_s x for every k and s
        averages = {"mean": z, "second_moment": z**2, "fourth_moment": z**4}
        for moment, values in averages.items():
            if (family, moment) != (PermutationContexts, "fourth_moment"):
                value = getattr(theory, moment)(family, w, x)
                torch.testing.assert_close(value, values.mean(), rtol=1e-10, atol=1e-10)

    run()


@pytest.mark.parametrize(
    "case",
    [(BinaryContexts, 2), (PermutationContexts, 3), (SignedPermutationContexts, 2)],
    ids=name,
)
def test_two_models_interfere_independently_with_a_third(case):
    contexts = every_context(*case)
    count = len(contexts)
    pairs = torch.zeros(count, count)
    for read in contexts:
        relative = contexts.mT @ read
        which = (relative[:, None] == contexts).all((-2, -1)).int().argmax(1)
        pairs[which[:, None], which] += 1
    assert bool((pairs == count).all())  # every pair (U_k, U_l) as often as any other


@exact
@given(whole_vectors(6), st.floats(0, 30))
def test_tail_bound_holds_over_every_sign_pattern(vectors, threshold):
    w, x = (torch.tensor(v, dtype=torch.float64) for v in vectors)
    z = every_context(BinaryContexts, 6).diagonal(dim1=-2, dim2=-1) @ (w * x)
    share = (z.abs() >= threshold).double().mean()
    assert share <= theory.tail_bound(BinaryContexts, w, x, threshold)


def test_a_tail_from_zero_on_is_certain_even_without_interference():
    nothing, something = torch.zeros(3), torch.ones(3)
    bounds = theory.tail_bound(
        BinaryContexts, torch.stack([nothing, something])[:, None], something, torch.tensor([0, 8])
    )
    assert bounds[0].tolist() == [1, 0]
    assert bounds[1].tolist() == [1, pytest.approx(2 * math.exp(-64 / 6))]
    thresholds = torch.tensor([-8.0, math.inf, math.nan])
    bounds = theory.tail_bound(BinaryContexts, something, something, thresholds)
    assert bounds[:2].tolist() == [1, 0]
    assert bounds[2].isnan()


def test_complex_weights_and_inputs_by_exact_quadrature():
    # Averages over the 5 fifth roots of unity are those over the circle, up to fourth powers.
    roots = torch.polar(torch.ones(5), torch.arange(5) * (2 * torch.pi / 5)).to(torch.complex128)
    u = torch.cartesian_prod(roots, roots, roots)
    generator = torch.Generator().manual_seed(0)
    w, x = torch.randn(2, 3, generator=generator, dtype=torch.complex128)
    z = u @ (w * x)
    for family in (ComplexContexts, OnePowerContexts):
        for moment, values in (
            (theory.mean, z),
            (theory.second_moment, z.abs() ** 2),
            (theory.pseudo_moment, z**2),
            (theory.real_second_moment, z.real**2),
            (theory.fourth_moment, z.abs() ** 4),
        ):
            torch.testing.assert_close(moment(family, w, x), values.mean(), rtol=1e-6, atol=1e-6)
    for row, inputs in ((w, x), (w.real, x), (w, x.real), (w.real, x.real)):
        product = (u @ (row * inputs + 0j)).real * (u.conj() @ (w * inputs)).real
        covariance = theory.real_covariance(
            OnePowerContexts, row, inputs, offset=1, other=w, other_offset=-1
        )
        torch.testing.assert_close(covariance, product.mean(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dim", [1, 2, 5, 64])
def test_rotations_of_any_size_have_the_moments_of_the_sphere(dim):
    generator = torch.Generator().manual_seed(dim)
    w, x = torch.randn(2, dim, generator=generator, dtype=torch.float64)
    scale = w.norm() * x.norm()
    for order, moment in ((2, theory.second_moment), (4, theory.fourth_moment)):
        expected = scale**order * float(symbolic.sphere_moment(order, dim))
        torch.testing.assert_close(moment(RotationContexts, w, x), expected)


def test_moments_broadcast():
    w, x = torch.randn(5, 1, 6), torch.randn(3, 6)
    for family in (BinaryContexts, BlockRotationContexts, PermutationContexts, ComplexContexts):
        whole = theory.second_moment(family, w, x)
        assert whole.shape == (5, 3)
        one = theory.second_moment(family, w[4, 0], x[1])
        torch.testing.assert_close(whole[4, 1], one)


def test_options_of_contexts_change_their_moments():
    w, x = torch.eye(6)[0], torch.eye(6)[1]
    for size, expected in ((1, 0.0), (2, 0.5), (3, 1 / 3), (6, 1 / 6)):
        contexts = BlockRotationContexts(6, 2, seed=0, block_size=size)
        assert theory.second_moment(contexts, w, x).item() == pytest.approx(expected)


def test_families_without_a_closed_form_are_refused():
    class Mine(BinaryContexts):
        pass

    one = torch.ones(4)
    with pytest.raises(
        NotImplementedError, match=r"no moments are known for Mine\(.*; measure it with"
    ):
        theory.mean(Mine, one, one)
    with pytest.raises(NotImplementedError, match=r"for BinaryContexts.* learned=True"):
        theory.mean(BinaryContexts(4, 2, seed=0, learned=True), one, one)
    with pytest.raises(NotImplementedError, match="tail_bound holds for BinaryContexts, not for"):
        theory.tail_bound(RotationContexts, one, one, 1.0)
    with pytest.raises(ValueError, match=r"length 4, but contexts are BinaryContexts\(dim=5"):
        theory.mean(BinaryContexts(5, 2, seed=0), one, one)
    with pytest.raises(TypeError, match=r"is real, but w is .* pass .real, then .imag"):
        theory.mean(BinaryContexts, one.to(torch.complex64), one)


@pytest.mark.parametrize("offset", [0, 2**62, -(10**30)])
def test_one_context_or_no_distance_is_refused(offset):
    one = torch.ones(4)
    with pytest.raises(ValueError, match=f"offset={offset} is not a distance between two"):
        theory.second_moment(LocalMixContexts, one, one, offset=offset)
    with pytest.raises(ValueError, match=f"other_offset={offset} is not a distance between two"):
        theory.real_covariance(OnePowerContexts, one, one, offset=1, other=one, other_offset=offset)


def test_a_covariance_of_one_model_is_refused():
    one = torch.ones(4)
    with pytest.raises(ValueError, match="offset and other_offset are both 2; for one model"):
        theory.real_covariance(OnePowerContexts, one, one, offset=2, other=one, other_offset=2)


@pytest.mark.usefixtures("without_shape_annotations")
def test_vectors_of_different_lengths_are_refused_instead_of_broadcast():
    one = torch.ones(4)
    for x in (torch.ones(5), torch.ones(3, 1), torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"the same dim, but the shapes are w \(4,\), x"):
            theory.mean(BinaryContexts, one, x)
    with pytest.raises(ValueError, match=r"w \(4,\), x \(4,\), other \(1,\)"):
        theory.real_covariance(OnePowerContexts, one, one, offset=1, other=one[:1], other_offset=2)
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        theory.mean(LocalMixContexts, one, one, offset=0.5)
