"""What is read from a superposition cannot be changed by mistake."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from psp_contexts import BinaryContexts
from psp_nn import superpose, use_context

OPTIONS = {"family": BinaryContexts, "num_contexts": 5, "seed": 0, "base": False}
LAYERS = {
    "linear": lambda: nn.Linear(4, 4),
    "convolution": lambda: nn.Conv2d(4, 4, 1),
    "embedding": lambda: nn.Embedding(4, 4),
}


def built(*layers):
    torch.manual_seed(0)
    return superpose(nn.Sequential(*layers), **OPTIONS)


def add_to_data(weight):
    weight.data += 1


def set_item(weight):
    weight[0] = 1.0


def set_data(weight):
    weight.data = torch.ones_like(weight)


WRITES = {
    "data.copy_": lambda w: w.data.copy_(torch.ones_like(w)),
    "data +=": add_to_data,
    "data =": set_data,
    "mul_": lambda w: w.mul_(0),
    "item": set_item,
    "view": lambda w: w[0].view(-1).zero_(),
    "detach": lambda w: w.detach().mT.fill_(1),
    "requires_grad_": lambda w: w.requires_grad_(False),
    "xavier": nn.init.xavier_uniform_,
    "constant": lambda w: nn.init.constant_(w.data, 0.5),
    "orthogonal": nn.init.orthogonal_,
    "trunc_normal": nn.init.trunc_normal_,
    "zeros": nn.init.zeros_,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_a_write_to_a_weight_that_is_read_is_refused_by_name(layer, write):
    net = built(layer())
    before = net[0].stored().detach().clone()
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"'weight' of layer '0' .* with store"):
        write(net[0].weight)
    assert torch.equal(net[0].stored(), before)


def test_a_weight_that_is_read_is_an_ordinary_operand():
    net, x = built(nn.Linear(4, 4)), torch.randn(2, 4)
    weight = net[0].weight
    assert type(weight + 1) is type(weight.clone()) is type(nn.functional.linear(x, weight))
    assert type(weight + 1) is torch.Tensor
    weight.clone().zero_()
    nn.functional.linear(x, weight).sum().backward()
    assert net[0].stored().grad.count_nonzero()
    assert torch.equal(copy.deepcopy(weight.detach()), weight)
    buffer = io.BytesIO()
    torch.save(weight.detach(), buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer, weights_only=True), weight)


@pytest.mark.parametrize("read", [lambda w: w.detach().numpy(), lambda w: w.detach().__array__()])
def test_an_array_of_a_weight_that_is_read_cannot_be_written_to(read):
    net = built(nn.Linear(4, 4))
    array = read(net[0].weight)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0
    assert (array == net[0].weight.detach().clone().numpy()).all()
    assert net[0].weight.detach().clone().numpy().flags.writeable


def test_a_mixed_weight_is_named_wherever_it_is_passed():
    net, x = built(nn.Linear(4, 4)), torch.randn(2, 4)
    with use_context(net, torch.tensor([0, 1])):
        for use in (
            lambda: nn.functional.linear(x, weight=net[0].weight),
            lambda: torch.cat([net[0].weight, x]),
        ):
            with pytest.raises(RuntimeError, match=r"'weight' of layer '0' .* the batch mixes"):
                use()


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(4), nn.Linear(4, 4), nn.LayerNorm(4)])
def test_metadata_of_a_weight_can_be_read_in_a_mixed_batch(norm):
    net = built(nn.Linear(4, 4), norm)
    with use_context(net, torch.tensor([0, 1])):
        weight = net[1].weight
        assert (weight.dtype, weight.device) == (torch.float32, torch.device("cpu"))
        assert weight.shape == norm.weight.shape
        assert weight.size(0) == len(weight) == 4
        with pytest.raises(
            RuntimeError, match=r"'weight' of layer '1' .* the batch mixes contexts"
        ):
            _ = weight + 1


def test_an_assigned_buffer_is_that_of_the_model_in_use():
    net = built(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    norm = net[1]
    with use_context(net, 2):  # as in the averaging of weights of Lightning
        norm.running_mean = torch.full_like(norm.running_mean, 7)
        norm.num_batches_tracked += 3
        net(torch.randn(2, 3, 8, 8))
    state = net.state_dict()
    assert state["1.running_mean"].shape == (5, 8)
    assert state["1.num_batches_tracked"].tolist() == [0, 0, 4, 0, 0]
    assert state["1.running_mean"][2].min() > 5
    assert state["1.running_mean"][3].count_nonzero() == 0


@pytest.mark.parametrize("value", [torch.zeros(3), None, nn.Parameter(torch.zeros(8))])
def test_what_does_not_fit_an_entry_is_refused_by_name(value):
    net = built(nn.Linear(3, 8), nn.BatchNorm1d(8))
    with pytest.raises(RuntimeError, match="'running_mean' of layer '1' holds all models"):
        net[1].running_mean = value
    assert net.state_dict()["1.running_mean"].shape == (5, 8)


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize(
    "change",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
        weight_norm,
        spectral_norm,
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
        lambda layer: prune.identity(layer, "weight"),
        lambda layer: delattr(layer, "weight"),
    ],
)
def test_a_computed_weight_is_refused_and_the_network_stays_as_it_was(change):
    net, x = built(nn.Linear(4, 4), nn.Linear(4, 2)), torch.randn(2, 4)
    before, names, stored = net(x), list(net.state_dict()), net[0].stored()
    with pytest.raises(RuntimeError, match=r"'weight' of layer '0' .* model"):
        change(net[0])
    assert net[0].stored() is stored
    assert sorted(net.state_dict()) == sorted(names)
    assert torch.equal(net(x), before)


def test_data_parallel_is_refused_by_name():
    with pytest.raises(RuntimeError, match="use DistributedDataParallel"):
        built(nn.Linear(4, 2))[0]._replicate_for_data_parallel()
