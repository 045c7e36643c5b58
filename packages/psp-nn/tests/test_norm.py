import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from psp_contexts import BinaryContexts, ComplexContexts
from psp_nn import Norms, superpose, use_context
from psp_nn.layers.selection import Mixture

NORMS = [
    nn.BatchNorm2d(4),
    nn.BatchNorm2d(4, momentum=None),
    nn.BatchNorm2d(4, affine=False),
    nn.BatchNorm2d(4, track_running_stats=False),
    nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    nn.GroupNorm(2, 4),
    nn.LayerNorm([5, 5]),
    nn.LayerNorm([4, 5, 5], bias=False),
    nn.RMSNorm([5, 5]),
]


def built(norm, family=BinaryContexts, **options):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), norm).double()
    return superpose(net, family=family, num_contexts=3, seed=0, base=False, **options)


def trained(net):
    """Give every model other entries in all tables of a norm layer."""
    with torch.no_grad():
        for table in net[1].parameters():
            table.add_(torch.rand_like(table))
        for table in net[1].buffers():
            if table.is_floating_point():
                table.add_(torch.rand_like(table))
    return net


@pytest.mark.parametrize("family", [BinaryContexts, ComplexContexts])
@pytest.mark.parametrize("norms", Norms)
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_a_mixed_batch_equals_one_call_for_each_context(norm, mode, norms, family):
    net = trained(built(norm, family, norms=norms))
    net.train(mode == "train")
    x = torch.randn(7, 3, 5, 5, dtype=torch.float64)
    context = torch.tensor([2, 0, 1, 2, 0, 1, 0])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    alone = []
    for k in range(3):
        with use_context(net, k):
            alone.append(net(x[context == k]))
    net.load_state_dict(before)
    with use_context(net, context):
        mixed = net(x)
    for k in range(3):
        torch.testing.assert_close(mixed[context == k], alone[k])


def test_training_one_model_does_not_change_the_norms_of_others():
    net = built(nn.BatchNorm2d(4))
    before = {name: value.clone() for name, value in net[1].state_dict().items()}
    optimiser = torch.optim.SGD(net[1].parameters(), lr=0.1)
    use_context(net, 1)
    net(torch.randn(6, 3, 5, 5, dtype=torch.float64)).square().mean().backward()
    optimiser.step()
    for name, after in net[1].state_dict().items():
        assert torch.equal(after[[0, 2]], before[name][[0, 2]])
        assert not torch.equal(after[1], before[name][1]) or name == "bias"


def test_statistics_equal_those_of_an_ordinary_layer():
    net = built(nn.BatchNorm2d(4))
    plain = nn.BatchNorm2d(4).double()
    x = torch.randn(6, 3, 5, 5, dtype=torch.float64)
    use_context(net, 2)
    plain(net[0](x))
    net(x)
    torch.testing.assert_close(net[1].running_var, plain.running_var)
    torch.testing.assert_close(net[1].running_mean, plain.running_mean)
    assert net[1].num_batches_tracked == 1


@pytest.mark.parametrize("family", [BinaryContexts, ComplexContexts])
@pytest.mark.parametrize("norms", [Norms.PER_CONTEXT, Norms.SHARED])
@pytest.mark.parametrize("context", [1, torch.tensor(1)])
def test_update_bn_recomputes_the_statistics_of_one_model(context, norms, family):
    net = trained(built(nn.BatchNorm2d(4), family, norms=norms))
    before = net.state_dict()["1.running_var"].clone()
    x = torch.randn(2, 8, 3, 5, 5, dtype=torch.float64)
    with use_context(net, context):
        net(3 + 2 * x[0])
        update_bn(iter(x), net)
        y = torch.stack([net[0](batch) for batch in x]).detach()
        means = y.mean((0, 1, 3, 4))
    after = net.state_dict()
    if norms == Norms.PER_CONTEXT:
        assert torch.equal(after["1.running_var"][::2], before[::2])
        after = {name: table[1] for name, table in after.items() if name.startswith("1.")}
    expected = torch.view_as_real(means).T if means.is_complex() else means
    torch.testing.assert_close(after["1.running_mean"], expected)
    assert (after["1.num_batches_tracked"] == 2).all()


def test_the_statistics_of_several_models_are_not_reset():
    net = built(nn.BatchNorm2d(4))
    with use_context(net, torch.tensor([0, 1])), pytest.raises(RuntimeError, match="select one"):
        net[1].reset_running_stats()


def test_frozen_norms_do_not_change():
    net = built(nn.BatchNorm2d(4), norms=Norms.FROZEN).train()
    before = {name: value.clone() for name, value in net[1].state_dict().items()}
    use_context(net, 1)
    net(torch.randn(6, 3, 5, 5, dtype=torch.float64)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in net[1].state_dict().items())
    assert all(parameter.grad is None for parameter in net[1].parameters())


def test_the_papers_norms_have_neither_affine_nor_statistics():
    net = built(nn.BatchNorm2d(4), norms=Norms.BATCH).eval()
    assert not net[1].state_dict()
    y = net(torch.randn(6, 3, 5, 5, dtype=torch.float64))
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(4, dtype=torch.float64))
    assert isinstance(built(nn.LayerNorm(5), norms=Norms.BATCH)[1].weight, nn.Parameter)


def test_a_mixed_batch_keeps_the_dtype_under_autocast():
    net = nn.Sequential(nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(8, 2))
    net = superpose(
        net, family=BinaryContexts, num_contexts=3, seed=0, base=False, bias_per_context=True
    ).eval()
    for context in (1, torch.tensor([0, 1])):
        with use_context(net, context), torch.autocast("cpu", torch.bfloat16):
            assert net(torch.randn(2, 3, 2)).dtype == torch.bfloat16


def test_a_norm_without_a_bias_has_no_such_attribute():
    norm = superpose(nn.RMSNorm(4), family=BinaryContexts, num_contexts=3, seed=0, base=False)
    assert hasattr(norm, "weight")
    assert hasattr(norm, "bias") == hasattr(nn.RMSNorm(4), "bias")


def test_norms_of_a_mixed_batch_do_not_broadcast():
    norm = nn.BatchNorm1d(4)
    norm = superpose(norm, family=BinaryContexts, num_contexts=3, seed=0, base=False).eval()
    use_context(norm, torch.tensor([0, 1]))
    with pytest.raises(RuntimeError, match="running_mean should contain 1 elements not 4"):
        norm(torch.ones(2, 1, 5))


def test_the_statistics_of_a_mixture_are_not_updated():
    norm = superpose(nn.BatchNorm1d(4), family=BinaryContexts, num_contexts=3, seed=0, base=False)
    norm.select(Mixture(torch.full((3,), 1 / 3)))
    with pytest.raises(RuntimeError, match=r"statistics of a mixture of models; call eval\(\)"):
        norm(torch.randn(5, 4))
