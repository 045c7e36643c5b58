"""Layers of classes that are not torch's."""

import copy
import warnings

import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts, ComplexContexts, SignedPermutationContexts
from psp_nn import Norms, load, register, report, retrieve, save, store, superpose, use_context


class Transposed(nn.Module):
    """A linear layer with a weight of shape (in, out), as GPT-2's."""

    def __init__(self, in_features, out_features):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_features, out_features))
        self.bias = nn.Parameter(torch.randn(out_features))

    def forward(self, x):
        return torch.addmm(self.bias, x.flatten(0, -2), self.weight).unflatten(0, x.shape[:-1])


class Experts(nn.Module):
    """Two experts with weights of shape (experts, out, in), which both see every input."""

    def __init__(self, features):
        super().__init__()
        self.up = nn.Parameter(torch.randn(2, 5, features))
        self.down = nn.Parameter(torch.randn(2, features, 5))

    def forward(self, x):
        return sum((x @ self.up[e].T).relu() @ self.down[e].T for e in range(2))


class ScaleNorm(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))

    def forward(self, x):
        return self.weight * x / (x.norm(dim=-1, keepdim=True) + 1e-6)


register(Transposed, in_dim=0)
register(Experts, weight=("up", "down"), in_dim=-1)


def network():
    torch.manual_seed(0)
    return nn.Sequential(Transposed(6, 8), ScaleNorm(8), Experts(8), nn.Linear(8, 3)).double()


def fine_tuned(model, seed):
    generator = torch.Generator().manual_seed(seed)
    model = retrieve(superpose(model, **OPTIONS), 0)  # a copy
    with torch.no_grad():
        for value in model.parameters():
            value += 0.01 * torch.randn(value.shape, generator=generator, dtype=value.dtype)
    return model


OPTIONS = {"family": BinaryContexts, "num_contexts": 3, "seed": 0, "base": True}


def test_layers_of_other_classes_are_superposed_without_a_warning():
    net = superpose(network(), **OPTIONS)
    assert all(layer.superposed for layer in report(net).layers)
    assert net[0].contexts_for().dim == 6
    assert [net[2].contexts_for(name).dim for name in ("up", "down")] == [8, 5]


@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize("family", [BinaryContexts, SignedPermutationContexts])
def test_a_registered_layer_stores_retrieves_and_saves_a_model(family, two_sided, tmp_path):
    plain = network()
    options = {**OPTIONS, "family": family, "two_sided": two_sided, "bias_per_context": True}
    net, model, x = superpose(plain, **options), fine_tuned(plain, 1), torch.randn(4, 6).double()
    torch.testing.assert_close(net(x), plain(x))
    store(net, 1, model)
    use_context(net, 1)
    torch.testing.assert_close(net(x), model(x))
    back = retrieve(net, 1)
    assert [type(m) for m in back] == [type(m) for m in plain]
    torch.testing.assert_close(back(x), model(x))
    save(net, tmp_path / "net.safetensors")
    other = superpose(plain, **options)
    load(tmp_path / "net.safetensors", into=other)
    use_context(other, 1)
    assert torch.equal(other(x), net(x))


def test_a_registered_layer_serves_a_mixed_batch():
    net = superpose(network(), **OPTIONS, bias_per_context=True)
    for k in range(3):
        store(net, k, fine_tuned(network(), k))
    x, index = torch.randn(4, 6).double(), torch.tensor([2, 0, 0, 1])
    alone = []
    for sample, k in zip(x, index.tolist(), strict=True):
        with use_context(net, k):
            alone.append(net(sample[None])[0])
    with use_context(net, index):
        torch.testing.assert_close(net(x), torch.stack(alone))


def test_each_model_has_the_scale_of_a_norm_of_another_class():
    net = superpose(network(), **OPTIONS, norms=Norms.PER_CONTEXT)
    assert net[1].stored().shape == (3, 8)
    use_context(net, 2)
    net(torch.randn(4, 6).double()).sum().backward()
    assert net[1].stored().grad[:2].count_nonzero() == 0


def test_the_weight_of_a_registered_layer_trains():
    net = superpose(network(), **OPTIONS)
    net(torch.randn(4, 6).double()).square().sum().backward()
    assert all(net[2].stored(name).grad.count_nonzero() for name in ("up", "down"))


class Unknown(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(8, 8))


