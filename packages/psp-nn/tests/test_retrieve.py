import copy

import pytest
import torch
import torchvision
from torch import nn

from psp_contexts import BinaryContexts, ComplexContexts, Contexts
from psp_nn import Norms, Superposed, retrieve, superpose, use_context


def assert_same_structure(model, plain):
    assert [type(m) for m in model.modules()] == [type(m) for m in plain.modules()]
    assert list(model.state_dict()) == list(plain.state_dict())
    shapes = [value.shape for value in model.state_dict().values()]
    assert shapes == [value.shape for value in plain.state_dict().values()]
    assert not any(isinstance(m, Superposed | Contexts) for m in model.modules())
    for module, original in zip(model.modules(), plain.modules(), strict=True):
        assert set(vars(module)) == set(vars(original))


def perturbed(net):
    with torch.no_grad():
        for value in [*net.parameters(), *net.buffers()]:
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value))
    return net


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "convnext_tiny", "vit_b_16", "swin_t"]
)
def test_a_retrieved_network_is_an_ordinary_one_that_computes_the_same(name):
    torch.manual_seed(0)
    size = {"image_size": 32} if name == "vit_b_16" else {}
    plain = getattr(torchvision.models, name)(num_classes=10, **size).double()
    net = perturbed(
        superpose(plain, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    ).eval()
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    model = retrieve(net, 2)
    assert_same_structure(model, plain)
    with torch.no_grad(), use_context(net, 2):
        torch.testing.assert_close(model(x), net(x), rtol=1e-9, atol=1e-12)


def test_every_family_is_retrieved_exactly(family, mlp):
    net = perturbed(
        superpose(mlp, family=family, num_contexts=5, seed=0, base=False, bias_per_context=True)
    )
    x = torch.randn(6, 12, dtype=torch.float64)
    if family(4, 1, seed=0).is_complex:
        with pytest.raises(ValueError, match="this network is complex; pass an input as example"):
            retrieve(net, 4)
        model = retrieve(net, 4, example=x[:1])
        assert [type(m) for m in model.modules()] == [type(m) for m in mlp.modules()]
        assert [layer.weight.shape for layer in model[::2]] == [(32, 12), (32, 32), (4, 32)]
        assert not any(value.is_complex() for value in model.parameters())
        assert not model._forward_hooks
    else:
        model = retrieve(net, 4)
        assert_same_structure(model, mlp)
    with use_context(net, 4):
        torch.testing.assert_close(model(x), net(x), rtol=1e-12, atol=1e-12)


def test_a_transformer_is_retrieved_with_its_packed_projections():
    torch.manual_seed(0)
    plain = nn.Transformer(8, 2, 1, 1, 12, dropout=0.0, batch_first=True).double()
    net = perturbed(
        superpose(plain, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    ).eval()
    model = retrieve(net, 1)
    assert_same_structure(model, plain)
    source, target = torch.randn(2, 5, 4, 8, dtype=torch.float64)
    with use_context(net, 1):
        torch.testing.assert_close(model(source, target), net(source, target))


@pytest.mark.parametrize("norms", Norms)
def test_norms_are_those_of_the_model(norms):
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).double()
    net = superpose(plain, family=BinaryContexts, num_contexts=3, seed=0, base=False, norms=norms)
    perturbed(net).eval()
    model = retrieve(net, 1)
    assert [type(m) for m in model.modules()] == [type(m) for m in plain.modules()]
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    with use_context(net, 1):
        torch.testing.assert_close(model(x), net(x))


def test_a_complex_convolutional_network_is_retrieved_at_twice_the_width():
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 6, 2),
        nn.GroupNorm(3, 6),
        nn.MaxPool2d(2),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(6 * 9, 5),
    ).double()
    net = superpose(
        plain, family=ComplexContexts, num_contexts=3, seed=0, base=False, bias_per_context=True
    )
    perturbed(net).eval()
    x = torch.randn(4, 3, 7, 7, dtype=torch.float64)
    model = retrieve(net, 2, example=x[:1])
    with use_context(net, 2):
        torch.testing.assert_close(model(x), net(x), rtol=1e-9, atol=1e-9)
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), model(x))


def test_a_complex_network_without_a_real_form_is_refused():
    x = torch.randn(4, 6)
    net = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 5))
    net = superpose(net, family=ComplexContexts, num_contexts=3, seed=0, base=False)
    with pytest.raises(ValueError, match="no ordinary form of twice the width"):
        retrieve(net, 1, example=x)
    grouped = nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 1, 1))
    grouped = superpose(grouped, family=ComplexContexts, num_contexts=3, seed=0, base=False)
    with pytest.raises(ValueError, match="layer '0' has groups"):
        retrieve(grouped, 1, example=torch.randn(1, 4, 2, 2))


class Applied(nn.Module):
    """Applies its first layer several times, and its second one never."""

    def __init__(self, times):
        super().__init__()
        self.times = times
        self.used, self.unused = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        for _ in range(self.times):
            x = self.used(x)
        return x


