"""Superposed convolutions, plain and transposed: the context acts on the kernel."""

from collections.abc import Callable
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from psp_nn.layers.attributes import entry_per_context, superposed_parameter
from psp_nn.layers.inputs import check_features
from psp_nn.layers.layer import Layer
from psp_nn.layers.patches import output_shape, patches
from psp_nn.layers.selection import EachSample


class _SuperposedConvolution(Layer):
    """A convolution that sees its kernel as rows, with a context for each group of channels.

    A row is what one output channel multiplies: its input channels times the positions of the
    kernel or, with `per_channel`, its input channels alone.
    """

    transposed_kernel: ClassVar[bool] = False
    in_channels: int
    out_channels: int
    groups: int
    bias: Any

    @property
    def binds_samples(self) -> bool:
        """True if the contexts are small enough to gather one for each sample."""
        return self.contexts_for().gathers

    @property
    def binds_kernels(self) -> bool:
        """True if the contexts act on positions of the kernel."""
        return not self.superposition.per_channel

    def to_rows(self, name: str, weight: Tensor) -> Tensor:
        """Reshape a kernel to (groups, out, dim), without `groups` if there is one."""
        if not self.superposition.per_channel:
            return self.to_outputs(name, weight)
        kernel = self._grouped(weight).movedim(2, -1).flatten(1, -2)
        return kernel.squeeze(0) if self.groups == 1 else kernel

    def from_rows(self, name: str, rows: Tensor) -> Tensor:
        """Reshape rows to a kernel; the inverse of `to_rows`."""
        if not self.superposition.per_channel:
            return self.from_outputs(name, rows)
        size = self.stored(name).shape
        out = size[1] if self.transposed_kernel else size[0] // self.groups
        kernel = rows.unsqueeze(0) if self.groups == 1 else rows
        return self._whole(kernel.unflatten(1, (out, *size[2:])).movedim(-1, 2))

    @property
    def output_groups(self) -> int:
        """Number of groups, whose output channels are permuted apart."""
        return self.groups

    def to_outputs(self, name: str, weight: Tensor) -> Tensor:
        """Reshape a kernel to (groups, out, in · positions), without `groups` if there is one."""
        kernel = self._grouped(weight).flatten(2)
        return kernel.squeeze(0) if self.groups == 1 else kernel

    def from_outputs(self, name: str, rows: Tensor) -> Tensor:
        """Reshape rows to a kernel; the inverse of `to_outputs`."""
        kernel = rows.unsqueeze(0) if self.groups == 1 else rows
        return self._whole(kernel.unflatten(2, (-1, *self.stored(name).shape[2:])))

    def _grouped(self, weight: Tensor) -> Tensor:
        """Reshape a kernel to (groups, out, in, *positions)."""
        kernel: Tensor = weight.unflatten(0, (self.groups, -1))
        return kernel.transpose(1, 2) if self.transposed_kernel else kernel

    def _whole(self, kernel: Tensor) -> Tensor:
        kernel = kernel.transpose(1, 2) if self.transposed_kernel else kernel
        return kernel.reshape(self.stored().shape)

    def _forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        check_features(self, x, self.stored(), self.in_channels, dim=1 - self.stored().dim())
        if isinstance(self.superposition.selection, EachSample) and self.binds_samples:
            return self._forward_each_sample(x, output_size)
        return self._convolve(x, self.retrieved(), output_size)

    def _forward_each_sample(self, x: Tensor, output_size: list[int] | None) -> Tensor:
        """Apply each sample's model, under `torch.vmap`."""
        stored = self.stored()
        self.note_use()
        if self.superposition.per_channel:
            ones = [1] * (stored.dim() - 2)
            bind = self.operator().reshape(self.groups, *ones).bind
            with self.read_once(bias=None):
                y = self._convolve(self._by_groups(x, bind), stored, output_size)
            return self._completed(y, x, output_size)
        # Each sample has a kernel of its own, or patches of its own where these are smaller.
        positions = () if self.transposed_kernel else output_shape(self, x)
        if self.transposed_kernel or prod(positions) >= self.out_channels // self.groups:
            return self._convolve(x, self.model_weight("weight"), output_size)
        bound = self.operator().reshape(self.groups, 1).bind(patches(self, x))
        y = bound @ self.to_outputs("weight", stored).mT
        return self._completed(y.mT.flatten(-3, -2).unflatten(-1, positions), x, output_size)

    def _completed(self, y: Tensor, x: Tensor, output_size: list[int] | None) -> Tensor:
        """Return base x + R⁻¹ y + b for y = D C x."""
        bias, base, outputs = self.bias, self.base(), self.output_operator()
        ones = [1] * (self.stored().dim() - 2)
        if outputs is not None:
            y = self._by_groups(y, outputs.reshape(self.groups, *ones).unbind)
        if base is not None:
            with self.read_once(bias=None):
                base = base.to(self.stored().dtype if x.is_complex() else x.dtype)
                y = y + self._convolve(x, base, output_size)
        biased: Tensor = y if bias is None else y + bias.view(-1, *ones).to(y.dtype)
        return biased

    def _by_groups(self, x: Tensor, apply: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a function to vectors of the channels of a group, shape (…, groups, …, dim)."""
        dim = 1 - self.stored().dim()
        channels = x.unflatten(dim, (self.groups, -1)).movedim(dim, -1)
        return apply(channels).movedim(-1, dim).flatten(dim - 1, dim)

    def _convolve(self, x: Tensor, weight: Tensor, output_size: list[int] | None) -> Tensor:
        if not weight.is_complex() or x.is_complex():
            return self._product(x, weight, self.bias, output_size)
        # A real input costs two real convolutions: real and imaginary kernels in turn.
        out_dim = 1 if self.transposed_kernel else 0
        parts = torch.view_as_real(weight).movedim(-1, out_dim + 1).flatten(out_dim, out_dim + 1)
        # Autocast lowers the precision, and complex64 has one only.
        y = self._product(x, parts, None, output_size).to(parts.dtype)
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
        """Apply the model in use.

        Args:
            input: Shape (batch, channels, …), as for the ordinary layer.

        Returns:
            Shape as for the ordinary layer, complex if the contexts are.

        Raises:
            TypeError: If `input` has another dtype than the weight and autocast is off.
            ValueError: If `input` has other channels or is on another device.
        """
        return self._forward(input)

    def _product(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, output_size: list[int] | None
    ) -> Tensor:
        layer: Any = self
        y: Tensor = layer._conv_forward(x, weight, bias)
        return y


class _Transposed(_SuperposedConvolution):
    transposed_kernel = True

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Apply the model in use.

        Args:
            input: Shape (batch, channels, …), as for the ordinary layer.
            output_size: Spatial shape of the output, as for the ordinary layer.

        Returns:
            Shape as for the ordinary layer, complex if the contexts are.

        Raises:
            TypeError, ValueError: As for `SuperposedConv2d`.
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

    The context has an entry for each input channel and kernel position or, with
    `superpose(…, per_channel=True)`, for each input channel. Each group has its own.

    Source:
        Cheung et al. 2019, equation 8.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose
        >>> layer = torch.nn.Conv2d(3, 8, kernel_size=5)
        >>> layer = superpose(layer, family=BinaryContexts, num_contexts=50, seed=0, base=False)
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
