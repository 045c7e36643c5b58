"""Norm layers of superposed networks, with an affine for each model."""

from enum import StrEnum
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from psp_nn.layers.attributes import entry_per_context
from psp_nn.layers.layer import Layer


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
        """
        self.note_use()
        if not input.is_complex():
            return self._normalise(input, 0)
        return torch.complex(self._normalise(input.real, 0), self._normalise(input.imag, 1))

    def _normalise(self, x: Tensor, part: int) -> Tensor:
        """Normalise x; `part` selects the tables of the real (0) or the imaginary part (1)."""
        if self.superposition.parts == 1:
            return self._plain_forward(x)
        with self.read_once(**self._entries(part)):
            return self._plain_forward(x)

    def _plain_forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)
        return y

    def _entries(self, part: int) -> dict[str, Any]:
        return {name: self._entry(name, part) for name in self.tables}


class SuperposedGroupNorm(SuperposedNorm, nn.GroupNorm):
    """GroupNorm with an affine for each model."""

    bias: Any = entry_per_context("bias")


class SuperposedLayerNorm(SuperposedNorm, nn.LayerNorm):
    """LayerNorm with an affine for each model."""

    bias: Any = entry_per_context("bias")


class SuperposedRMSNorm(SuperposedNorm, nn.RMSNorm):
    """RMSNorm with a scale for each model."""

    tables: ClassVar[tuple[str, ...]] = ("weight",)