@pytest.mark.parametrize(
    ("times", "message"),
    [(1, "layer 'unused' did not run"), (2, "layer 'used' takes both real and complex input")],
)
def test_a_complex_network_whose_layers_cannot_be_doubled_is_refused(times, message):
    net = superpose(Applied(times), family=ComplexContexts, num_contexts=3, seed=0, base=False)
    with pytest.raises(ValueError, match=message):
        retrieve(net, 1, example=torch.randn(4, 6))


def test_the_superposition_does_not_change_and_shares_nothing_with_the_model(mlp):
    net = superpose(mlp, family=BinaryContexts, num_contexts=5, seed=0, base=False)
    x = torch.randn(2, 12, dtype=torch.float64)
    before = net(x)
    model = retrieve(net, 3)
    with torch.no_grad():
        for value in model.parameters():
            value.zero_()
    torch.testing.assert_close(net(x), before)


def test_tied_weights_are_retrieved_tied():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    model = retrieve(superpose(net, family=BinaryContexts, num_contexts=2, seed=0, base=False), 1)
    assert model[0].weight is model[1].weight


def test_one_model_is_retrieved_at_a_time(mlp):
    net = superpose(mlp, family=BinaryContexts, num_contexts=5, seed=0, base=False)
    with pytest.raises(TypeError, match=r"retrieve needs one context, but got shape \(2,\)"):
        retrieve(net, torch.tensor([1, 2]))
    with pytest.raises(IndexError, match="context=5"):
        retrieve(net, 5)
    net = superpose(mlp, family=ComplexContexts, num_contexts=5, seed=0, base=False)
    for example in (None, torch.zeros(0, 12)):
        with pytest.raises(ValueError, match="this network is complex; pass an input as example"):
            retrieve(net, 0, example=example)


def test_a_retrieved_network_can_be_exported_with_a_dynamic_batch(mlp):
    net = superpose(mlp, family=BinaryContexts, num_contexts=5, seed=0, base=False)
    model = retrieve(net, 3)
    x = torch.randn(4, 12, dtype=torch.float64)
    batch = torch.export.Dim("batch")
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: batch},)).module()
    use_context(net, 3)
    more = torch.randn(9, 12, dtype=torch.float64)
    torch.testing.assert_close(exported(more), net(more))


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm1d(6), nn.LayerNorm(6), nn.GroupNorm(2, 6), nn.RMSNorm(6)]
)
@pytest.mark.parametrize("norms", [Norms.PER_CONTEXT, Norms.SHARED])
def test_a_complex_norm_before_a_layer_that_is_left_out_keeps_its_real_part(norm, norms):
    net = nn.Sequential(nn.Linear(4, 6), copy.deepcopy(norm), nn.ReLU(), nn.Linear(6, 3)).double()
    options = {"family": ComplexContexts, "num_contexts": 3, "seed": 0, "base": False}
    net = perturbed(superpose(net, **options, exclude="3", norms=norms)).eval()
    x = torch.randn(5, 4, dtype=torch.float64)
    model = retrieve(net, 1, example=x[:1])
    with use_context(net, 1):
        torch.testing.assert_close(model(x), net(x))


class Squared(nn.Module):
    """Squares complex units, which no real network of twice the width does."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6, bias=False), nn.Linear(6, 3)

    def forward(self, x):
        h = self.first(x)
        return self.second(h * h)


@pytest.mark.parametrize("example", [torch.zeros(1, 4), torch.ones(1, 4)])
def test_an_example_of_zeros_hides_no_difference(example):
    net = superpose(Squared(), family=ComplexContexts, num_contexts=3, seed=0, base=False)
    with pytest.raises(ValueError, match="no ordinary form of twice the width"):
        retrieve(net, 1, example=example)


class Outputs(nn.Module):
    """Adds the outputs of two layers with one unit."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 1), nn.Linear(4, 1)

    def forward(self, x):
        return self.first(x) + self.second(x)


def test_outputs_that_would_broadcast_are_refused():
    net = superpose(
        Outputs(), family=ComplexContexts, num_contexts=3, seed=0, base=False, random_phases=False
    )
    for value in net.first.parameters():
        value.data.zero_()  # both units of the doubled sum are then equal
    with pytest.raises(ValueError, match="no ordinary form of twice the width"):
        retrieve(net, 1, example=torch.randn(5, 4))


@pytest.mark.parametrize("middle", [nn.Linear(6, 6), nn.BatchNorm1d(6), nn.LayerNorm(6)])
def test_a_layer_that_takes_the_real_part_between_complex_ones_is_refused_by_name(middle):
    net = nn.Sequential(nn.Linear(4, 6), middle, nn.Linear(6, 3))
    options = {"family": ComplexContexts, "num_contexts": 3, "seed": 0, "base": False}
    net = superpose(net, **options, exclude="1").eval()
    with pytest.raises(ValueError, match=r"layer '1' is left out .* before layer '2'"):
        retrieve(net, 1, example=torch.randn(1, 4))
