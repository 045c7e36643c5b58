"""Properties of single families, and the arguments of all; the laws are in test_laws.py."""

import json
import math

import numpy as np
import pytest
import torch

from psp_contexts import (
    BinaryContexts,
    BlockRotationContexts,
    ComplexContexts,
    KroneckerRotationContexts,
    LocalMixContexts,
    OnePowerContexts,
    PermutationContexts,
    RotationContexts,
)


def test_a_prime_dim_has_no_kronecker_factors():
    with pytest.raises(ValueError, match=r"dim=7 is prime.*use a composite dim, or SignedPerm"):
        KroneckerRotationContexts(7, 2, seed=0)


def test_blocks_must_fit():
    with pytest.raises(ValueError, match="block_size=4 does not divide dim=6; use a divisor"):
        BlockRotationContexts(6, 2, seed=0, block_size=4)
    with pytest.raises(ValueError, match=r"dim=7 is prime.*use a composite dim, pass block_size"):
        BlockRotationContexts(7, 2, seed=0)
    assert (
        BlockRotationContexts(7, 2, seed=0, block_size=1)
        .matrix(0)
        .abs()
        .equal(torch.eye(7).double())
    )


def test_permuted_blocks_keep_the_order_of_their_units():
    with pytest.raises(ValueError, match="block_size=4 does not divide dim=6; use a divisor"):
        PermutationContexts(6, 2, seed=0, block_size=4)
    x = torch.arange(12.0)
    contexts = PermutationContexts(12, 10, seed=0, block_size=3)
    for context in range(10):
        blocks = contexts.bind(x, context).view(4, 3)
        assert torch.equal(blocks - blocks[:, :1], torch.arange(3.0).expand(4, 3))
        assert blocks[:, 0].sort().values.tolist() == [0, 3, 6, 9]
    assert contexts.parameters_per_context == 4
    assert contexts.spec()["block_size"] == 3
    assert "block_size" not in PermutationContexts(12, 10, seed=0).spec()  # as in older files


def test_units_of_different_blocks_do_not_mix():
    matrix = BlockRotationContexts(12, 2, seed=0, block_size=3).matrix(1)
    outside = torch.ones(12, 12, dtype=torch.bool)
    for start in range(0, 12, 3):
        outside[start : start + 3, start : start + 3] = False
    assert (matrix[outside] == 0).all()
    assert (matrix[~outside] != 0).all()


def test_kronecker_contexts_are_two_rotations_and_signs():
    contexts = KroneckerRotationContexts(6, 2, seed=0)
    a, b, signs = contexts.draw(1)
    assert (a.shape, b.shape) == ((2, 2), (3, 3))
    torch.testing.assert_close(contexts.matrix(1), torch.kron(a, b) @ torch.diag(signs.double()))


def test_large_powers_keep_their_phase():
    # C^(i+j) = C^i C^j even where i φ in float32 would have lost every digit of the phase.
    contexts = OnePowerContexts(32, 10**7, seed=0)
    x = torch.randn(32, dtype=torch.complex64)
    one_step = contexts.bind(contexts.bind(x, 9_999_000), 999)
    torch.testing.assert_close(one_step, contexts.bind(x, 9_999_999), rtol=0, atol=1e-5)
    assert contexts.bind(x, 0).equal(x)


def test_mixed_phases_are_the_mean_of_their_neighbours():
    contexts = LocalMixContexts(8, 6, seed=0, neighbours=1)
    phases = contexts.draw(3)[0]
    around = torch.stack([contexts._phases(position) for position in (3, 4, 5)])
    torch.testing.assert_close(phases, around.mean(0))
    # Neighbours share two of three phases; contexts that are three apart share none.
    assert contexts.draw(2)[0].sub(phases).abs().max() <= 2 * math.pi / 3


def test_no_neighbours_means_independent_phases():
    contexts = LocalMixContexts(10_000, 6, seed=0, neighbours=0)
    x = torch.ones(10_000, dtype=torch.complex64)
    overlap = contexts.bind(x, 1).vdot(contexts.bind(x, 2)) / 10_000
    assert overlap.abs() < 5 / 100
    with pytest.raises(ValueError, match="neighbours must be at least 0, but is -1"):
        LocalMixContexts(4, 2, seed=0, neighbours=-1)
    with pytest.raises(ValueError, match="neighbours must be at most 1000, but is 1001"):
        LocalMixContexts(4, 2, seed=0, neighbours=1001)


def test_learned_phases_move_and_stay_on_the_circle():
    contexts = ComplexContexts(4, 3, seed=0, learned=True)
    optimiser = torch.optim.SGD(contexts.parameters(), lr=0.5)
    before = contexts.matrix(1).clone()
    contexts.bind(torch.ones(4), 1).real.sum().backward()
    optimiser.step()
    after = contexts.matrix(1)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after.diagonal().abs(), torch.ones(4).double(), rtol=0, atol=1e-6)
    start = ComplexContexts(4, 3, seed=0).matrix(2)  # a context that was not used does not move
    torch.testing.assert_close(contexts.matrix(2), start, rtol=0, atol=1e-6)


