import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from psp_contexts import BinaryContexts
from psp_nn import superpose, use_context


def test_a_mixed_batch_equals_one_call_for_each_sample(family, mlp):
    net = superpose(mlp, family=family, num_contexts=5, seed=0, base=False, bias_per_context=True)
    with torch.no_grad():
        for layer in (net[0], net[2], net[4]):
            layer._parameters["bias"].copy_(torch.randn_like(layer._parameters["bias"]))
    x = torch.randn(9, 12, dtype=torch.float64)
    context = torch.tensor([4, 0, 0, 3, 2, 1, 4, 4, 0])
    with use_context(net, context):
        mixed = net(x)
    for sample, k, y in zip(x, context.tolist(), mixed, strict=True):
        with use_context(net, k):
            torch.testing.assert_close(net(sample), y)


# A deadline would time the machine's other work, not the code.
@settings(deadline=None, derandomize=True, database=None, max_examples=10)
@given(length=st.integers(1, 5), batch=st.integers(1, 5), batch_dim=st.integers(0, 2))
def test_samples_lie_along_the_stated_dimension_even_where_all_have_one_length(
    length, batch, batch_dim
):
    layer = superpose(nn.Linear(3, 2), family=BinaryContexts, num_contexts=9, seed=1, base=False)
    shape = [length, length]
    shape.insert(batch_dim, batch)
    x = torch.randn(*shape, 3)
    context = torch.arange(batch)
    with use_context(layer, context, batch_dim=batch_dim):
        mixed = layer(x)
    for k in range(batch):
        with use_context(layer, k):
            torch.testing.assert_close(
                mixed.select(batch_dim, k), layer(x.select(batch_dim, k)), rtol=1e-4, atol=1e-5
            )


def test_a_batch_of_another_length_is_refused_by_the_layers_name(mlp):
    net = superpose(mlp.float(), family=BinaryContexts, num_contexts=5, seed=0, base=False)
    with (
        use_context(net, torch.tensor([0, 1, 2])),
        pytest.raises(ValueError, match=r"input has shape \(4, 12\), but .* along dimension 0"),
    ):
        net(torch.randn(4, 12))
    with (
        use_context(net, torch.tensor([0, 1, 2]), batch_dim=1),
        pytest.raises(ValueError, match="along dimension 1"),
    ):
        net(torch.randn(4, 12))


@pytest.mark.parametrize("context", [5, torch.tensor(5), torch.tensor([0, 5])])
def test_an_index_out_of_range_raises_and_changes_nothing(mlp, context):
    net = superpose(mlp, family=BinaryContexts, num_contexts=5, seed=0, base=False)
    use_context(net, 3)
    before = net[0].weight
    with pytest.raises(IndexError, match=r"context=5 is not one of the 5 contexts .*=6 or more"):
        use_context(net, context)
    with pytest.raises(IndexError, match="negative indices do not count from the end"):
        use_context(net, context * 0 - 1)
    torch.testing.assert_close(net[0].weight, before)


def test_indices_of_another_dtype_or_shape_are_refused(mlp):
    net = superpose(mlp, family=BinaryContexts, num_contexts=5, seed=0, base=False)
    with pytest.raises(TypeError, match=r"convert it with \.long\(\)"):
        use_context(net, torch.tensor([1.0]))
    with pytest.raises(ValueError, match="one index per sample"):
        use_context(net, torch.zeros(2, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="batch_dim must be 0 or more, but is -1"):
        use_context(net, torch.zeros(2, dtype=torch.int64), batch_dim=-1)
    with pytest.raises(ValueError, match="call superpose first"):
        use_context(mlp, 0)


def test_the_context_manager_restores_the_previous_selection(mlp):
    net = superpose(mlp, family=BinaryContexts, num_contexts=5, seed=0, base=False)
    use_context(net, 2)
    before = net[0].weight
    with use_context(net, 4) as same:
        assert same is net
        with use_context(net, torch.tensor([1])):
            net(torch.randn(1, 12, dtype=torch.float64))
        assert not torch.equal(net[0].weight, before)
    torch.testing.assert_close(net[0].weight, before)


def test_a_weight_read_while_the_batch_mixes_contexts_is_refused_by_name(mlp):
    net = superpose(
        mlp, family=BinaryContexts, num_contexts=5, seed=0, base=False, bias_per_context=True
    )
    with use_context(net, torch.tensor([1, 2])):
        for name in ("weight", "bias"):
            with pytest.raises(RuntimeError, match=f"'{name}' of layer '2' is read as one tensor"):
                _ = getattr(net[2], name) + 1


def test_a_context_in_use_serves_one_with_statement(mlp):
    net = superpose(mlp, family=BinaryContexts, num_contexts=5, seed=0, base=False)
    four = use_context(net, 4)
    with four:
        pass
    assert net[0].superposition.selection.index == 0
    with pytest.raises(RuntimeError, match="another context has been selected since"), four:
        pass
    three = use_context(net, 3)
    use_context(net, 2)
    with pytest.raises(RuntimeError, match="another context has been selected since"), three:
        pass
    assert net[0].superposition.selection.index == 2


def test_indices_changed_after_the_selection_have_no_effect():
    net = superpose(
        nn.Conv1d(4, 3, 1),
        family=BinaryContexts,
        num_contexts=5,
        seed=0,
        base=False,
        bias_per_context=True,
    )
    x, index = torch.randn(2, 4, 1), torch.tensor([1, 2])
    use_context(net, index)
    before = net(x)
    index.fill_(4)
    torch.testing.assert_close(net(x), before, rtol=0, atol=0)


def test_a_failed_selection_changes_nothing():
    net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    net = superpose(net, family=BinaryContexts, num_contexts=9, seed=0, base=False)
    net[1].contexts.cache_bytes = 9  # a transform hides the index, so that all must fit
    net[1].contexts._caches.clear()
    use_context(net, 7)
    with pytest.raises(MemoryError):
        torch.func.vmap(lambda k: (use_context(net, k), net(torch.ones(1, 4)))[1])(torch.arange(2))
    assert net[0].superposition.selection.index == net[1].superposition.selection.index == 7
