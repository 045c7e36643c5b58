"""Each operator against its dense matrix, alone and in batches, and inside torch's transforms."""

import pickle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from psp_contexts import BinaryContexts, RotationContexts
from psp_contexts.operators import (
    Blocks,
    Dense,
    Diagonal,
    Grouped,
    Identity,
    Kronecker,
    Permute,
    SignedPermute,
)
from psp_contexts.testing import FAMILIES, FIXED_FAMILIES, family_name

DIM = 6
BATCH_SHAPES = [(), (3,), (2, 3)]


def normal(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def orthogonal(*shape):
    return torch.linalg.qr(normal(*shape))[0]


def orders(*batch_shape):
    order = normal(*batch_shape, DIM).argsort()
    return order, order.argsort()


def grouped(*batch_shape):
    matrices = orthogonal(4, DIM, DIM)
    index = torch.arange(torch.Size(batch_shape).numel()).remainder(4).reshape(batch_shape)
    return Grouped(lambda k: Dense(matrices[k]), index)


MAKERS = {
    "identity": lambda *shape: Identity(DIM, shape),
    "real diagonal": lambda *shape: Diagonal(normal(*shape, DIM).abs() + 0.5),
    "complex diagonal": lambda *shape: Diagonal(torch.exp(1j * normal(*shape, DIM))),
    "permute": lambda *shape: Permute(*orders(*shape)),
    "signed permute": lambda *shape: SignedPermute(*orders(*shape), normal(*shape, DIM).sign()),
    "dense": lambda *shape: Dense(orthogonal(*shape, DIM, DIM)),
    "blocks": lambda *shape: Blocks(orthogonal(*shape, 3, 2, 2)),
    "kronecker": lambda *shape: Kronecker(
        orthogonal(*shape, 2, 2), orthogonal(*shape, 3, 3), normal(*shape, DIM).sign()
    ),
    "grouped": grouped,
}


@pytest.mark.parametrize("batch_shape", BATCH_SHAPES)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_an_operator_agrees_with_its_matrix(make, batch_shape):
    operator = make(*batch_shape)
    matrix = operator.matrix().to(torch.complex128)
    assert operator.batch_shape == batch_shape
    assert matrix.shape == (*batch_shape, DIM, DIM)
    x, weight = normal(2, 3, DIM), normal(2, 3, 5, DIM)

    def apply(matrix, x):
        return (matrix @ x.to(matrix.dtype).unsqueeze(-1)).squeeze(-1)

    for actual, expected in (
        (operator.bind(x), apply(matrix, x)),
        (operator.unbind(x), apply(matrix.inverse(), x)),
        (operator.store(weight), weight.to(matrix.dtype) @ matrix.inverse()),
        (operator.retrieve(weight), weight.to(matrix.dtype) @ matrix),
    ):
        torch.testing.assert_close(actual.to(torch.complex128), expected)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_reshaped_operator_holds_the_same_contexts(make):
    operator, x = make(6), normal(6, DIM)
    table = operator.reshape(2, 3)
    assert table.batch_shape == (2, 3)
    torch.testing.assert_close(table.bind(x.view(2, 3, DIM)), operator.bind(x).view(2, 3, DIM))


@pytest.mark.parametrize("family", FIXED_FAMILIES, ids=family_name)
def test_a_pickled_operator_is_small_and_the_same(family):
    contexts, x = family(16, 1000, seed=0), torch.randn(3, 16)
    operator = contexts.operator(2, x)
    text = pickle.dumps(operator)
    assert len(text) < 4000  # the table of a thousand contexts takes at least 64,000 bytes
    assert torch.equal(pickle.loads(text).bind(x), operator.bind(x))


class Layer(torch.nn.Module):
    def __init__(self, operator):
        super().__init__()
        self.operator = operator

    def forward(self, x):
        return self.operator.bind(x)


@pytest.mark.parametrize("family", FIXED_FAMILIES, ids=family_name)
def test_a_layer_with_an_operator_compiles_and_exports(family):
    torch.compiler.reset()
    contexts, x = family(16, 4, seed=0), torch.randn(3, 16)
    for context in (1, torch.tensor([3, 0, 3])) if contexts.gathers else (1,):
        layer = Layer(contexts.operator(context, x))
        expected = contexts.bind(x, context)
        compiled = torch.compile(layer, backend="eager", fullgraph=True)
        assert torch.equal(compiled(x), expected)
        assert torch.equal(torch.export.export(layer, (x,)).module()(x), expected)


@pytest.mark.parametrize("family", FAMILIES, ids=family_name)
def test_an_operator_made_while_tracing_is_the_one_made_before(family):
    torch.compiler.reset()
    contexts, x = family(16, 4, seed=0), torch.randn(3, 16)
    contexts.fill(x)

    def retrieve(x):
        return contexts.operator(1, x).retrieve(x) + contexts[2].store(x)

    compiled = torch.compile(retrieve, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), retrieve(x))


def test_another_index_compiles_no_other_graph():
    counter = torch._dynamo.testing.CompileCounter()
    contexts, x = BinaryContexts(4, 20, seed=0), torch.randn(2, 4)
    contexts.fill(x)
    compiled = torch.compile(contexts.bind, backend=counter, fullgraph=True)
    for context in range(1, 12):
        assert torch.equal(compiled(x, context), contexts.bind(x, context))
    assert counter.frame_count <= 2  # one for the first index and one for any other


def test_an_operator_of_learned_contexts_carries_their_gradient():
    contexts = BinaryContexts(4, 3, seed=0, learned=True)
    x = torch.ones(2, 4)
    contexts.operator(1, x).bind(x).sum().backward()
    assert contexts.learned_numbers.grad.tolist() == [[0] * 4, [2] * 4, [0] * 4]
    with torch.no_grad():
        contexts.learned_numbers[1] = 3
    assert contexts[1].bind(x).tolist() == [[3] * 4] * 2


def test_a_grouped_operator_does_not_hold_on_to_the_vectors():
    contexts, x = RotationContexts(4, 3, seed=0), torch.randn(1000, 4)
    operator = contexts.operator(torch.arange(2), x)
    assert operator._one.keywords["like"].numel() == 0


class ReadValues(TorchDispatchMode):
    """Counts the values that are read from tensors."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("family", FAMILIES, ids=family_name)
def test_an_unchecked_operator_is_the_same_and_reads_no_values(family):
    contexts, x = family(16, 4, seed=0), torch.randn(3, 16)
    contexts.fill(x)
    index = torch.tensor([2, 0, 2])
    with ReadValues() as checked:
        expected = contexts.operator(index, x).bind(x)
    with ReadValues() as unchecked:
        operator = contexts.operator(index, x, check=False)
    assert checked.count > 0
    assert unchecked.count == 0
    assert torch.equal(operator.bind(x), expected)
