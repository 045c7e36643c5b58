"""A linear layer with a weight and a bias for each model: a head of its own."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from psp_nn.layers.attributes import entry_per_context
from psp_nn.layers.inputs import check_features
from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import PerSample


class LinearPerContext(Layer, nn.Linear):
    """A linear layer of which each model has a whole one: y = W_k x + b_k, without noise.

    Of a complex input it takes the real part, so that it can follow a complex body.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> options = {"num_contexts": 50, "seed": 0, "base": False, "own": "2"}
        >>> net = superpose(net, family=BinaryContexts, **options)
        >>> net[2].stored().shape
        torch.Size([50, 2, 8])
    """

    weights: ClassVar[tuple[str, ...]] = ()
    tables: ClassVar[tuple[str, ...]] = ("weight", "bias")

    weight: Any = entry_per_context("weight")
    bias: Any = entry_per_context("bias")

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer of the model in use.

        Args:
            input: Shape (…, in_features).

        Returns:
            Shape (…, out_features), real.

        Raises:
            TypeError: If `input` has another dtype than the weight and autocast is off.
            ValueError: If `input` has another shape or is on another device, or the batch mixes
                contexts and `input` does not have one sample per context along the stated
                dimension.
        """
        x = input.real if input.is_complex() else input
        check_features(self, x, self.stored(), self.in_features)
        selection = self.superposition.selection
        if not isinstance(selection, PerSample):
            return F.linear(x, self.weight, self.bias)
        self.note_use()
        selection.check(x, self.superposition.name, trailing=1)
        samples = x.movedim(selection.batch_dim, 0)
        weight = selection.rows(self.stored())
        y = torch.einsum("b...i,boi->b...o", samples, weight).movedim(0, selection.batch_dim)
        bias = self.table("bias")
        if bias is None:
            return y
        shape = selection.shape(x.dim() - 1)
        return y + selection.rows(bias).reshape(*shape, self.out_features).to(y.dtype)
