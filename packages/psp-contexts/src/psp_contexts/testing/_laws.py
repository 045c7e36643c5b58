"""The laws that every family of contexts keeps, for the families here and for new ones.

In a test file:

    @pytest.mark.parametrize("law", LAWS)
    def test_my_contexts_keep(law):
        check(law, MyContexts)

A family is anything called as `family(dim, num_contexts, seed=…, name=…)`. Fix the options of a
class with `functools.partial`. The dense matrix of a context is the oracle. Operators are tested
as `contexts[k]`, which calls the methods of the contexts, and as `contexts.operator(k, like)`.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
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
    Operator,
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
"""The fixed families, and those that can be learned."""

DIMS = (1, 4, 6, 12, 16)
"""Lengths for which every family exists."""

NUM_CONTEXTS = 5


def family_name(family: Family) -> str:
    """Return a name for test reports: the class and its options."""
    if isinstance(family, partial):
        options = ",".join(f"{key}={value}" for key, value in family.keywords.items())
        return f"{family.func.__name__}({options})"
    return getattr(family, "__name__", repr(family))


def check(law: Law, family: Family, dims: Sequence[int] = DIMS, max_examples: int = 8) -> None:
    """Test one law over random lengths and seeds.

    Args:
        law: One of `LAWS`.
        family: The family to test.
        dims: The lengths to draw from.
        max_examples: Number of pairs (dim, seed).

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
    contexts, x = _draw_inputs(family, dim, seed)
    for context in (0, NUM_CONTEXTS - 1, _index_for(x)):
        for operator in _operators(contexts, context, x):
            _assert_close(operator.unbind(operator.bind(x)), _promote(contexts, x))
            _assert_close(operator.bind(operator.unbind(x)), _promote(contexts, x))


def bind_and_unbind_agree_with_the_dense_matrix(family: Family, dim: int, seed: int) -> None:
    """C x and C⁻¹ x by the dense matrix and its numerical inverse."""
    contexts, x = _draw_inputs(family, dim, seed)
    for context in range(NUM_CONTEXTS):
        matrix = contexts.matrix(context)
        for operator in _operators(contexts, context, x):
            _assert_close(operator.bind(x), _promote(contexts, x) @ matrix.mT)
            _assert_close(operator.unbind(x), _promote(contexts, x) @ matrix.inverse().mT)


def contexts_are_isometries(family: Family, dim: int, seed: int) -> None:
    """C is orthogonal or unitary and keeps lengths."""
    contexts, x = _draw_inputs(family, dim, seed)
    matrices = contexts.matrix(torch.arange(NUM_CONTEXTS))
    _assert_close(matrices @ matrices.mH, torch.eye(dim).expand_as(matrices).to(matrices.dtype))
    _assert_close(contexts.bind(x, 1).norm(dim=-1), x.norm(dim=-1))


def store_and_retrieve_agree_with_the_dense_matrix(family: Family, dim: int, seed: int) -> None:
    """W C⁻¹ and W C. One model alone comes back exactly."""
    contexts, weight = _draw_inputs(family, dim, seed)
    for context in range(NUM_CONTEXTS):
        matrix = contexts.matrix(context)
        for operator in _operators(contexts, context, weight):
            stored = operator.store(weight)
            _assert_close(stored, _promote(contexts, weight) @ matrix.inverse())
            _assert_close(operator.retrieve(weight), _promote(contexts, weight) @ matrix)
            _assert_close(operator.retrieve(stored), _promote(contexts, weight))


