"""Parts of saved networks, and files that are read into a part of a network."""

from functools import partial

import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts, ComplexContexts, RotationContexts
from psp_nn import load, name_context, remove, retrieve, save, store, superpose, use_context

OPTIONS = {"num_contexts": 4, "seed": 0, "bias_per_context": True, "two_sided": False}


def encoder():
    return nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))


def autoencoder():
    return nn.ModuleDict({"encoder": encoder(), "decoder": nn.Linear(5, 3)})


def built(net, family=BinaryContexts, base=False, **options):
    torch.manual_seed(0)
    net = superpose(net, family=family, base=base, **{**OPTIONS, **options}).eval()
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point() or value.is_complex():
                value.copy_(torch.rand_like(value) + 0.5)
    return net


def same(first, second):
    x = torch.randn(2, 3, 3, 3)
    for k in range(4):
        with use_context(first, k), use_context(second, k):
            if not torch.equal(first(x), second(x)):
                return False
    return True


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


@pytest.mark.parametrize("base", [True, False])
@pytest.mark.parametrize(
    "family",
    [BinaryContexts, RotationContexts, ComplexContexts, partial(BinaryContexts, learned=True)],
)
def test_a_part_of_a_saved_network_is_loaded_by_its_name(path, family, base):
    whole = built(autoencoder(), family, base)
    part = superpose(encoder(), family=family, base=base, **OPTIONS, prefix="encoder").eval()
    expected = real_encoder(whole)
    assert not same(part, expected)
    name_context(whole, 2, "ben")
    save(whole, path)
    load(path, into=part, prefix="encoder")
    assert same(part, expected)
    use_context(part, "ben")


def real_encoder(whole):
    """Return the encoder, with the real part of a complex output as that of a whole network."""
    part = whole["encoder"]
    if part[0].contexts_for().is_complex:
        part = nn.Sequential(part)
        part.register_forward_hook(lambda net, args, output: output.real)
    return part


def test_a_part_is_loaded_into_a_part_of_another_network(path):
    whole = built(autoencoder())
    other = built(nn.ModuleDict({"first": nn.Linear(2, 2), "encoder": encoder()}))
    name_context(other, 1, "ann")
    with torch.no_grad():
        other["encoder"][0].stored().zero_()
    first = other["first"].stored().clone()
    name_context(whole, 2, "ben")
    save(whole, path)
    load(path, into=other["encoder"], prefix="encoder")
    assert same(other["encoder"], whole["encoder"])
    assert torch.equal(other["first"].stored(), first)
    use_context(other, "ann")
    with pytest.raises(ValueError, match="the names are 'ann'"):
        use_context(other, "ben")


def test_a_part_is_saved_alone_and_read_back(path):
    whole, part = built(autoencoder()), built(encoder(), prefix="encoder")
    save(whole["encoder"], path)
    with torch.no_grad():
        part[0].stored().zero_()
    load(path, into=part)
    assert same(part, whole["encoder"])
    with torch.no_grad():
        whole["encoder"][0].stored().mul_(2)
    assert not same(part, whole["encoder"])
    load(path, into=whole["encoder"])
    assert same(part, whole["encoder"])


def test_what_belongs_to_one_model_is_loaded_in_part(path):
    whole, part = built(autoencoder()), built(encoder(), prefix="encoder")
    with torch.no_grad():
        part[1].stored().zero_()
    save(whole, path, context=2)
    load(path, into=part, context=0, prefix="encoder")
    assert torch.equal(part[1].stored()[0], whole["encoder"][1].stored()[2])
    assert part[1].stored()[1:].count_nonzero() == 0


@pytest.mark.parametrize("way", ["part of a file", "file of a part", "into a part"])
def test_a_part_knows_that_a_context_holds_a_model_but_not_which_one(path, way):
    options = {"norms": "shared", "bias_per_context": True}
    plain = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    whole = built(plain, **options)
    model = retrieve(whole, 1)
    store(whole, 1, model)
    part = whole if way == "into a part" else built(nn.Linear(3, 3), **options, prefix="0")
    save(whole[0] if way == "file of a part" else whole, path)
    if way == "part of a file":
        load(path, into=part, prefix="0")
    elif way == "file of a part":
        load(path, into=part)
    else:
        store(whole, 2, model)
        load(path, into=whole[0], prefix="0")  # with other models than it had
        with pytest.raises(ValueError, match="context 2 holds a model"):
            store(whole, 2, model)
    model = model if part is whole else model[0]
    with pytest.raises(ValueError, match="context 1 holds a model"):
        store(part, 1, model)
    with pytest.raises(ValueError, match="no model was stored in context 1"):
        remove(part, 1, model)


def test_damage_outside_the_part_is_noticed(path):
    part = built(encoder(), prefix="encoder")
    save(built(autoencoder()), path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    before = part[0].stored().clone()
    with pytest.raises(ValueError, match="has been altered"):
        load(path, into=part, prefix="encoder")
    assert torch.equal(part[0].stored(), before)


def test_a_part_that_does_not_fit_is_refused_with_a_way_out(path):
    save(built(autoencoder()), path)
    refused = {
        r"under prefix='enc' has no tensors; the parts of the file are 'decoder', 'encoder'": (
            {"prefix": "encoder"},
            "enc",
        ),
        r"another context: .*; superpose the network with prefix='encoder'": ({}, "encoder"),
        r"another architecture: .*bias_per_context and norms as the saved one": (
            {"prefix": "encoder", "bias_per_context": False},
            "encoder",
        ),
        r"another architecture: '.*_base' .*; superpose the network with base=False": (
            {"prefix": "encoder", "base": True},
            "encoder",
        ),
    }
    for message, (options, prefix) in refused.items():
        with pytest.raises(ValueError, match=message):
            load(path, into=built(encoder(), **options), prefix=prefix)


def test_contexts_on_the_output_side_of_a_part_are_asked_for(path):
    save(built(autoencoder(), base=True, two_sided=None), path)
    options = {"base": True, "prefix": "encoder"}
    with pytest.raises(ValueError, match="superpose the network with two_sided as the saved one"):
        load(path, into=built(encoder(), **options), prefix="encoder")
    load(path, into=built(encoder(), **options, two_sided="*"), prefix="encoder")


def test_a_single_layer_is_a_part(path):
    whole, part = built(autoencoder()), built(nn.Linear(5, 3), prefix="decoder")
    save(whole, path)
    load(path, into=part, prefix="decoder")
    assert torch.equal(part.stored(), whole["decoder"].stored())
    assert torch.equal(part.stored("bias"), whole["decoder"].stored("bias"))