def test_rotations_have_both_determinants():
    determinants = [
        torch.linalg.det(RotationContexts(3, 60, seed=0).matrix(index)).round().item()
        for index in range(60)
    ]
    assert set(determinants) == {-1.0, 1.0}


def test_a_module_shows_its_arguments():
    text = repr(BlockRotationContexts(6, 2, seed=3, name="fc1", block_size=2))
    assert text == (
        "BlockRotationContexts(dim=6, num_contexts=2, seed=3, name='fc1', block_size=2)"
    )


@pytest.mark.parametrize("family", [ComplexContexts, LocalMixContexts, OnePowerContexts])
def test_learned_phases_work_in_low_precision(family):
    contexts = family(8, 3, seed=0, learned=True).bfloat16()
    bound = contexts.bind(torch.ones(8, dtype=torch.bfloat16), 2)
    assert bound.dtype == torch.complex64
    assert torch.allclose(bound.abs(), torch.ones(8))


def test_contexts_ignore_the_default_device():
    with torch.device("meta"):
        contexts = OnePowerContexts(4, 3, seed=0)
        bound = contexts.bind(torch.ones(4, device="cpu"), 2)
        assert bound.device.type == contexts.matrix(1).device.type == "cpu"


@pytest.mark.parametrize(("argument", "most"), [("dim", 2**32), ("num_contexts", 2**63 - 1)])
def test_sizes_beyond_memory_are_refused(argument, most):
    with pytest.raises(ValueError, match=f"{argument} must be at most {most}, but is {most + 1}"):
        BinaryContexts(**{"dim": 4, "num_contexts": 2, "seed": 0, argument: most + 1})


def test_more_learned_contexts_than_memory_holds_are_refused():
    with pytest.raises(ValueError, match=r"4,294,967,296 parameters to train, more than .*fixed"):
        BinaryContexts(4, 2**30, seed=0, learned=True)


def test_integers_of_numpy_serve_as_python_integers():
    contexts = BinaryContexts(np.int64(4), np.int32(3), seed=np.int64(5))
    plain = BinaryContexts(4, 3, seed=5)
    assert json.dumps(contexts.spec()) == json.dumps(plain.spec())
    assert torch.equal(contexts[np.int64(1)].matrix(), plain.matrix(1))
    x = torch.ones(4)
    assert torch.equal(contexts.bind(x, True), plain.bind(x, 1))  # to Python, True is 1


@pytest.mark.parametrize(
    "arguments", [{"dim": 4.0}, {"num_contexts": 2.5}, {"seed": "0"}, {"seed": 0.5}, {"name": None}]
)
def test_arguments_of_another_type_are_refused_by_python(arguments):
    with pytest.raises(TypeError, match=r"cannot be interpreted as an integer|requires a 'str'"):
        BinaryContexts(**{"dim": 4, "num_contexts": 2, "seed": 0, **arguments})


def test_a_drawn_index_must_be_one_of_the_contexts():
    with pytest.raises(IndexError, match="context=3 is not one of the 3 contexts"):
        BinaryContexts(4, 3, seed=0).draw(3)
    with pytest.raises(IndexError, match="context=-1 is not one of the 3 contexts"):
        BinaryContexts(4, 3, seed=0).draw(-1)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float8_e4m3fn])
def test_a_dtype_that_rounds_contexts_is_refused(dtype):
    contexts = RotationContexts(4, 3, seed=0)
    with pytest.raises(TypeError, match="dtype must be floating or complex, of 16 to 64 bits"):
        contexts.matrix(1, dtype=dtype)
    like = torch.zeros(2, 4).to(dtype)
    for call in (contexts.fill, lambda like: contexts.operator(1, like)):
        with pytest.raises(
            TypeError, match="needs like as a floating tensor of 16 to 64 bits, but its dtype is"
        ):
            call(like)


@pytest.mark.parametrize(
    "state",
    [
        torch.zeros(3),
        torch.zeros((), dtype=torch.uint8),
        torch.tensor(list(b"[" * 10**5), dtype=torch.uint8),
        torch.tensor(list(b"17"), dtype=torch.uint8),
        torch.tensor([255, 0], dtype=torch.uint8),
    ],
)
def test_a_state_that_names_no_contexts_is_refused(state):
    with pytest.raises(ValueError, match=r"state is no spec of contexts.*get_extra_state"):
        BinaryContexts(4, 3, seed=0).set_extra_state(state)


def test_the_state_of_other_contexts_is_refused_by_what_differs():
    state = BinaryContexts(4, 3, seed=0).get_extra_state()
    with pytest.raises(ValueError, match=r"other contexts, seed=0, but this module has seed=1;"):
        BinaryContexts(4, 3, seed=1).set_extra_state(state)
