import copy

import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts, ComplexContexts, KroneckerRotationContexts
from psp_nn import Superposed, SuperposedLinear, superpose, use_context


def binary(net, **options):
    return superpose(net, contexts=BinaryContexts, num_contexts=5, seed=0, **options)


def test_the_original_is_untouched_and_the_class_is_kept(mlp):
    before = copy.deepcopy(mlp.state_dict())
    net = binary(mlp)
    with torch.no_grad():
        net[0].bias.add_(1)
    assert type(net) is nn.Sequential
    assert not any(isinstance(module, Superposed) for module in mlp.modules())
    assert all(torch.equal(value, before[name]) for name, value in mlp.state_dict().items())


def test_every_layer_has_its_own_contexts_named_after_it(mlp):
    net = binary(nn.ModuleDict({"body": mlp}))
    assert net["body"][2].contexts.name == "body.2"
    assert net["body"][2].contexts.dim == 16
    assert not torch.equal(net["body"][2].contexts.matrix(1), net["body"][4].contexts.matrix(1))


def test_a_network_learns_with_every_family_as_soon_as_it_is_superposed(family, mlp):
    net = superpose(mlp, contexts=family, num_contexts=5, seed=0)
    optimiser = torch.optim.RMSprop(net.parameters(), lr=1e-2)
    x = torch.randn(32, 12, dtype=torch.float64)
    losses = []
    for _ in range(30):
        loss = (net(x) - 1).square().mean()
        assert loss.dtype == torch.float64
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_the_forward_pass_is_that_of_the_paper(family, mlp):
    layer = superpose(mlp[0], contexts=family, num_contexts=5, seed=0)
    x = torch.randn(7, 12, dtype=torch.float64)
    weight = layer.state_dict()["weight"]
    matrix = layer.contexts.matrix(3).detach()
    expected = x.to(matrix.dtype) @ matrix.T @ weight.to(matrix.dtype).T + layer.bias
    use_context(layer, 3)
    for more in (x, x.expand(40, 7, 12)):  # few vectors, and more than the weight has rows
        torch.testing.assert_close(layer(more), expected.real.expand(*more.shape[:-1], 16))


def test_a_bias_per_context_is_used_for_that_context_alone(mlp):
    net = binary(mlp, bias_per_context=True)
    table = net[0].state_dict()["bias"]
    assert table.shape == (5, 16)
    table[3] += 1
    x = torch.randn(2, 12, dtype=torch.float64)
    difference = []
    for k in (2, 3):
        use_context(net, k)
        difference.append(net[0].bias - mlp[0].bias)
    torch.testing.assert_close(difference[0], torch.zeros_like(difference[0]))
    torch.testing.assert_close(difference[1], torch.ones_like(difference[1]))
    use_context(net, 3)
    net(x).sum().backward()
    gradient = net[0]._parameters["bias"].grad
    assert gradient[3].abs().sum() > 0
    assert gradient[[0, 1, 2, 4]].abs().sum() == 0


def test_tied_weights_stay_tied_with_the_same_contexts():
    net = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    net[1].weight = net[0].weight
    net = binary(net)
    assert net[1].stored() is net[0].stored()
    torch.testing.assert_close(net[1].weight, net[0].weight)


def test_complex_weights_keep_their_magnitude_and_have_uniform_phases():
    plain = nn.Linear(300, 200)
    layer = superpose(plain, contexts=ComplexContexts, num_contexts=2, seed=0)
    weight = layer.state_dict()["weight"]
    assert weight.dtype == torch.complex64
    torch.testing.assert_close(weight.abs(), plain.weight.detach().abs())
    moments = [(torch.exp(1j * n * weight.angle())).mean().abs() for n in (1, 2, 3)]
    assert max(moments) < 5 / weight.numel() ** 0.5
    again = superpose(plain, contexts=ComplexContexts, num_contexts=2, seed=0)
    assert torch.equal(again.state_dict()["weight"], weight)
    real = superpose(plain, contexts=ComplexContexts, num_contexts=2, seed=0, random_phases=False)
    assert torch.equal(real.state_dict()["weight"].real, plain.weight.detach())


def test_include_and_exclude_choose_by_pattern(mlp):
    net = binary(mlp, include=["0", "2"])
    assert [isinstance(net[i], SuperposedLinear) for i in (0, 2, 4)] == [True, True, False]
    net = binary(mlp, exclude="4")
    assert [isinstance(net[i], SuperposedLinear) for i in (0, 2, 4)] == [True, True, False]


def test_turning_nothing_is_refused(mlp):
    with pytest.raises(ValueError, match="nothing in this Sequential was turned"):
        binary(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match=r"include='fc\.\*' matches no layer .* '0', '2', '4'"):
        binary(mlp, include="fc.*")
    with pytest.raises(ValueError, match="nothing in this Sequential was turned"):
        binary(mlp, include=["0"], exclude="0")
    with pytest.raises(ValueError, match="'0' is superposed already"):
        binary(binary(mlp))


def test_a_length_that_a_family_cannot_serve_is_refused_by_the_layers_name():
    with pytest.raises(ValueError, match=r"layer '1', whose rows have 7 numbers.*exclude"):
        superpose(
            nn.Sequential(nn.Linear(4, 7), nn.Linear(7, 2)),
            contexts=KroneckerRotationContexts,
            num_contexts=2,
            seed=0,
        )