def test_a_class_that_stays_shared_is_named_in_a_warning():
    net = nn.Sequential(nn.Linear(4, 4), Unknown())
    with pytest.warns(UserWarning, match="76% of the parameters stay shared .* Unknown.* register"):
        superpose(net, **OPTIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        superpose(net, **OPTIONS, exclude="1")
        superpose(nn.Sequential(nn.Linear(64, 64), Unknown()), **OPTIONS)


def test_a_layer_of_torch_is_not_registered():
    with pytest.raises(ValueError, match="Linear has a superposed form already"):
        register(nn.Linear, in_dim=0)


def test_a_complex_family_is_refused_by_a_registered_layer():
    with pytest.raises(ValueError, match="layer '0' has no complex form"):
        superpose(nn.Sequential(Transposed(4, 4)), **{**OPTIONS, "family": ComplexContexts})


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 4, 3)])
def test_experts_are_refused_by_name_in_a_complex_network(shape):
    class Bank(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(shape))

    register(Bank, in_dim=1)
    with pytest.raises(
        ValueError, match=r"layer 'bank' has no complex form, which ComplexContexts needs"
    ):
        superpose(nn.ModuleDict({"bank": Bank()}), **{**OPTIONS, "family": ComplexContexts})


@pytest.mark.parametrize("norms", [Norms.PER_CONTEXT, Norms.SHARED])
def test_a_norm_of_another_class_acts_on_both_parts_of_a_complex_network(norms):
    plain = nn.Sequential(nn.Linear(6, 8), ScaleNorm(8), nn.Linear(8, 3)).double()
    options = {"num_contexts": 3, "seed": 0, "base": True, "norms": norms}
    net = superpose(plain, family=ComplexContexts, **options)
    x = torch.randn(4, 6).double()
    torch.testing.assert_close(net(x), plain(x))
    net(x).square().sum().backward()
    gradient = net[1].stored().grad
    assert gradient.shape == ((3, 2, 8) if norms == Norms.PER_CONTEXT else (2, 8))


class GatedNorm(nn.Module):
    """An RMSNorm with a gate, as in Mamba 2 and Qwen3-Next."""

    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(features) + 0.5)

    def forward(self, x, gate=None):
        x = x if gate is None else x * nn.functional.silu(gate)
        return self.weight * x * x.square().mean(-1, keepdim=True).add(1e-6).rsqrt()


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.value, self.gate, self.norm = nn.Linear(6, 8), nn.Linear(6, 8), GatedNorm(8)

    def forward(self, x):
        return self.norm(self.value(x), self.gate(x))


@pytest.mark.parametrize("norms", Norms)
def test_a_gated_norm_is_converted_as_other_norms_are(norms, tmp_path):
    plain, x = Gated().double(), torch.randn(4, 6).double()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = superpose(plain, **OPTIONS, norms=norms)
    torch.testing.assert_close(net(x), plain(x))
    scale = net.norm.stored()
    assert scale.shape == ((3, 8) if norms == Norms.PER_CONTEXT else (8,))
    assert scale.requires_grad == (norms != Norms.FROZEN)
    if norms == Norms.PER_CONTEXT:
        with torch.no_grad():
            scale[2] *= 3
    use_context(net, 2)
    factor = 3 if norms == Norms.PER_CONTEXT else 1
    torch.testing.assert_close(net(x), factor * plain(x))
    assert type(retrieve(net, 2).norm) is GatedNorm
    torch.testing.assert_close(retrieve(net, 2)(x), net(x))
    save(net, tmp_path / "net.safetensors")
    other = superpose(plain, **OPTIONS, norms=norms)
    load(tmp_path / "net.safetensors", into=other)
    use_context(other, 2)
    assert torch.equal(other(x), net(x))


def test_a_gated_norm_is_refused_by_name_in_a_complex_network():
    with pytest.raises(ValueError, match=r"layer 'norm' has no complex form"):
        superpose(Gated(), **{**OPTIONS, "family": ComplexContexts})


class CopiesItself(Transposed):
    """A layer with a copy of its own, as the Linear of torch_geometric."""

    def __deepcopy__(self, memo):
        other = type(self)(*self.weight.shape)
        other.weight, other.bias = (nn.Parameter(v.clone()) for v in (self.weight, self.bias))
        return other

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        destination[f"{prefix}weight"] = self.weight.detach()
        destination[f"{prefix}bias"] = self.bias.detach()


def test_a_class_that_saves_itself_saves_what_is_stored():
    net = superpose(nn.Sequential(CopiesItself(6, 8)), **OPTIONS)
    use_context(net, 1)
    assert net.state_dict()["0.weight"].data_ptr() == net[0].stored().data_ptr()


def test_a_superposed_layer_whose_class_copies_itself_is_copied_whole():
    plain, x = nn.Sequential(CopiesItself(6, 8)), torch.randn(4, 6)
    net = superpose(plain, **OPTIONS)
    use_context(net, 1)
    torch.testing.assert_close(copy.deepcopy(net)(x), net(x))
    torch.testing.assert_close(retrieve(net, 1)(x), plain(x))
