"""Superposed convolutions, plain and transposed: the context acts on the kernel."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from psp_nn.layers.inputs import check_channels
from psp_nn.layers.layer import Layer, entry_per_context, superposed_parameter
from psp_nn.layers.loop_over_contexts import loop_over_contexts
from psp_nn.layers.selection import PerSample
from psp_nn.layers.superposed import base_name


class _SuperposedConvolution(Layer):
    """Kernels as rows, with a context for each group of channels.

    A kernel's row is what one output channel multiplies: its input channels times the kernel's
    positions or, with `per_channel`, its input channels alone.
    """

    transposed_kernel: ClassVar[bool] = False
    in_channels: int
    out_channels: int
    groups: int
    bias: Any

    def to_rows(self, name: str, weight: Tensor) -> Tensor:
        """The kernel as (groups, out, numbers of a row), without groups if there is one."""
        kernel: Tensor = weight.unflatten(0, (self.groups, -1))
        if self.transposed_kernel:
            kernel = kernel.transpose(1, 2)
        if self.superposition.per_channel:
            kernel = kernel.movedim(2, -1).flatten(1, -2)
        else:
            kernel = kernel.flatten(2)
        return kernel.squeeze(0) if self.groups == 1 else kernel

    def from_rows(self, name: str, rows: Tensor) -> Tensor:
        """Undoes `rows`."""
        size = self.stored(name).shape
        grouped = rows.unsqueeze(0) if self.groups == 1 else rows
        if self.superposition.per_channel:
            out = size[1] if self.transposed_kernel else size[0] // self.groups
            kernel = grouped.unflatten(1, (out, *size[2:])).movedim(-1, 2)
        else:
            kernel = grouped.unflatten(2, (-1, *size[2:]))
        if self.transposed_kernel:
            kernel = kernel.transpose(1, 2)
        whole: Tensor = kernel.reshape(size)
        return whole

    def _forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        check_channels(self, x, self.stored(), self.in_channels)
        if not isinstance(self.superposition.selection, PerSample):
            return self._convolved(x, self.retrieved(), output_size)
        trailing = self.stored().dim() - 1  # an input without a batch has not even one more
        if (
            not (self.superposition.per_channel and self.contexts_for().gathers)
            or base_name("weight") in self._buffers
        ):
            return loop_over_contexts(
                self,
                x,
                lambda part: self._convolved(part, self.retrieved(), output_size),
                trailing=trailing,
            )
        self.note_use()
        self.superposition.selection.check(x, self.superposition.name, trailing=trailing)
        channels = x.unflatten(1, (self.groups, -1)).movedim(2, -1)
        each = self._group_contexts("weight", self.superposition.selection.index)
        assert isinstance(each, Tensor)
        each = each.view(len(x), self.groups, *[1] * (x.dim() - 2))
        contexts = self.contexts_for()
        bound = contexts.bind(channels, contexts.look_up(channels, each, check=False))
        bound = bound.movedim(-1, 2).flatten(1, 2)
        if "bias" not in self.superposition.per_context:
            return self._convolved(bound, self.stored("weight"), output_size)
        with self.read_once(bias=None):
            y = self._convolved(bound, self.stored("weight"), output_size)
        table = self._parameters["bias"]
        assert table is not None
        return y + self.superposition.selection.rows(table).view(
            len(x), -1, *[1] * (x.dim() - 2)
        ).to(y.dtype)

    def _convolved(self, x: Tensor, weight: Tensor, output_size: list[int] | None) -> Tensor:
        if not weight.is_complex() or x.is_complex():
            return self._product(x, weight, self.bias, output_size)
        # A real input costs two real convolutions: real and imaginary kernels in turn.
        out_dim = 1 if self.transposed_kernel else 0
        parts = torch.view_as_real(weight).movedim(-1, out_dim + 1).flatten(out_dim, out_dim + 1)
        y = self._product(x, parts, None, output_size).to(parts.dtype)  # see `_linear`
        channels = y.dim() - weight.dim() + 1
        y = y.unflatten(channels, (-1, 2)).movedim(channels + 1, -1).contiguous()
        y = torch.view_as_complex(y)
        if self.bias is None:
            return y
        biased: Tensor = y + self.bias.view(-1, *[1] * (weight.dim() - 2))
        return biased

    def _product(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, output_size: list[int] | None
    ) -> Tensor:
        raise NotImplementedError


class _Plain(_SuperposedConvolution):
    def forward(self, input: Tensor) -> Tensor:
        """The model in use, applied to the input.

        Args:
            input: Shape (batch, channels, …), as for the plain layer.

        Returns:
            As the plain layer, complex if the contexts are.

        Raises:
            TypeError: If the input has not the dtype of the weight and autocast is off.
            ValueError: If it has another shape or is on another device, or the batch mixes
                contexts and it has not one sample per context along the stated dimension.
        """
        return self._forward(input)

    def _product(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, output_size: list[int] | None
    ) -> Tensor:
        layer: Any = self
        try:
            y: Tensor = layer._conv_forward(x, weight, bias)
        except RuntimeError:
            extents = [
                d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)
            ]
            positions = x.shape[-len(extents) :]
            if all(size >= extent for size, extent in zip(positions, extents, strict=True)):
                raise
            raise ValueError(
                f"layer '{self.superposition.name}' has a kernel of {tuple(extents)} positions, but its "
                f"input x of shape {tuple(x.shape)} has fewer."
            ) from None
        return y


class _Transposed(_SuperposedConvolution):
    transposed_kernel = True

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """The model in use, applied to the input.

        Args:
            input: Shape (batch, channels, …), as for the plain layer.
            output_size: As for the plain layer.

        Returns:
            As the plain layer, complex if the contexts are.

        Raises:
            TypeError: If the input has not the dtype of the weight and autocast is off.
            ValueError: As for the plain layer, if the input has another shape or is on another
                device, or the batch mixes contexts and it has not one sample per context along
                the stated dimension.
        """
        return self._forward(input, output_size)

    def _product(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, output_size: list[int] | None
    ) -> Tensor:
        layer: Any = self
        dims = weight.dim() - 2
        padding = layer._output_padding(
            x, output_size, layer.stride, layer.padding, layer.kernel_size, dims, layer.dilation
        )
        convolve: Any = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[dims - 1]
        y: Tensor = convolve(
            x, weight, bias, layer.stride, layer.padding, padding, self.groups, layer.dilation
        )
        return y


class SuperposedConv1d(_Plain, nn.Conv1d):
    """A 1d convolution that holds K models; see `SuperposedConv2d`."""

    weight: Any = superposed_parameter("weight")
    bias: Any = entry_per_context("bias")


class SuperposedConv2d(_Plain, nn.Conv2d):
    """A convolution that holds K models: y_n = (w_n ⊙ c(k)) * x.

    The context has a number for each input channel and kernel position or, with
    `superpose(…, per_channel=True)`, for each input channel. Each group has its own.

    Source:
        Cheung et al. 2019, equation 8.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose
        >>> layer = torch.nn.Conv2d(3, 8, kernel_size=5)
        >>> layer = superpose(layer, family=BinaryContexts, num_contexts=50, seed=0)
        >>> layer.contexts.dim, layer(torch.randn(2, 3, 9, 9)).shape
        (75, torch.Size([2, 8, 5, 5]))
    """

    weight: Any = superposed_parameter("weight")
    bias: Any = entry_per_context("bias")


class SuperposedConv3d(_Plain, nn.Conv3d):
    """A 3d convolution that holds K models; see `SuperposedConv2d`."""

    weight: Any = superposed_parameter("weight")
    bias: Any = entry_per_context("bias")


class SuperposedConvTranspose1d(_Transposed, nn.ConvTranspose1d):
    """A transposed 1d convolution that holds K models; see `SuperposedConv2d`."""

    weight: Any = superposed_parameter("weight")
    bias: Any = entry_per_context("bias")


class SuperposedConvTranspose2d(_Transposed, nn.ConvTranspose2d):
    """A transposed convolution that holds K models; see `SuperposedConv2d`."""

    weight: Any = superposed_parameter("weight")
    bias: Any = entry_per_context("bias")


class SuperposedConvTranspose3d(_Transposed, nn.ConvTranspose3d):
    """A transposed 3d convolution that holds K models; see `SuperposedConv2d`."""

    weight: Any = superposed_parameter("weight")
    bias: Any = entry_per_context("bias")
