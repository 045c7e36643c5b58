import copy

import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts, ComplexContexts, KroneckerRotationContexts
from psp_contexts.operators import Diagonal
from psp_nn import Superposed, superpose, use_context
from psp_nn.layers.linear import SuperposedLinear


def binary(net, **options):
    return superpose(net, family=BinaryContexts, num_contexts=5, seed=0, base=False, **options)


def test_the_original_is_unchanged_and_the_class_is_kept(mlp):
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
    net = superpose(mlp, family=family, num_contexts=5, seed=0, base=False)
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
    layer = superpose(mlp[0], family=family, num_contexts=5, seed=0, base=False)
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
    layer = superpose(plain, family=ComplexContexts, num_contexts=2, seed=0, base=False)
    weight = layer.state_dict()["weight"]
    assert weight.dtype == torch.complex64
    torch.testing.assert_close(weight.abs(), plain.weight.detach().abs())
    moments = [(torch.exp(1j * n * weight.angle())).mean().abs() for n in (1, 2, 3)]
    assert max(moments) < 5 / weight.numel() ** 0.5
    again = superpose(plain, family=ComplexContexts, num_contexts=2, seed=0, base=False)
    assert torch.equal(again.state_dict()["weight"], weight)
    real = superpose(
        plain, family=ComplexContexts, num_contexts=2, seed=0, base=False, random_phases=False
    )
    assert torch.equal(real.state_dict()["weight"].real, plain.weight.detach())


def test_include_and_exclude_choose_by_pattern(mlp):
    net = binary(mlp, include=["0", "2"])
    assert [isinstance(net[i], SuperposedLinear) for i in (0, 2, 4)] == [True, True, False]
    net = binary(mlp, exclude="4")
    assert [isinstance(net[i], SuperposedLinear) for i in (0, 2, 4)] == [True, True, False]


def test_converting_nothing_is_refused(mlp):
    with pytest.raises(ValueError, match="no layer of this Sequential matches"):
        binary(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match=r"include='fc\.\*' matches no layer .* '0', '2', '4'"):
        binary(mlp, include="fc.*")
    with pytest.raises(ValueError, match="no layer of this Sequential matches"):
        binary(mlp, include=["0"], exclude="0")
    with pytest.raises(ValueError, match="'0' of net is superposed already"):
        binary(binary(mlp))


def test_a_length_that_a_family_cannot_serve_is_refused_by_the_layers_name():
    with pytest.raises(ValueError, match=r"layer '1', whose rows have length 7.*exclude"):
        superpose(
            nn.Sequential(nn.Linear(4, 7), nn.Linear(7, 2)),
            family=KroneckerRotationContexts,
            num_contexts=2,
            seed=0,
            base=False,
        )


class Tied(nn.Module):
    def __init__(self, tied=True):
        super().__init__()
        self.words = nn.Embedding(7, 4)
        self.out = nn.Linear(4, 7)
        if tied:
            self.out.weight = self.words.weight

    def forward(self, x):
        return self.out(self.words(x))


@pytest.mark.parametrize("pattern", ["out", "words"])
def test_a_tied_weight_is_superposed_in_all_its_layers_or_in_none(pattern):
    with pytest.raises(
        ValueError, match=r"is tied to '(words|out)\.weight', which is; leave out both"
    ):
        superpose(
            Tied(), family=BinaryContexts, num_contexts=3, seed=0, base=False, exclude=pattern
        )


def test_a_weight_tied_to_a_tensor_of_the_network_itself_is_refused():
    net = nn.Sequential(nn.Linear(3, 3))
    net.register_parameter("own", net[0].weight)
    with pytest.raises(
        ValueError, match=r"'own' is not to be superposed, but is tied to '0\.weight'"
    ):
        superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False)


def test_a_kernel_tied_to_a_transposed_one_is_refused():
    net = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ConvTranspose2d(4, 4, 3))
    net[1].weight = net[0].weight
    with pytest.raises(ValueError, match=r"'1\.weight' is tied to '0\.weight', but has other rows"):
        superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False)


def test_tied_biases_and_affines_stay_tied():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.LayerNorm(3), nn.LayerNorm(3))
    net[1].bias, net[3].weight = net[0].bias, net[2].weight
    for family in (BinaryContexts, ComplexContexts):
        many = superpose(
            net, family=family, num_contexts=3, seed=0, base=False, bias_per_context=True
        )
        assert many[1]._parameters["bias"] is many[0]._parameters["bias"]
        assert many[3]._parameters["weight"] is many[2]._parameters["weight"]


def test_parametrized_weights_are_refused_by_name():
    net = nn.Sequential(nn.Linear(3, 3), nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)))
    with pytest.raises(ValueError, match="'weight' of layer '1' is computed from other"):
        superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    net = superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False, exclude="1")
    with pytest.raises(RuntimeError, match=r"'weight' of layer '0' is read .* as a copy"):
        nn.utils.parametrizations.weight_norm(net[0])


