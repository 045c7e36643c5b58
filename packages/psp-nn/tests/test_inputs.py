"""Inputs that a layer would broadcast, promote or multiply with a meta weight."""

import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts
from psp_nn import superpose, use_context


def binary(net, **options):
    return superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False, **options)


@pytest.mark.parametrize(
    ("net", "x"),
    [
        (nn.Linear(4, 3), torch.zeros(2, 4)),
        (nn.Conv2d(4, 3, 1), torch.zeros(2, 4, 5, 5)),
        (nn.Embedding(4, 3), torch.zeros(2).long()),
        (nn.MultiheadAttention(4, 2), torch.zeros(2, 3, 4)),
        (nn.LSTM(4, 3), torch.zeros(2, 3, 4)),
        (nn.GRUCell(4, 3), torch.zeros(2, 4)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_input_on_another_device_is_refused(net, x):
    net = binary(net).to("meta")
    inputs = (x, x, x) if isinstance(net, nn.MultiheadAttention) else (x,)
    with pytest.raises(ValueError, match=r"is on meta, but its (input|query) on cpu"):
        net(*inputs)


@pytest.mark.parametrize("rows", [6, 1], ids=["binds the input", "retrieves the weight"])
@pytest.mark.parametrize("shape", [(), (1,), (2, 1), (2, 5)])
def test_a_linear_layer_refuses_other_features(rows, shape):
    layer = binary(nn.Linear(4, rows))
    with pytest.raises(ValueError, match="needs 4 features along dimension -1 of its input"):
        layer(torch.zeros(shape))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("context", [0, torch.tensor([0, 1])], ids=["one", "mixed"])
@pytest.mark.parametrize("shape", [(5, 5), (2, 1, 5, 5), (2, 3, 5, 5)])
def test_a_convolution_refuses_other_channels(per_channel, context, shape):
    layer = binary(nn.Conv2d(4, 3, 1), per_channel=per_channel)
    use_context(layer, context)
    refused = "needs 4 features along dimension -3 of its input|the batch mixes 2 contexts"
    with pytest.raises(ValueError, match=refused):
        layer(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64, torch.int64])
@pytest.mark.parametrize(
    ("plain", "shape"), [(nn.Linear(4, 3), (2, 4)), (nn.Conv1d(4, 3, 1), (2, 4, 5))]
)
@pytest.mark.parametrize("context", [0, torch.tensor([0, 1])], ids=["one", "mixed"])
def test_an_input_of_another_dtype_is_not_promoted(plain, shape, context, dtype):
    layer = binary(plain, per_channel=True)
    use_context(layer, context)
    with pytest.raises(TypeError, match=f"weights of torch.float32, but its input is {dtype}"):
        layer(torch.ones(shape, dtype=dtype))


def test_autocast_takes_the_dtypes_that_the_ordinary_layer_takes():
    layer = binary(nn.Linear(4, 3))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.ones(2, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "mask"),
    [("key_padding_mask", torch.zeros(4, 3).bool()), ("attn_mask", torch.zeros(8, 3, 3).bool())],
)
def test_a_mixed_batch_refuses_a_mask_for_more_samples(name, mask):
    layer = binary(nn.MultiheadAttention(4, 2, batch_first=True))
    x = torch.zeros(2, 3, 4)
    use_context(layer, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=rf"{name} has shape \([48], 3.*batch mixes 2"):
        layer(x, x, x, **{name: mask})
