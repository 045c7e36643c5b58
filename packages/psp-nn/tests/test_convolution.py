import pytest
import torch
from torch import nn

from psp_contexts import (
    BinaryContexts,
    ComplexContexts,
    RotationContexts,
    SignedPermutationContexts,
)
from psp_nn import superpose, use_context

LAYERS = [
    nn.Conv1d(8, 6, 3, padding=1),
    nn.Conv2d(8, 6, (2, 3), stride=2, dilation=2, padding=2, bias=False),
    nn.Conv2d(8, 6, 3, padding="same", padding_mode="circular"),
    nn.Conv2d(8, 6, 2, groups=2),
    nn.Conv2d(8, 16, 2, groups=8),  # depthwise
    nn.Conv3d(8, 2, 2),
    # Fewer positions than output channels of a group: patches are bound in a mixed batch.
    nn.Conv1d(8, 12, 3, padding=1),
    nn.Conv2d(8, 48, (2, 3), stride=2, dilation=2, padding=2, bias=False),
    nn.Conv2d(8, 64, 2, groups=2, padding="same", padding_mode="reflect"),
    nn.Conv3d(8, 64, 2),
    nn.ConvTranspose1d(8, 6, 3, stride=2),
    nn.ConvTranspose2d(8, 6, (2, 3), stride=2, output_padding=1),
    nn.ConvTranspose2d(8, 6, 2, groups=2, bias=False),
    nn.ConvTranspose3d(8, 2, 2),
]
each_layer = pytest.mark.parametrize("plain", LAYERS, ids=str)
how = pytest.mark.parametrize("per_channel", [False, True], ids=["per position", "per channel"])


def input_of(plain, batch=5):
    generator = torch.Generator().manual_seed(1)
    dims = plain.weight.dim() - 2
    return torch.randn(batch, 8, *[6, 5, 4][:dims], generator=generator, dtype=torch.float64)


@each_layer
@how
def test_a_mixed_batch_equals_one_call_for_each_sample(plain, family, per_channel):
    layer = superpose(
        plain.double(),
        family=family,
        num_contexts=3,
        seed=0,
        base=False,
        per_channel=per_channel,
        bias_per_context=True,
    )
    x = input_of(plain)
    context = torch.tensor([2, 0, 1, 2, 0])
    with use_context(layer, context):
        mixed = layer(x)
    for k in range(3):
        with use_context(layer, k):
            torch.testing.assert_close(mixed[context == k], layer(x[context == k]))


@each_layer
@how
def test_a_mixed_batch_over_a_base_has_the_gradients_of_single_calls(plain, per_channel):
    layer = superpose(
        plain.double(),
        family=SignedPermutationContexts,
        num_contexts=3,
        seed=0,
        base=True,
        per_channel=per_channel,
    )
    with torch.no_grad():
        for value in layer.parameters():
            value.add_(torch.randn_like(value))
    x, context = input_of(plain).requires_grad_(), torch.tensor([2, 0, 1, 2, 0])
    variables = [x, *layer.parameters()]
    with use_context(layer, context):
        mixed = layer(x)
        weights = torch.randn_like(mixed)
        gradients = torch.autograd.grad((mixed * weights).sum(), variables)
    expected = [torch.zeros_like(value) for value in variables]
    for i, k in enumerate(context.tolist()):
        with use_context(layer, k):
            single = layer(x[i : i + 1])
        torch.testing.assert_close(mixed[i : i + 1], single)
        for total, value in zip(
            expected,
            torch.autograd.grad((single * weights[i : i + 1]).sum(), variables),
            strict=True,
        ):
            total.add_(value)
    torch.testing.assert_close(gradients, tuple(expected))


@each_layer
@how
def test_the_kernel_of_each_group_is_multiplied_by_its_own_context(plain, per_channel):
    layer = superpose(
        plain.double(),
        family=RotationContexts,
        num_contexts=3,
        seed=0,
        base=False,
        per_channel=per_channel,
    )
    use_context(layer, 2)
    stored = layer.state_dict()["weight"]
    size = stored.shape[2:]
    kernel = layer.weight
    for group in range(plain.groups):
        matrix = layer.contexts.matrix(2 * plain.groups + group)
        if isinstance(plain, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            own = [w.chunk(plain.groups)[group].transpose(0, 1) for w in (stored, kernel)]
        else:
            own = [w.chunk(plain.groups)[group] for w in (stored, kernel)]
        before, after = own
        if per_channel:
            expected = torch.einsum("oi...,ij->oj...", before, matrix)
        else:
            expected = (before.flatten(1) @ matrix).unflatten(1, (-1, *size))
        torch.testing.assert_close(after, expected)


def test_a_context_per_channel_acts_as_one_on_the_input():
    plain = nn.Conv2d(8, 6, 3).double()
    layer = superpose(
        plain, family=RotationContexts, num_contexts=3, seed=0, base=False, per_channel=True
    )
    x = input_of(plain)
    use_context(layer, 1)
    bound = torch.einsum("ij,njhw->nihw", layer.contexts.matrix(1), x)
    torch.testing.assert_close(layer(x), plain(bound))


@each_layer
def test_complex_kernels_serve_real_and_complex_input_alike(plain):
    layer = superpose(plain.double(), family=ComplexContexts, num_contexts=3, seed=0, base=False)
    layer._forward_hooks.clear()  # keep the imaginary part
    use_context(layer, 1)
    x = input_of(plain)
    y = layer(x)
    assert y.is_complex()
    torch.testing.assert_close(layer(x.to(torch.complex128)), y)


def test_a_batch_dimension_that_holds_the_channels_is_refused():
    layer = superpose(nn.Conv2d(8, 6, 3), family=BinaryContexts, num_contexts=3, seed=0, base=False)
    with (
        use_context(layer, torch.tensor([0, 1, 2, 0]), batch_dim=1),
        pytest.raises(ValueError, match=r"input has shape \(4, 8, 5, 5\), but the batch mixes 4"),
    ):
        layer(torch.randn(4, 8, 5, 5))


def test_a_transposed_convolution_takes_an_output_size():
    plain = nn.ConvTranspose2d(8, 2, 3, stride=2)
    layer = superpose(plain, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    x = torch.randn(1, 8, 5, 5)
    assert layer(x, output_size=[12, 12]).shape == plain(x, output_size=[12, 12]).shape


@how
def test_empty_batches_and_unbatched_images(per_channel):
    plain = nn.Conv1d(4, 3, 1)
    layer = superpose(
        plain, family=BinaryContexts, num_contexts=3, seed=0, base=False, per_channel=per_channel
    )
    with use_context(layer, torch.zeros(0, dtype=torch.int64)):
        assert layer(torch.randn(0, 4, 5)).shape == (0, 3, 5)
    with (
        use_context(layer, torch.tensor([0, 1, 2, 1])),
        pytest.raises(ValueError, match="needs 4 features along dimension -2 of its input"),
    ):
        layer(torch.randn(4, 4))
