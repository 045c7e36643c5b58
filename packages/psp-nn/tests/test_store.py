import copy

import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts, ComplexContexts, RotationContexts
from psp_nn import Norms, retrieve, store, superpose, use_context


def empty(net, **options):
    net = copy.deepcopy(net)
    with torch.no_grad():
        for value in net.parameters():
            value.zero_()
    return superpose(net, family=RotationContexts, num_contexts=4, seed=0, base=False, **options)


def convolutional():
    return nn.Sequential(
        nn.Conv2d(3, 4, 2, groups=1), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 2, groups=2)
    ).double()


def test_a_single_stored_model_is_retrieved_exactly():
    model = convolutional()
    model(torch.randn(9, 3, 6, 6, dtype=torch.float64))
    net = empty(model, bias_per_context=True)
    store(net, 2, model)
    for name, value in retrieve(net, 2).state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name])


def test_models_add_up_as_equation_1_says(family):
    models = [nn.Linear(4, 3, bias=False).double() for _ in range(3)]
    start = nn.Linear(4, 3, bias=False).double()
    net = superpose(start, family=family, num_contexts=3, seed=0, base=False, random_phases=False)
    expected = net.state_dict()["weight"].clone()
    for k, model in enumerate(models):
        store(net, k, model)
        inverse = net.contexts.matrix(k).detach().inverse()
        expected += model.weight.detach().to(inverse.dtype) @ inverse
    torch.testing.assert_close(net.state_dict()["weight"], expected)


def test_storing_a_model_leaves_the_norms_and_biases_of_the_others():
    model = convolutional()
    net = empty(model, bias_per_context=True)
    with torch.no_grad():
        model[1].running_mean.add_(1)
        model[0].bias.add_(1)
    before = net.state_dict()["1.running_mean"].clone()
    store(net, 2, model)
    assert torch.equal(net.state_dict()["1.running_mean"][[0, 1, 3]], before[[0, 1, 3]])
    torch.testing.assert_close(net.state_dict()["1.running_mean"][2], model[1].running_mean)
    use_context(net, 2)
    torch.testing.assert_close(net[0].bias, model[0].bias)


def test_a_model_that_differs_in_a_shared_tensor_is_refused_and_nothing_changes(mlp):
    net = superpose(mlp, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    before = copy.deepcopy(net.state_dict())
    model = copy.deepcopy(mlp)
    with torch.no_grad():
        model[4].bias.add_(1)
    with pytest.raises(ValueError, match=r"'4\.bias' is shared by all models"):
        store(net, 1, model)
    norms = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    shared = superpose(
        norms, family=BinaryContexts, num_contexts=3, seed=0, base=False, norms=Norms.SHARED
    )
    norms[1].running_mean.add_(1)
    with pytest.raises(ValueError, match=r"'1\.running_mean' is shared"):
        store(shared, 1, norms)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_model_of_another_architecture_is_refused_by_name(mlp):
    net = superpose(mlp, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    with pytest.raises(ValueError, match=r"only the network has '.*\.weight'"):
        store(net, 1, mlp[:3])
    wider = nn.Sequential(nn.Linear(13, 16), *mlp[1:])
    with pytest.raises(ValueError, match=r"'0\.weight' is .* of shape \(16, 13\) in the m"):
        store(net, 1, wider)
    with pytest.raises(IndexError, match="context=3"):
        store(net, 3, mlp)
    with pytest.raises(TypeError, match=r"store needs one context, but got shape \(2,\)"):
        store(net, torch.tensor([1, 2]), mlp)
    with pytest.raises(ValueError, match="call superpose first"):
        store(mlp, 1, mlp)


def test_a_module_that_is_used_twice_is_stored_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).double()
            self.b = self.a

        def forward(self, x):
            return self.b(self.a(x))

    empty = Twice()
    nn.init.zeros_(empty.a[0].weight)
    net = superpose(
        empty, family=BinaryContexts, num_contexts=3, seed=0, base=False, bias_per_context=True
    ).eval()
    model, x = Twice().eval(), torch.randn(2, 4, dtype=torch.float64)
    store(net, 2, model)
    use_context(net, 2)
    torch.testing.assert_close(net(x), model(x))


def test_models_whose_tied_weights_differ_and_superpositions_are_refused():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    many = superpose(
        net, family=BinaryContexts, num_contexts=3, seed=0, base=False, bias_per_context=True
    )
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    before = many[0].stored().clone()
    with pytest.raises(
        ValueError, match=r"'0\.weight' and '1\.weight' are tied, but differ in the model"
    ):
        store(many, 1, model)
    with pytest.raises(ValueError, match="the model is superposed itself"):
        store(many, 1, many)
    torch.testing.assert_close(many[0].stored(), before, rtol=0, atol=0)


@pytest.mark.parametrize("norms", list(Norms))
def test_a_complex_network_stores_the_model_it_was_made_from(norms):
    plain = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LayerNorm(4))
    net = superpose(
        plain,
        family=ComplexContexts,
        num_contexts=4,
        seed=0,
        base=False,
        norms=norms,
        bias_per_context=True,
    )
    if norms is Norms.BATCH:
        plain[1] = nn.BatchNorm1d(4, affine=False, track_running_stats=False)
    before = net[0].stored().detach().clone()
    store(net, 2, plain)
    assert not torch.equal(net[0].stored(), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net: net[2].weight[0].fill_(torch.nan), r"'2\.weight' in the model is not finite"),
        (lambda net: net[0].weight[0].fill_(torch.inf), r"'0\.weight' in the model is not finite"),
        (
            lambda net: setattr(net[0], "weight", nn.Parameter(net[0].weight.to(torch.complex128))),
            r"'0\.weight' is torch\.complex128 .* in the model, but torch\.float64",
        ),
    ],
)
def test_weights_that_would_spoil_other_models_are_refused_and_nothing_changes(
    mlp, change, message
):
    net = superpose(mlp, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    before = copy.deepcopy(net.state_dict())
    with torch.no_grad():
        change(mlp)
    with pytest.raises(ValueError, match=message):
        store(net, 1, mlp)
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)
    assert net[0].superposition.selection.index == 0


def test_a_model_without_data_changes_nothing(mlp):
    net = superpose(
        mlp, family=BinaryContexts, num_contexts=3, seed=0, base=False, bias_per_context=True
    )
    before = copy.deepcopy(net.state_dict())
    mlp[4].to("meta")
    with pytest.raises((NotImplementedError, RuntimeError)):
        store(net, 1, mlp)
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)