def test_uninitialised_layers_are_refused_by_name():
    with pytest.raises(ValueError, match="layer '0' has no weights yet; run net once"):
        superpose(
            nn.Sequential(nn.LazyLinear(3)),
            family=BinaryContexts,
            num_contexts=3,
            seed=0,
            base=False,
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norms": "frozn"}, "'frozn' is not a valid Norms"),
        ({"num_contexts": 0}, "num_contexts must be at least 1, but is 0"),
    ],
)
def test_bad_options_are_refused_even_without_weights(options, message):
    options = {"num_contexts": 3, **options}
    with pytest.raises(ValueError, match=message):
        superpose(nn.BatchNorm1d(3), family=BinaryContexts, seed=0, base=False, **options)


def test_norms_are_chosen_by_name():
    norm = superpose(
        nn.BatchNorm1d(3), family=BinaryContexts, num_contexts=3, seed=0, base=False, norms="shared"
    )
    assert norm.superposition.per_context == ()


def test_a_family_of_another_size_is_refused():
    def too_small(dim, num_contexts, **options):
        return BinaryContexts(1, num_contexts, **options)

    with pytest.raises(ValueError, match="gave 3 contexts of dim=1, but 'weight' of layer '' need"):
        superpose(nn.Linear(4, 2), family=too_small, num_contexts=3, seed=0, base=False)


def test_a_complex_family_is_refused_by_layers_without_a_complex_form():
    with pytest.raises(ValueError, match="layer '0' has no complex form, which ComplexContexts"):
        superpose(
            nn.Sequential(nn.GRU(3, 2)), family=ComplexContexts, num_contexts=3, seed=0, base=False
        )


@pytest.mark.parametrize("name", ["weigth", "bias"])
def test_contexts_are_those_of_superposed_parameters(name):
    layer = superpose(nn.Linear(3, 2), family=BinaryContexts, num_contexts=3, seed=0, base=False)
    with pytest.raises(ValueError, match=f"no superposed parameter '{name}'; choose .* 'weight'"):
        layer.contexts_for(name)


def test_only_parameters_are_stored():
    layer = superpose(nn.Linear(3, 2), family=BinaryContexts, num_contexts=3, seed=0, base=False)
    with pytest.raises(ValueError, match="has no parameter 'weigth'; choose one of 'weight', 'b"):
        layer.stored("weigth")


def test_layers_are_made_by_superpose_and_initialised_before():
    with pytest.raises(TypeError, match="SuperposedLinear is made from an ordinary layer by sup"):
        SuperposedLinear(3, 2)
    net = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    net = superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    with pytest.raises(RuntimeError, match=r"layer '0' is superposed.*initialise the network bef"):
        net[0].reset_parameters()
    net[1].reset_parameters()


def test_an_error_in_a_family_is_not_taken_for_a_missing_attribute():
    class BrokenOperator(Diagonal):
        def retrieve(self, weight):
            return weight.no_such_thing

    class Broken(BinaryContexts):
        def _operator(self, parameters):
            return BrokenOperator(*parameters)

    net = superpose(nn.Conv1d(3, 2, 1), family=Broken, num_contexts=3, seed=0, base=False)
    with pytest.raises(RuntimeError, match=r"'weight' cannot be read.*no_such_thing"):
        _ = net.weight


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_parameter_does_not_replace_one_that_holds_all_models(name):
    layer = superpose(
        nn.Linear(3, 2),
        family=BinaryContexts,
        num_contexts=4,
        seed=0,
        base=False,
        bias_per_context=True,
    )
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    with pytest.raises(RuntimeError, match=rf"'{name}' of layer '' holds all models, .* store"):
        setattr(layer, name, nn.Parameter(torch.ones(2, 3)))
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())
    other = {key: 2 * v if v.is_floating_point() else v for key, v in before.items()}
    layer.load_state_dict(other, assign=True)
    assert all(torch.equal(value, other[key]) for key, value in layer.state_dict().items())


def test_fusing_a_superposed_norm_into_its_convolution_is_refused():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()
    net = superpose(net, family=BinaryContexts, num_contexts=4, seed=0, base=False)
    with pytest.raises(RuntimeError, match="holds all models, and cannot be replaced"):
        nn.utils.fusion.fuse_conv_bn_eval(net[0], net[1])


class Doubled(nn.Module):
    """A second use of the bias of a layer."""

    def __init__(self, of):
        super().__init__()
        self.layer = of
        self.again = of.bias


@pytest.mark.parametrize("layer", [nn.Linear(3, 2), nn.LayerNorm(3)], ids=repr)
def test_a_tensor_with_an_entry_per_model_is_not_tied_to_another(layer):
    net = nn.Sequential(nn.Linear(3, 3), Doubled(layer))
    with pytest.raises(ValueError, match=r"'1\.again' is tied to a tensor with an entry for each"):
        superpose(
            net, family=BinaryContexts, num_contexts=4, seed=0, base=False, bias_per_context=True
        )
