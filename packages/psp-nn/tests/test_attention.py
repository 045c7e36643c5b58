import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts, ComplexContexts
from psp_nn import retrieve, superpose, use_context


def built(module, family=BinaryContexts):
    torch.manual_seed(0)
    return superpose(
        module.double(), family=family, num_contexts=4, seed=0, base=False, bias_per_context=True
    )


def alone(net, k, *inputs, **options):
    with use_context(net, k):
        return net(*inputs, **options)


@pytest.mark.parametrize(
    "options", [{}, {"kdim": 6, "vdim": 10}, {"bias": False}, {"add_bias_kv": True}], ids=str
)
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_mixed_batch_equals_one_call_for_each_sample(mode, batch_first, options):
    class Attention(nn.MultiheadAttention):
        def forward(self, query, key, value, padding, mask):  # a mask of each head of each sample
            mask = mask.flatten(0, 1)
            return super().forward(query, key, value, key_padding_mask=padding, attn_mask=mask)

    layer = built(Attention(8, 2, batch_first=batch_first, **options))
    layer.train(mode == "train")
    dim = 0 if batch_first else 1
    generator = torch.Generator().manual_seed(1)

    def drawn(features):  # as many samples as positions
        return torch.randn(5, 5, features, generator=generator, dtype=torch.float64)

    query, key, value = (drawn(options.get(name, 8)) for name in ("", "kdim", "vdim"))
    padding = torch.zeros(5, 5, dtype=torch.bool)
    padding[1, 3:] = True
    mask = torch.rand(5, 2, 5, 5, generator=generator) < 0.2
    mask[..., 0] = False
    context = torch.tensor([3, 0, 3, 1, 2])
    dims = {"query": dim, "key": dim, "value": dim}
    with use_context(layer, context, batch_dim=dims):
        y, weights = layer(query, key, value, padding, mask)
    for n, k in enumerate(context.tolist()):
        one_y, one_weights = alone(
            layer,
            k,
            *(x.narrow(dim, n, 1) for x in (query, key, value)),
            padding[n : n + 1],
            mask[n : n + 1],
        )
        torch.testing.assert_close(y.narrow(dim, n, 1), one_y)
        torch.testing.assert_close(weights[n : n + 1], one_weights)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_an_encoder_of_sequences_as_long_as_the_batch_mixes_contexts(mode, batch_first, family):
    if family(4, 1, seed=0).is_complex:
        with pytest.raises(ValueError, match="'self_attn' has no complex form"):
            built(nn.TransformerEncoderLayer(8, 2, 12), family)
        return
    layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=batch_first)
    net = built(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), family)
    net.train(mode == "train")
    dim = 0 if batch_first else 1
    x = torch.randn(4, 4, 8, dtype=torch.float64)
    context = torch.tensor([3, 0, 3, 1])
    with torch.set_grad_enabled(mode == "train"):
        with use_context(net, context, batch_dim=dim):
            mixed = net(x)
        for n, k in enumerate(context.tolist()):
            torch.testing.assert_close(mixed.narrow(dim, n, 1), alone(net, k, x.narrow(dim, n, 1)))


def test_the_fused_kernel_computes_with_the_model_in_use():
    net = built(nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)).eval()
    x = torch.randn(4, 5, 8, dtype=torch.float64)
    slow = alone(net, 2, x)  # with gradients the fused kernel is not used
    with torch.no_grad():
        torch.testing.assert_close(alone(net, 2, x), slow.detach())


def test_attention_has_no_complex_form():
    with pytest.raises(ValueError, match=r"has no complex form.*use a real family"):
        built(nn.MultiheadAttention(8, 2), ComplexContexts)


def test_an_empty_batch_gives_an_empty_output():
    layer = built(nn.MultiheadAttention(8, 2, batch_first=True))
    x = torch.randn(0, 3, 8, dtype=torch.float64)
    with use_context(layer, torch.zeros(0, dtype=torch.int64)):
        assert layer(x, x, x)[0].shape == (0, 3, 8)


def test_arguments_can_be_given_by_position_and_hooks_run_once():
    layer = built(nn.MultiheadAttention(8, 2, batch_first=True))
    calls = []
    layer.register_forward_hook(lambda *_: calls.append(1))
    x = torch.randn(3, 4, 8, dtype=torch.float64)
    with use_context(layer, torch.tensor([0, 1, 2])):
        _, weights = layer(x, x, x, None, True, None, False)
    assert weights.shape == (3, 2, 4, 4)
    assert len(calls) == 1


def test_biases_of_keys_and_values_may_have_an_entry_per_model():
    layer = built(nn.MultiheadAttention(8, 2, add_bias_kv=True))
    assert layer.superposition.per_context == ("in_proj_bias", "bias_k", "bias_v")
    assert layer.stored("bias_k").shape == (4, 1, 1, 8)
    x = torch.randn(3, 2, 8, dtype=torch.float64)
    before = alone(layer, 1, x, x, x)[0]
    with torch.no_grad():
        layer.stored("bias_v")[2].add_(1)
    assert torch.equal(alone(layer, 1, x, x, x)[0], before)
    assert not torch.equal(alone(layer, 2, x, x, x)[0], retrieve(layer, 1)(x, x, x)[0])
