"""Drawn contexts are a cache: free before use, and never larger than its bound."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from psp_contexts import BinaryContexts, PermutationContexts, RotationContexts
from psp_contexts._cache import OVERHEAD, OperatorCache
from psp_contexts.operators import Diagonal
from psp_contexts.testing import FIXED_FAMILIES, family_name


def counting_cache(num_contexts, max_bytes):
    drawn = []

    def make(index):
        drawn.append(index)
        return Diagonal(torch.full((1000,), float(index)))  # 4000 bytes and a tensor's overhead

    return OperatorCache(make, num_contexts, max_bytes), drawn


def test_a_context_that_fits_is_drawn_once():
    cache, drawn = counting_cache(num_contexts=8, max_bytes=8 * 4000)
    for index in (3, 5, 3):
        assert cache.one(index).tensors[0].tolist() == [index] * 1000
    (batch,) = cache.many(torch.tensor([[5, 3], [0, 3]])).tensors
    assert batch[..., 0].tolist() == [[5, 3], [0, 3]]
    assert drawn == [3, 5, 0]
    assert not cache.complete
    cache.fill()
    assert cache.complete
    assert sorted(drawn) == list(range(8))


def test_a_larger_family_keeps_its_most_recent_contexts():
    cache, drawn = counting_cache(num_contexts=100, max_bytes=8 * (4000 + OVERHEAD))
    for index in range(9):  # 8 fit
        cache.one(index)
    assert cache.many(torch.tensor([8, 1, 8])).tensors[0][:, 0].tolist() == [8, 1, 8]
    strided = torch.tensor([[8, 1], [2, 1]])[:, 1]
    assert cache.many(strided).tensors[0][:, 0].tolist() == [1, 1]
    cache.one(0)
    assert drawn == [*range(9), 0]
    with pytest.raises(MemoryError, match="400,000 bytes, more than the 40,192 of cache_bytes"):
        cache.fill()


@pytest.mark.parametrize("family", FIXED_FAMILIES, ids=family_name)
def test_ten_million_contexts_cost_nothing_until_used(family):
    contexts = family(64, 10**7, seed=0)
    x = torch.ones(64)
    assert torch.equal(contexts.bind(x, 9_999_999), family(64, 10**7, seed=0).bind(x, 9_999_999))
    index = torch.tensor([9_999_999, 3])
    assert contexts.bind(x.expand(2, -1), index).shape == (2, 64)
    caches = contexts._caches.values()
    assert all(cache._table is None and len(cache._recent) <= 2 for cache in caches)
    assert set(contexts.state_dict()) == {"_extra_state"}


def test_a_backward_pass_survives_contexts_drawn_in_between():
    # Autograd saves rows of the table; filling other rows must not invalidate them.
    contexts = RotationContexts(4, 3, seed=0)
    x = torch.ones(4, requires_grad=True)
    y = contexts.bind(x, 0)
    contexts.bind(x.detach(), 1)
    y.sum().backward()
    torch.testing.assert_close(x.grad, contexts.matrix(0).float().sum(0))


def test_a_filled_family_is_traced_without_reading_the_index():
    contexts = PermutationContexts(6, 4, seed=0)
    x, index = torch.randn(5, 6), torch.tensor([3, 0, 1, 1, 2])
    contexts.fill(x)

    def bind(x, index):
        return contexts.bind(x, index)

    compiled = torch.compile(bind, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x, index), contexts.bind(x, index))
    over_contexts = torch.vmap(bind, in_dims=(None, 0))(x[0], index)
    assert torch.equal(over_contexts, contexts.bind(x[0].expand(5, -1), index))


def test_moving_the_module_clears_its_caches():
    contexts = BinaryContexts(4, 3, seed=0)
    before = contexts.bind(torch.ones(4), 1)
    assert contexts._caches
    contexts.double()
    assert not contexts._caches
    assert torch.equal(contexts.bind(torch.ones(4), 1), before)


def test_an_empty_batch_of_a_large_family_is_empty():
    contexts = BinaryContexts(4, 10**7, seed=0)
    none = torch.empty(0, dtype=torch.int64)
    assert contexts.bind(torch.empty(0, 4), none).shape == (0, 4)


def test_a_parameter_shares_the_cache_of_a_tensor():
    contexts = BinaryContexts(4, 3, seed=0)
    contexts.store(torch.nn.Parameter(torch.ones(2, 4)), 1)
    contexts.bind(torch.ones(4), 1)
    assert len(contexts._caches) == 1


def test_changing_a_matrix_changes_no_context():
    contexts = RotationContexts(4, 3, seed=0)
    x = torch.ones(4, dtype=torch.float64)
    before = contexts.bind(x, 1)
    contexts.matrix(1).zero_()
    assert torch.equal(contexts.bind(x, 1), before)


@pytest.mark.parametrize("context", [1, torch.tensor([1, 0])])
def test_an_unfilled_family_compiles_with_a_graph_break(context):
    contexts = BinaryContexts(4, 3, seed=0)
    x = torch.randn(2, 4)
    compiled = torch.compile(lambda x, context: contexts.bind(x, context), backend="eager")
    expected = BinaryContexts(4, 3, seed=0).bind(x, context)
    assert torch.equal(compiled(x, context), expected)


@pytest.mark.parametrize("family", FIXED_FAMILIES, ids=family_name)
def test_a_filled_family_compiles_without_a_graph_break(family):
    torch.compiler.reset()
    contexts, x = family(8, 3, seed=0), torch.randn(2, 8)
    contexts.fill(x)
    compiled = torch.compile(lambda x: contexts.bind(x, 1), backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), contexts.bind(x, 1))


@pytest.mark.parametrize("cache_bytes", [2**30, 4096], ids=["table", "recent"])
def test_threads_that_share_a_family_get_its_contexts(cache_bytes):
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        index, x = torch.arange(20), torch.ones(20, 32)
        expected = BinaryContexts(32, 20, seed=0).bind(x, index)
        for _ in range(10):
            contexts = BinaryContexts(32, 20, seed=0)
            contexts.cache_bytes = cache_bytes
            with ThreadPoolExecutor(4) as pool:
                results = list(pool.map(lambda _, c=contexts: c.bind(x, index), range(8)))
            assert all(torch.equal(y, expected) for y in [*results, contexts.bind(x, index)])
    finally:
        sys.setswitchinterval(switch)


def test_fake_parameters_do_not_enter_the_cache_of_real_ones():
    contexts = BinaryContexts(4, 3, seed=0)
    with FakeTensorMode():
        contexts.store(torch.nn.Parameter(torch.empty(2, 4)), 1)
    weight = torch.ones(2, 4)
    expected = BinaryContexts(4, 3, seed=0).store(weight, 1)
    assert torch.equal(contexts.store(torch.nn.Parameter(weight), 1), expected)