def columns_are_bound_on_the_output_side(family: Family, dim: int, seed: int) -> None:
    """C W and C⁻¹ W by the dense matrix, for one context and for a batch."""
    contexts, x = _draw_inputs(family, dim, seed)
    weights = torch.stack([x[:3], x[3:6]]).mT  # shape (2, dim, 3)
    for context in (1, torch.tensor([4, 2])):
        matrix = contexts.matrix(context)
        for operator in _operators(contexts, context, x):
            _assert_close(operator.bind_columns(weights), matrix @ _promote(contexts, weights))
            unbound = matrix.inverse() @ _promote(contexts, weights)
            _assert_close(operator.unbind_columns(weights), unbound)
    weight, operator = weights[:1].clone().requires_grad_(), contexts.operator(1, x)
    (gradient,) = torch.autograd.grad(operator.bind_columns(weight).real.sum(), weight)
    expected = contexts.matrix(1).detach().real.sum(0).view(1, dim, 1).expand_as(weight)
    _assert_close(gradient, expected)


def retrieving_equals_binding_the_input(family: Family, dim: int, seed: int) -> None:
    """(W C) x = W (C x), the paper's equation 3."""
    contexts, weight = _draw_inputs(family, dim, seed)
    x = torch.randn(dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for operator in _operators(contexts, 2, x):
        retrieved = operator.retrieve(weight) @ _promote(contexts, x)
        _assert_close(retrieved, _promote(contexts, weight) @ operator.bind(x))


def a_mixed_batch_equals_one_at_a_time(family: Family, dim: int, seed: int) -> None:
    """A LongTensor of contexts is the loop over its entries, from any shape that broadcasts."""
    contexts, x = _draw_inputs(family, dim, seed)
    index = _index_for(x)
    for verb in (contexts.bind, contexts.unbind):
        _assert_close(
            verb(x, index),
            torch.stack([verb(row, int(k)) for row, k in zip(x, index, strict=True)]),
        )
        sequences = x.unflatten(0, (-1, 2))  # one context for the two vectors of a sequence
        expected = torch.stack(
            [verb(pair, int(k)) for pair, k in zip(sequences, index, strict=False)]
        )
        _assert_close(verb(sequences, index[: len(sequences), None]), expected)
        _assert_close(
            verb(sequences, index[:2]), verb(sequences, index[:2].expand(len(sequences), 2))
        )
    weights = x.unflatten(0, (2, -1))
    for on_weights in (contexts.store, contexts.retrieve):
        expected = torch.stack([on_weights(weights[0], 3), on_weights(weights[1], 0)])
        _assert_close(on_weights(weights, torch.tensor([3, 0])), expected)
    unused = family(dim, NUM_CONTEXTS, seed=seed).double()
    assert unused.bind(x[:0], index[:0]).shape == (0, dim)


def operators_agree_with_the_methods_of_contexts(family: Family, dim: int, seed: int) -> None:
    """Operators of one context, as an int or a tensor, and of a batch, and their copies."""
    contexts, x = _draw_inputs(family, dim, seed)
    with torch.inference_mode():
        contexts.bind(x, 1)  # contexts drawn during an evaluation must serve training
    weight = x[:, None].requires_grad_()
    for index in (1, torch.tensor(1), _index_for(x)):
        batch_shape = index.shape if isinstance(index, Tensor) else torch.Size()
        for original in _operators(contexts, index, x):
            assert original.batch_shape == batch_shape
            # torch copies no tensor that is part of a graph.
            copies = [] if list(contexts.parameters()) else [copy.deepcopy(original)]
            for operator in (original, *copies):
                _assert_close(operator.store(weight), contexts.store(weight, index))
                _assert_close(operator.retrieve(weight), contexts.retrieve(weight, index))
                y = operator.bind(x)
                _assert_close(y, contexts.bind(x, index))
                _assert_close(operator.unbind(x), contexts.unbind(x, index))
                _assert_close(operator.matrix().to(y.dtype), contexts.matrix(index))
            column = original.reshape(*batch_shape, 1)
            assert column.batch_shape == (*batch_shape, 1)
            for on_rows, on_vectors in (
                (column.bind, original.bind),
                (column.unbind, original.unbind),
            ):
                y = on_rows(weight)
                _assert_close(y.squeeze(1), on_vectors(x))
                (gradient,) = torch.autograd.grad(y.abs().sum(), weight)
                assert not gradient.isnan().any()


def gradients_flow_through_bind_and_unbind(family: Family, dim: int, seed: int) -> None:
    """The derivatives are those of a linear map, in x and in the learned parameters."""
    contexts, x = _draw_inputs(family, dim, seed)
    learned = [part for part in contexts.parameters() if part.requires_grad]
    x = x[:3].requires_grad_()
    for context in (1, _index_for(x)):

        def bind(x: Tensor, *_: Tensor, context: int | Tensor = context) -> Tensor:
            return contexts.operator(context, x).bind(x)

        def unbind(x: Tensor, *_: Tensor, context: int | Tensor = context) -> Tensor:
            return contexts[context].unbind(x)

        for function in (bind, unbind):
            assert torch.autograd.gradcheck(function, (x, *learned))
    with torch.no_grad():
        cotangent = _promote(contexts, torch.ones_like(x))
        expected = cotangent @ contexts.matrix(1).conj()
    y = contexts.bind(x, 1)
    (gradient,) = torch.autograd.grad(y, x, cotangent)
    _assert_close(gradient, expected if x.is_complex() else expected.real.to(x.dtype))


def every_dtype_is_served(family: Family, dim: int, seed: int) -> None:
    """The result has the dtype of x, promoted by complex families, and its precision."""
    contexts, exact = _draw_inputs(family, dim, seed)
    dtypes = [torch.float64, torch.float32, torch.bfloat16]
    for dtype in dtypes + [torch.complex64] * contexts.is_complex:
        x = exact.to(dtype)
        expected = contexts.bind(x.to(torch.complex128 if x.is_complex() else torch.float64), 1)
        for context in (1, torch.ones(len(x), dtype=torch.int64)):
            for operator in _operators(contexts, context, x):
                y = operator.bind(x)
                assert y.dtype == _promote(contexts, x).dtype
                torch.testing.assert_close(
                    y.to(expected.dtype),
                    expected,
                    rtol=0,
                    atol=8 * torch.finfo(dtype).eps * dim**0.5 + 1e-14,
                )


def contexts_depend_on_seed_name_and_index_alone(family: Family, dim: int, seed: int) -> None:
    """The number of contexts, the order of use and global generators play no part."""
    first = family(dim, 3, seed=seed, name="layer")
    torch.rand(1)  # move the global generator, which must play no part
    second = family(dim, 1000 if not list(first.parameters()) else 4, seed=seed, name="layer")
    second.bind(torch.ones(dim), 1)
    for context in (2, 0):
        assert torch.equal(first.matrix(context), second.matrix(context))
    if first.parameters_per_context and dim > 8:  # few parameters may agree by chance
        for other in (
            family(dim, 3, seed=seed + 1, name="layer"),
            family(dim, 3, seed=seed, name="other"),
        ):
            assert not torch.equal(first.matrix(2), other.matrix(2))
        assert not torch.equal(first.matrix(2), first.matrix(1))


def a_fixed_family_saves_its_spec_alone(family: Family, dim: int, seed: int) -> None:
    """A state dict holds the spec and the learned parameters. Another family's is refused."""
    contexts, x = _draw_inputs(family, dim, seed)
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
    """Results are on x's device with the same values: on CUDA if there is one, else on a fake."""
    contexts, x = _draw_inputs(family, dim, seed)
    index = _index_for(x)
    if torch.cuda.is_available():
        on_cuda = family(dim, NUM_CONTEXTS, seed=seed).double().cuda()
        for context, cuda_context in ((1, 1), (index, index.cuda()), (index, index)):
            for operator in _operators(on_cuda, cuda_context, x.cuda()):
                y = operator.bind(x.cuda())
                assert y.device.type == "cuda"
                _assert_close(y.cpu(), contexts.bind(x, context))
        return
    with FakeTensorMode():
        contexts = family(dim, NUM_CONTEXTS, seed=seed)
        x = torch.empty(4, dim, device="cuda")
        for operator in _operators(contexts, 1, x):
            assert operator.bind(x).device.type == "cuda"
            assert operator.unbind(x).device.type == "cuda"


def bad_arguments_are_refused(family: Family, dim: int, seed: int) -> None:
    """Indices, shapes, dtypes and counts that do not fit raise errors that say what to do."""
    contexts, x = _draw_inputs(family, dim, seed)
    verbs: tuple[Callable[[Tensor, int | Tensor], object], ...] = (
        contexts.bind,
        contexts.unbind,
        contexts.store,
        contexts.retrieve,
        lambda x, context: contexts.operator(context, x),
        lambda x, context: contexts[context],
        lambda x, context: contexts.matrix(context),
    )
    for verb in verbs:
        for context in (NUM_CONTEXTS, torch.tensor(NUM_CONTEXTS)):
            with pytest.raises(IndexError, match=f"num_contexts={NUM_CONTEXTS + 1} or more"):
                verb(x, context)
        with pytest.raises(IndexError, match="negative indices do not count from the end"):
            verb(x, -1)
        for float_index in (1.0, [0, 1], None):
            with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
                verb(x, float_index)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"convert it with \.long\(\)"):
            verb(x, torch.tensor(1.0))
    for verb in verbs[:5]:
        with pytest.raises(TypeError, match=r"float\(\)"):
            verb(x.long(), 0)
        if not contexts.is_complex:
            with pytest.raises(TypeError, match=r"is real, but .* is torch\.complex64"):
                verb(x.to(torch.complex64), 0)
    for verb in verbs[:4]:
        with pytest.raises(ValueError, match=f"vectors of length {dim}: .* has shape"):
            verb(x.new_zeros(2, dim + 1), 0)
        with pytest.raises(ValueError, match="does not broadcast to"):
            verb(x, torch.zeros(len(x) + 1, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"weight must have shape \(…, out, "):
        contexts.store(x[0], 0)
    for count in (0, -3):
        with pytest.raises(ValueError, match=f"dim must be at least 1, but is {count}"):
            family(count, 1, seed=seed)
        with pytest.raises(ValueError, match=f"num_contexts must be at least 1, but is {count}"):
            family(dim, count, seed=seed)


LAWS: tuple[Law, ...] = (
    unbind_undoes_bind,
    bind_and_unbind_agree_with_the_dense_matrix,
    contexts_are_isometries,
    store_and_retrieve_agree_with_the_dense_matrix,
    columns_are_bound_on_the_output_side,
    retrieving_equals_binding_the_input,
    a_mixed_batch_equals_one_at_a_time,
    operators_agree_with_the_methods_of_contexts,
    gradients_flow_through_bind_and_unbind,
    every_dtype_is_served,
    contexts_depend_on_seed_name_and_index_alone,
    a_fixed_family_saves_its_spec_alone,
    contexts_follow_the_device_of_their_input,
    bad_arguments_are_refused,
)
"""All laws."""


def _draw_inputs(family: Family, dim: int, seed: int) -> tuple[Contexts, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2 * NUM_CONTEXTS, dim, generator=generator, dtype=torch.float64)
    return family(dim, NUM_CONTEXTS, seed=seed).double(), x


def _operators(contexts: Contexts, context: int | Tensor, like: Tensor) -> Iterator[Operator]:
    yield contexts[context]
    yield contexts.operator(context, like)


def _index_for(x: Tensor) -> Tensor:
    """Return a context for every row of x, out of order. Ten rows name every context."""
    return torch.arange(len(x)).mul(3).remainder(NUM_CONTEXTS)


def _promote(contexts: Contexts, x: Tensor) -> Tensor:
    if not contexts.is_complex:
        return x
    return x.to(
        torch.complex128 if x.dtype in (torch.float64, torch.complex128) else torch.complex64
    )


def _assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
