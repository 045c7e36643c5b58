"""The laws that every family of contexts keeps, for ours and for anyone's own.

In a test file:

    @pytest.mark.parametrize("law", LAWS)
    def test_my_contexts_keep(law):
        check(law, MyContexts)

A family is anything that is called as `family(dim, num_contexts, seed=…, name=…)`; options of a
class are fixed with `functools.partial`. The dense matrix of a context is the oracle.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

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

Family = Callable[..., Contexts]
Law = Callable[[Family, int, int], None]

FIXED_FAMILIES: tuple[type[Contexts], ...] = (
    IdentityContexts,
    RotationContexts,
    BlockRotationContexts,
    KroneckerRotationContexts,
    PermutationContexts,
    SignedPermutationContexts,
    ComplexContexts,
    OnePowerContexts,
    BinaryContexts,
    LocalMixContexts,
)
"""Every family of this package, drawn from its seed."""

FAMILIES: tuple[Family, ...] = (
    *FIXED_FAMILIES,
    partial(BinaryContexts, learned=True),
    partial(ComplexContexts, learned=True),
    partial(OnePowerContexts, learned=True),
    partial(LocalMixContexts, learned=True),
)
"""Those, and the ones that can be learned."""

DIMS = (1, 4, 6, 12, 16)
"""Lengths for which every family exists."""

NUM_CONTEXTS = 5


def family_name(family: Family) -> str:
    """A name for test reports: the class, and whether it is learned."""
    if isinstance(family, partial):
        options = ",".join(f"{key}={value}" for key, value in family.keywords.items())
        return f"{family.func.__name__}({options})"
    return getattr(family, "__name__", repr(family))


def check(law: Law, family: Family, dims: Sequence[int] = DIMS, max_examples: int = 8) -> None:
    """Run one law over drawn lengths and seeds.

    Args:
        law: One of `LAWS`.
        family: What the law is about.
        dims: The lengths to draw from.
        max_examples: How many (dim, seed) to draw.

    Raises:
        AssertionError: If the law is broken, with the smallest example found.
    """

    @settings(max_examples=max_examples, deadline=None, database=None, derandomize=True)
    @given(dim=st.sampled_from(list(dims)), seed=st.integers(0, 2**63 - 1))
    def run(dim: int, seed: int) -> None:
        law(family, dim, seed)

    run()


def unbind_undoes_bind(family: Family, dim: int, seed: int) -> None:
    """C⁻¹ C x = x = C C⁻¹ x."""
    contexts, x = _drawn(family, dim, seed)
    for context in (0, NUM_CONTEXTS - 1, _one_each(x)):
        _close(contexts.unbind(contexts.bind(x, context), context), _promoted(contexts, x))
        _close(contexts.bind(contexts.unbind(x, context), context), _promoted(contexts, x))


def bind_and_unbind_agree_with_the_dense_matrix(family: Family, dim: int, seed: int) -> None:
    """C x and C⁻¹ x by the dense matrix and its numerical inverse."""
    contexts, x = _drawn(family, dim, seed)
    for context in range(NUM_CONTEXTS):
        matrix = contexts.matrix(context)
        _close(contexts.bind(x, context), _promoted(contexts, x) @ matrix.mT)
        _close(contexts.unbind(x, context), _promoted(contexts, x) @ matrix.inverse().mT)


def contexts_are_isometries(family: Family, dim: int, seed: int) -> None:
    """C is orthogonal or unitary, and lengths stay."""
    contexts, x = _drawn(family, dim, seed)
    matrices = contexts.matrix(torch.arange(NUM_CONTEXTS))
    _close(matrices @ matrices.mH, torch.eye(dim).expand_as(matrices).to(matrices.dtype))
    _close(contexts.bind(x, 1).norm(dim=-1), x.norm(dim=-1))


def store_and_retrieve_agree_with_the_dense_matrix(family: Family, dim: int, seed: int) -> None:
    """W C⁻¹ and W C; and one model alone comes back exactly."""
    contexts, weight = _drawn(family, dim, seed)
    for context in range(NUM_CONTEXTS):
        matrix = contexts.matrix(context)
        _close(contexts.store(weight, context), _promoted(contexts, weight) @ matrix.inverse())
        _close(contexts.retrieve(weight, context), _promoted(contexts, weight) @ matrix)
        stored = contexts.store(weight, context)
        _close(contexts.retrieve(stored, context), _promoted(contexts, weight))


def retrieving_equals_binding_the_input(family: Family, dim: int, seed: int) -> None:
    """(W C) x = W (C x), the paper's equation 3."""
    contexts, weight = _drawn(family, dim, seed)
    x = torch.randn(dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    retrieved = contexts.retrieve(weight, 2) @ _promoted(contexts, x)
    _close(retrieved, _promoted(contexts, weight) @ contexts.bind(x, 2))


def a_mixed_batch_equals_one_at_a_time(family: Family, dim: int, seed: int) -> None:
    """A LongTensor of contexts is the loop over its entries, whatever shape it broadcasts from."""
    contexts, x = _drawn(family, dim, seed)
    index = _one_each(x)
    for verb in (contexts.bind, contexts.unbind):
        _close(
            verb(x, index),
            torch.stack([verb(row, int(k)) for row, k in zip(x, index, strict=True)]),
        )
        sequences = x.unflatten(0, (-1, 2))  # one context for the two vectors of a sequence
        expected = torch.stack(
            [verb(pair, int(k)) for pair, k in zip(sequences, index, strict=False)]
        )
        _close(verb(sequences, index[: len(sequences), None]), expected)
        _close(verb(sequences, index[:2]), verb(sequences, index[:2].expand(len(sequences), 2)))
    weights = x.unflatten(0, (2, -1))
    for on_weights in (contexts.store, contexts.retrieve):
        expected = torch.stack([on_weights(weights[0], 3), on_weights(weights[1], 0)])
        _close(on_weights(weights, torch.tensor([3, 0])), expected)
    fresh = family(dim, NUM_CONTEXTS, seed=seed).double()
    assert fresh.bind(x[:0], index[:0]).shape == (0, dim)


def operands_looked_up_stand_for_their_context(family: Family, dim: int, seed: int) -> None:
    """In every verb, for one context, one as a tensor, or, where they are gathered, many."""
    contexts, x = _drawn(family, dim, seed)
    with torch.inference_mode():
        contexts.bind(x, 1)  # what evaluation draws must serve training, too
    rows = x[:, None].requires_grad_()
    indices: list[int | Tensor] = [1, torch.tensor(1)]
    if contexts.gathers:
        indices.append(_one_each(x))
    for index in indices:
        context = index[:, None] if isinstance(index, Tensor) and index.dim() else index
        operands = contexts.look_up(x, context)
        for verb, plain in (
            (contexts.bind, context),
            (contexts.unbind, context),
            (contexts.store, index),
            (contexts.retrieve, index),
        ):
            y = verb(rows, operands)
            _close(y, verb(rows, plain))
            assert not torch.autograd.grad(y.abs().sum(), rows, retain_graph=True)[0].isnan().any()
    if not contexts.gathers:
        with pytest.raises(ValueError, match="pass the indices themselves"):
            contexts.look_up(x, _one_each(x))
    with pytest.raises(IndexError, match=f"num_contexts={NUM_CONTEXTS + 1} or more"):
        contexts.look_up(x, NUM_CONTEXTS)


def gradients_flow_through_bind_and_unbind(family: Family, dim: int, seed: int) -> None:
    """The derivatives are those of a linear map, in x and in what is learned."""
    contexts, x = _drawn(family, dim, seed)
    learned = [part for part in contexts.parameters() if part.requires_grad]
    x = x[:3].requires_grad_()
    index = _one_each(x)
    for verb in (contexts.bind, contexts.unbind):
        for context in (1, index):
            assert torch.autograd.gradcheck(lambda x, *_: verb(x, context), (x, *learned))  # noqa: B023
    with torch.no_grad():
        cotangent = _promoted(contexts, torch.ones_like(x))
        expected = cotangent @ contexts.matrix(1).conj()
    y = contexts.bind(x, 1)
    (gradient,) = torch.autograd.grad(y, x, cotangent)
    _close(gradient, expected if x.is_complex() else expected.real.to(x.dtype))


def every_dtype_is_served(family: Family, dim: int, seed: int) -> None:
    """The result has the dtype of x, promoted by complex families, and its precision."""
    contexts, exact = _drawn(family, dim, seed)
    dtypes = [torch.float64, torch.float32, torch.bfloat16]
    for dtype in dtypes + [torch.complex64] * contexts.is_complex:
        x = exact.to(dtype)
        wanted = contexts.bind(x.to(torch.complex128 if x.is_complex() else torch.float64), 1)
        for context in (1, torch.ones(len(x), dtype=torch.int64)):
            y = contexts.bind(x, context)
            assert y.dtype == (_promoted(contexts, x).dtype)
            torch.testing.assert_close(
                y.to(wanted.dtype),
                wanted,
                rtol=0,
                atol=8 * torch.finfo(dtype).eps * dim**0.5 + 1e-14,
            )


def contexts_depend_on_seed_name_and_index_alone(family: Family, dim: int, seed: int) -> None:
    """Not on their number, on the order of use, or on any global generator."""
    first = family(dim, 3, seed=seed, name="layer")
    torch.rand(1)  # move the global generator; it must play no part
    second = family(dim, 1000 if not list(first.parameters()) else 4, seed=seed, name="layer")
    second.bind(torch.ones(dim), 1)
    for context in (2, 0):
        assert torch.equal(first.matrix(context), second.matrix(context))
    if first.parameters_per_context and dim > 8:  # few numbers may agree by chance
        for other in (
            family(dim, 3, seed=seed + 1, name="layer"),
            family(dim, 3, seed=seed, name="other"),
        ):
            assert not torch.equal(first.matrix(2), other.matrix(2))
        assert not torch.equal(first.matrix(2), first.matrix(1))


def a_fixed_family_saves_its_name_alone(family: Family, dim: int, seed: int) -> None:
    """A state dict holds the spec and what is learned; another family's is refused."""
    contexts, x = _drawn(family, dim, seed)
    contexts.bind(x, torch.arange(len(x)) % NUM_CONTEXTS)
    state = contexts.state_dict()
    learned = dict(contexts.named_parameters())
    assert set(state) == {"_extra_state", *learned}
    twin = family(dim, NUM_CONTEXTS, seed=seed).double()
    twin.load_state_dict(state)
    for same in (twin, copy.deepcopy(contexts)):
        assert torch.equal(same.bind(x, 1), contexts.bind(x, 1))
    assert twin.checksum() == contexts.checksum()
    stranger = family(dim, NUM_CONTEXTS, seed=seed + 1)
    assert stranger.checksum() != contexts.checksum()
    with pytest.raises(ValueError, match="build the module with the saved ones"):
        stranger.load_state_dict(state)


def contexts_follow_the_device_of_their_input(family: Family, dim: int, seed: int) -> None:
    """Results are on x's device, with the same values: CUDA where there is one, else a fake one."""
    contexts, x = _drawn(family, dim, seed)
    index = _one_each(x)
    if torch.cuda.is_available():
        there = family(dim, NUM_CONTEXTS, seed=seed).double().cuda()
        for context, context_there in ((1, 1), (index, index.cuda()), (index, index)):
            y = there.bind(x.cuda(), context_there)
            assert y.device.type == "cuda"
            _close(y.cpu(), contexts.bind(x, context))
        return
    with FakeTensorMode():
        contexts = family(dim, NUM_CONTEXTS, seed=seed)
        x = torch.empty(4, dim, device="cuda")
        assert contexts.bind(x, 1).device.type == "cuda"
        assert contexts.unbind(x, 1).device.type == "cuda"


def bad_arguments_are_refused(family: Family, dim: int, seed: int) -> None:
    """Each with an error that says what arrived and what to do."""
    contexts, x = _drawn(family, dim, seed)
    for verb in (contexts.bind, contexts.unbind, contexts.store, contexts.retrieve):
        for context in (NUM_CONTEXTS, torch.tensor(NUM_CONTEXTS)):
            with pytest.raises(IndexError, match=f"num_contexts={NUM_CONTEXTS + 1} or more"):
                verb(x, context)
        with pytest.raises(IndexError, match="negative indices do not count from the end"):
            verb(x, -1)
        for wrong in (1.5, (0, 1), None, True):
            with pytest.raises(TypeError, match="context must be an int or a LongTensor, but "):
                verb(x, wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"convert it with \.long\(\)"):
            verb(x, torch.tensor(1.0))
        with pytest.raises(ValueError, match=f"vectors of length {dim}, but .* shape"):
            verb(x.new_zeros(2, dim + 1), 0)
        with pytest.raises(ValueError, match="does not broadcast to"):
            verb(x, torch.zeros(len(x) + 1, dtype=torch.int64))
        with pytest.raises(TypeError, match=r"float\(\)"):
            verb(x.long(), 0)
        if not contexts.is_complex:
            with pytest.raises(TypeError, match=r"is real, but .* is torch\.complex64"):
                verb(x.to(torch.complex64), 0)
    with pytest.raises(ValueError, match=r"shape \(…, out, "):
        contexts.store(x[0], 0)
    for bad in (0, -3):
        with pytest.raises(ValueError, match=f"dim must be at least 1, but is {bad}"):
            family(bad, 1, seed=seed)
        with pytest.raises(ValueError, match=f"num_contexts must be at least 1, but is {bad}"):
            family(dim, bad, seed=seed)
    with pytest.raises(TypeError, match="seed must be an int"):
        family(dim, 1, seed="0")


LAWS: tuple[Law, ...] = (
    unbind_undoes_bind,
    bind_and_unbind_agree_with_the_dense_matrix,
    contexts_are_isometries,
    store_and_retrieve_agree_with_the_dense_matrix,
    retrieving_equals_binding_the_input,
    a_mixed_batch_equals_one_at_a_time,
    operands_looked_up_stand_for_their_context,
    gradients_flow_through_bind_and_unbind,
    every_dtype_is_served,
    contexts_depend_on_seed_name_and_index_alone,
    a_fixed_family_saves_its_name_alone,
    contexts_follow_the_device_of_their_input,
    bad_arguments_are_refused,
)
"""Everything above."""


def _drawn(family: Family, dim: int, seed: int) -> tuple[Contexts, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2 * NUM_CONTEXTS, dim, generator=generator, dtype=torch.float64)
    return family(dim, NUM_CONTEXTS, seed=seed).double(), x


def _one_each(x: Tensor) -> Tensor:
    """A context for every row of x, all that there are, out of order, in x's leading length."""
    return torch.arange(len(x)).mul(3).remainder(NUM_CONTEXTS)


def _promoted(contexts: Contexts, x: Tensor) -> Tensor:
    if not contexts.is_complex:
        return x
    return x.to(
        torch.complex128 if x.dtype in (torch.float64, torch.complex128) else torch.complex64
    )


def _close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
