"""The superposed linear layer: y = W (C_k x) + b."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn import functional as F

from psp_nn.layers.inputs import check_features
from psp_nn.layers.layer import Layer, entry_per_context, superposed_parameter
from psp_nn.layers.selection import Mixture, PerSample
from psp_nn.layers.superposed import base_name

_BASE = base_name("weight")


class SuperposedLinear(Layer, nn.Linear):
    """A linear layer that holds K models: y = W (C_k x) + b.

    The context acts on the input, one vector of `in_features` numbers per sample, or, where the
    input has more vectors than the weight has rows, on the weight: the same by associativity.

    Source:
        Cheung et al. 2019, equations 3 and 4.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> layer = superpose(
        ...     torch.nn.Linear(4, 2), family=BinaryContexts, num_contexts=3, seed=0
        ... )
        >>> x = torch.ones(3, 4)
        >>> with use_context(layer, torch.tensor([2, 0, 1])):
        ...     mixed = layer(x)
        >>> with use_context(layer, 2):
        ...     torch.allclose(mixed[0], layer(x)[0])
        True
    """

    binds_each_sample = True

    weight: Any = superposed_parameter("weight")
    bias: Any = entry_per_context("bias")

    def forward(self, input: Tensor) -> Tensor:
        """The model in use, applied to the input.

        Args:
            input: Shape (…, in_features).

        Returns:
            Shape (…, out_features), complex if the contexts are.

        Raises:
            TypeError: If the input has not the dtype of the weight and autocast is off.
            ValueError: If it has another shape or is on another device, or the batch mixes
                contexts and it has not one sample per context along the stated dimension.
        """
        x = input
        stored = self.stored()
        check_features(self, x, stored, self.in_features)
        selected, traced = self.superposition.selection, is_compiling()
        if not traced:
            self.superposition.guard.note(selected, self.superposition.name)
        if isinstance(selected, PerSample):
            return self._per_sample(x, selected)
        if _BASE in self._buffers:
            return _product(x, self.retrieved(), self.bias)
        contexts = self.contexts_for()
        if isinstance(selected, Mixture):
            every = torch.arange(self.superposition.num_contexts, device=x.device)
            models = x.expand(self.superposition.num_contexts, *x.shape)
            bound = selected.row(contexts.bind(models, every.view(-1, *[1] * (x.dim() - 1))))
            return _product(bound, stored, self.bias)
        # A traced batch size must not decide; and a real input times a complex weight is two
        # products, not four.
        binds = traced or x.numel() <= self.in_features * self.out_features
        if binds and (x.is_complex() or not contexts.is_complex):
            return _product(contexts.bind(x, self.context()), stored, self.bias)
        return _product(x, contexts.retrieve(stored, self.context()), self.bias)

    def _per_sample(self, x: Tensor, selected: PerSample) -> Tensor:
        selected.check(x, self.superposition.name, trailing=1)
        bound = self.contexts_for().bind(x, self.sample_contexts("weight", x.dim() - 1))
        shared = "bias" not in self.superposition.per_context
        y = _product(bound, self.stored("weight"), self._parameters["bias"] if shared else None)
        base = self._buffers.get(base_name("weight"))
        if base is not None:
            y = y + F.linear(x, base)
        if shared:
            return y
        table = self._parameters["bias"]
        assert table is not None
        return y + selected.spread(selected.rows(table), x.dim() - 1).to(y.dtype)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b; torch's own product, unless it is complex and has real ones that are faster."""
    if not weight.is_complex():
        return F.linear(x, weight, bias)
    if not x.is_complex():
        y = _real_by_complex(x, weight)
    elif torch.is_autocast_enabled(x.device.type):
        y = _by_parts(x, weight)
    else:
        return F.linear(x, weight, bias)
    return y if bias is None else y + bias


def _real_by_complex(x: Tensor, weight: Tensor) -> Tensor:
    """x Wᵀ with a real x: one real product with real and imaginary rows in turn."""
    rows = torch.view_as_real(weight).transpose(1, 2).reshape(-1, weight.shape[1])
    y = F.linear(x, rows).to(rows.dtype)  # a complex network stays in the weight's precision
    return torch.view_as_complex(y.unflatten(-1, (-1, 2)))


def _by_parts(x: Tensor, weight: Tensor) -> Tensor:
    """x Wᵀ by one real product of all parts of both, which autocast takes in its own precision."""
    parts = torch.view_as_real(x).movedim(-1, 0)
    rows = torch.view_as_real(weight).movedim(-1, 0).flatten(0, 1)
    y = F.linear(parts, rows).to(rows.dtype).unflatten(-1, (2, -1))
    re, im = y[..., 0, :], y[..., 1, :]
    return torch.complex(re[0] - im[1], re[1] + im[0])
