import pytest
import torch
from torch import nn

from psp_contexts import ComplexContexts
from psp_nn import retrieve, superpose, use_context

Z = torch.randn(3, 4, 6, 6, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))


def apart(layer):
    net = nn.Sequential(nn.Conv2d(4, 4, 1), layer).double()
    return superpose(net, family=ComplexContexts, num_contexts=2, seed=0, base=False)[1]


@pytest.mark.parametrize(
    "layer",
    [nn.ReLU(), nn.GELU(), nn.Hardswish(), nn.PReLU(4), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1)],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:superpose. 17% of the parameters stay shared")
def test_a_layer_acts_on_both_parts_apart(layer):
    layer = layer.double()
    expected = torch.complex(layer(Z.real), layer(Z.imag))
    torch.testing.assert_close(apart(layer)(Z), expected)
    torch.testing.assert_close(apart(layer)(Z.conj()), torch.complex(layer(Z.real), layer(-Z.imag)))
    torch.testing.assert_close(apart(layer)(Z.real), layer(Z.real))


def test_dropout_drops_both_parts_of_a_unit():
    y = apart(nn.Dropout(0.5))(Z)
    kept = y != 0
    assert 0.3 < kept.double().mean() < 0.7
    torch.testing.assert_close(y[kept], 2 * Z[kept])


def test_alpha_dropout_acts_on_both_parts():
    plain = nn.AlphaDropout(0.5)
    layer = apart(plain)
    torch.manual_seed(0)
    expected = torch.view_as_complex(plain(torch.view_as_real(Z)))
    torch.manual_seed(0)
    torch.testing.assert_close(layer(Z), expected)


def test_pooling_refuses_to_return_indices_of_complex_maxima():
    layer = apart(nn.MaxPool2d(2, return_indices=True))
    assert len(layer(Z.real)) == 2
    with pytest.raises(ValueError, match="MaxPool2d has return_indices=True"):
        layer(Z)


def test_a_softmax_has_no_complex_form():
    with pytest.raises(RuntimeError):
        apart(nn.Softmax(1))(Z)


def test_gradients_flow_through_both_parts():
    x = Z[0, 0].clone().requires_grad_()
    assert torch.autograd.gradcheck(apart(nn.Tanh()), x)


@pytest.mark.parametrize("left_out", ["0", "2"])
def test_a_layer_that_is_left_out_gets_the_real_part(left_out):
    plain = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    options = {"num_contexts": 3, "seed": 0, "base": False, "exclude": left_out}
    net, x = superpose(plain, family=ComplexContexts, **options), Z[:, :, 0, 0].real
    with use_context(net, 2):
        expected = net[2](net[1](net[0](x)).real) if left_out == "2" else net[2](net[1](net[0](x)))
        expected = expected.real
        torch.testing.assert_close(net(x), expected)
    model = retrieve(net, 2, example=x)
    torch.testing.assert_close(model(x), expected)
    assert not any(layer._forward_pre_hooks for layer in model)
