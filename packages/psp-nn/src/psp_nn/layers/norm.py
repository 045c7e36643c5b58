"""Norm layers of superposed networks, with an affine for each model."""

from enum import StrEnum
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from psp_nn.layers.attributes import entry_per_context
from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import PerSample


class Norms(StrEnum):
    """Treatment of the norm layers of a superposed network.

    Shared running statistics are those of the model trained last, and destroy the others.
    """

    PER_CONTEXT = "per-context"
    """Affine and running statistics for each model."""

    SHARED = "shared"
    """One affine and one set of running statistics, as in the original network."""

    FROZEN = "frozen"
    """The affine and running statistics of the original network, never updated."""

    BATCH = "batch"
    """BatchNorm without affine or running statistics, as in the paper; other norms shared."""


class SuperposedNorm(Layer):
    """A norm layer with tables; real and imaginary part of complex input are normalised apart."""

    weights: ClassVar[tuple[str, ...]] = ()
    tables: ClassVar[tuple[str, ...]] = ("weight", "bias")

    weight: Any = entry_per_context("weight")

    def forward(self, input: Tensor) -> Tensor:
        """Normalise the input with the affine of the model in use.

        Args:
            input: Shape as for the ordinary layer; complex in a complex network.

        Returns:
            Shape and dtype of the input.

        Raises:
            ValueError: If the batch mixes contexts and `input` does not have one sample per
                context along the stated dimension.
        """
        self.note_use()
        if not input.is_complex():
            return self._normalise(input, 0)
        return torch.complex(self._normalise(input.real, 0), self._normalise(input.imag, 1))

    def _normalise(self, x: Tensor, part: int) -> Tensor:
        """Normalise x; `part` selects the tables of the real (0) or the imaginary part (1)."""
        if isinstance(self.superposition.selection, PerSample):
            return self._normalise_samples(x, part, self.superposition.selection)
        if self.superposition.parts == 1:
            return self._plain_forward(x)
        with self.read_once(**self._entries(part)):
            return self._plain_forward(x)

    def _plain_forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)
        return y

    def _entries(self, part: int) -> dict[str, Any]:
        return {name: self._entry(name, part) for name in self.tables}

    def _normalise_samples(self, x: Tensor, part: int, selection: PerSample) -> Tensor:
        channels = self._channels(x)
        selection.check(x, self.superposition.name, trailing=x.dim() - channels.start)
        with self.read_once(weight=None, bias=None):
            y = self._plain_forward(x)
        scale, shift = (
            self._sample_entries(name, x, part, selection) for name in ("weight", "bias")
        )
        if scale is not None:
            y = y * scale
        return y if shift is None else y + shift

    def _sample_entries(
        self, name: str, x: Tensor, part: int, selection: PerSample
    ) -> Tensor | None:
        """Return the entries of the models of all samples, shaped to broadcast to x."""
        table = self.table(name)
        if table is None:
            return None
        per_context = name in self.superposition.per_context
        shape = [1] * x.dim()
        channels = self._channels(x)
        self._check_channels(x, table.shape[channels.start - channels.stop :])
        shape[channels] = x.shape[channels]
        if per_context:
            shape[selection.batch_dim] = len(selection.index)
            table = selection.rows(table)
        if self.superposition.parts == 2:
            table = table.select(1 if per_context else 0, part)
        return table.reshape(shape)

    def _channels(self, x: Tensor) -> slice:
        """Return the dimensions of x that the affine acts on."""
        return slice(1, 2)

    def _check_channels(self, x: Tensor, sizes: torch.Size) -> None:
        if x.shape[self._channels(x)] != sizes:  # it would broadcast
            raise ValueError(
                f"layer '{self.superposition.name}' normalises {tuple(sizes)} channels, but its "
                f"input has shape {tuple(x.shape)}."
            )


class SuperposedGroupNorm(SuperposedNorm, nn.GroupNorm):
    """GroupNorm with an affine for each model."""

    bias: Any = entry_per_context("bias")


class SuperposedLayerNorm(SuperposedNorm, nn.LayerNorm):
    """LayerNorm with an affine for each model."""

    bias: Any = entry_per_context("bias")

    def _channels(self, x: Tensor) -> slice:
        return slice(x.dim() - len(self.normalized_shape), x.dim())


class SuperposedRMSNorm(SuperposedNorm, nn.RMSNorm):
    """RMSNorm with a scale for each model."""

    tables: ClassVar[tuple[str, ...]] = ("weight",)

    def _channels(self, x: Tensor) -> slice:
        return slice(x.dim() - len(self.normalized_shape), x.dim())
