"""Files of one model: norms, biases and learned contexts that belong to it alone."""

from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from psp_contexts import BinaryContexts, LocalMixContexts, OnePowerContexts
from psp_nn import load, name_context, save, superpose, use_context


def built(family=BinaryContexts, num_contexts=4, width=4, **options):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, width, 2, groups=2), nn.BatchNorm2d(width), nn.Linear(3, 3))
    options = {"bias_per_context": True, **options}
    net = superpose(net, family=family, num_contexts=num_contexts, seed=0, base=False, **options)
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.5)
    return net.eval()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def test_what_belongs_to_one_model_moves_to_another_context(path):
    net = built()
    name_context(net, 2, "customer-7")
    save(net, path, context="customer-7")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    load(path, into=net, context=0)
    for name, value in net.state_dict().items():
        if name in load_file(path):
            assert torch.equal(value[0], before[name][2])
            assert torch.equal(value[1:], before[name][1:])
        else:
            assert torch.equal(value, before[name])


def test_learned_contexts_belong_to_their_model(path):
    family = partial(BinaryContexts, learned=True)
    net, other, x = built(family), built(family, num_contexts=7), torch.randn(2, 4, 4, 4)
    for i in (0, 2):
        other[i].stored().data.copy_(net[i].stored())
    save(net, path, context=2)
    load(path, into=other, context=6)
    with use_context(net, 2), use_context(other, 6):
        assert torch.equal(other(x), net(x))


def test_the_file_and_the_call_must_agree_on_one_model_or_all(path):
    net = built()
    save(net, path, context=2)
    with pytest.raises(ValueError, match="holds one model; pass the context that it becomes"):
        load(path, into=net)
    save(net, path)
    with pytest.raises(ValueError, match="holds a whole network, not one model; leave out context"):
        load(path, into=net, context=2)


def test_another_architecture_or_a_missing_context_is_refused(path):
    save(built(), path, context=2)
    with pytest.raises(ValueError, match=r"another architecture: '0\.bias' is .*\[4\].* \[6\]"):
        load(path, into=built(width=6), context=2)
    with pytest.raises(IndexError, match="context=4 is not one of the 4 contexts"):
        load(path, into=built(), context=4)
    with pytest.raises(ValueError, match="'eve' is the name of no model"):
        save(built(), path, context="eve")
    with pytest.raises(TypeError, match=r"save needs one context, but got shape \(2,\)"):
        save(built(), path, context=torch.tensor([1, 2]))


def test_a_damaged_file_is_refused(path):
    net = built()
    save(net, path, context=2)
    whole = path.read_bytes()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for content in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"is truncated|has been altered"):
            load(path, into=net, context=0)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_network_in_which_nothing_belongs_to_one_model_is_refused(path):
    net = superpose(nn.Linear(3, 2), family=BinaryContexts, num_contexts=3, seed=0, base=False)
    with pytest.raises(ValueError, match="no tensor of net belongs to one model alone"):
        save(net, path, context=1)


@pytest.mark.parametrize("family", [LocalMixContexts, OnePowerContexts])
def test_learned_parameters_of_several_models_are_refused(path, family):
    net = nn.Linear(3, 2)
    net = superpose(net, family=partial(family, learned=True), num_contexts=3, seed=0, base=False)
    with pytest.raises(ValueError, match=f"learned {family.__name__} of layer '' share parameters"):
        save(net, path, context=1)
