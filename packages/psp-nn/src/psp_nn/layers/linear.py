"""The superposed linear layer: y = W (C_k x) + b."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn import functional as F

from psp_nn.layers.attributes import entry_per_context, superposed_parameter
from psp_nn.layers.bound_base import bound_base
from psp_nn.layers.inputs import autocasts, check_features
from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import EachSample, Mixture
from psp_nn.layers.superposed import base_name

_BASE = base_name("weight")


class SuperposedLinear(Layer, nn.Linear):
    """A linear layer that holds K models: y = W (C_k x) + b.

    The context acts on the input, or on the weight if the input has more vectors than the weight
    has rows. Both give the same result, by associativity.

    Source:
        Cheung et al. 2019, equations 3 and 4.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> layer = superpose(
        ...     torch.nn.Linear(4, 2), family=BinaryContexts, num_contexts=3, seed=0, base=False
        ... )
        >>> x = torch.ones(3, 4)
        >>> with use_context(layer, torch.tensor([2, 0, 1])):
        ...     mixed = layer(x)
        >>> with use_context(layer, 2):
        ...     torch.allclose(mixed[0], layer(x)[0])
        True
    """

    weight: Any = superposed_parameter("weight")
    bias: Any = entry_per_context("bias")

    @property
    def binds_samples(self) -> bool:
        """True if the contexts are small enough to gather one for each sample."""
        return self.contexts_for().gathers

    def forward(self, input: Tensor) -> Tensor:
        """Apply the model in use.

        Args:
            input: Shape (…, in_features).

        Returns:
            Shape (…, out_features), complex if the contexts are.

        Raises:
            TypeError: If `input` has another dtype than the weight and autocast is off.
            ValueError: If `input` has another shape or is on another device.
        """
        x, state, stored = input, self.superposition, self._parameters["weight"]
        assert stored is not None
        if (  # the common case of `check_features`, without a call
            x.dtype != stored.dtype
            or x.device != stored.device
            or x.shape[-1:] != (self.in_features,)
        ):
            check_features(self, x, stored, self.in_features)
        selection, compiling = state.selection, is_compiling()
        self.note_use()
        if isinstance(selection, EachSample):
            return self._forward_each_sample(x)
        if _BASE in self._buffers:
            # A compiled pass retrieves: a bound base of one model would be part of its graph.
            binds = not compiling and x.numel() <= self.in_features * self.out_features
            return self._forward_on_base(x, binds=binds)
        operator = self.operator()
        if isinstance(selection, Mixture):
            models = operator.reshape(state.num_contexts, *[1] * (x.dim() - 1))
            bound = selection.row(models.bind(x.expand(state.num_contexts, *x.shape)))
            return _product(bound, stored, self.bias)
        # A compiled batch size is symbolic and must not decide. And a real input with a complex
        # weight takes two products, not four.
        binds = compiling or x.numel() <= self.in_features * self.out_features
        if binds and (x.is_complex() or not stored.is_complex()):
            return _product(operator.bind(x), stored, self.bias)
        return _product(x, operator.retrieve(stored), self.bias)

    def _forward_on_base(self, x: Tensor, *, binds: bool) -> Tensor:
        """Return base x + R⁻¹ D C x + b, by one product with one weight."""
        stored, bias = self.stored(), self.bias
        base = bound_base(self) if binds and not stored.is_complex() else None
        if base is None:
            return _product(x, self.retrieved(), bias)
        weight, bound = stored + base, self.operator().bind(x)
        outputs = self.output_operator()
        if outputs is None:
            return F.linear(bound, weight, bias)
        return outputs.unbind(F.linear(bound, weight, None if bias is None else outputs.bind(bias)))

    def _forward_each_sample(self, x: Tensor) -> Tensor:
        """Return base x + R⁻¹ D C x + b, by products with weights that all samples share."""
        base, outputs, bias = self.base(), self.output_operator(), self.bias
        y = _product(self.operator().bind(x), self.stored(), None)
        if outputs is not None:
            y = outputs.unbind(y)
        if base is not None:
            y = y + _real_product(x, base)
        return y if bias is None else y + bias.to(y.dtype)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return x Wᵀ + b, by real products where they are faster than a complex one."""
    if not weight.is_complex():
        return F.linear(x, weight, bias)
    if not x.is_complex():
        y = _real_by_complex(x, weight)
    elif autocasts(x):
        y = _complex_by_complex(x, weight)
    else:
        return F.linear(x, weight, bias)
    return y if bias is None else y + bias


def _real_product(x: Tensor, weight: Tensor) -> Tensor:
    """Return x Wᵀ for a real weight, which may have a lower precision than x."""
    weight = weight.to(x.real.dtype)
    if not x.is_complex():
        return F.linear(x, weight)
    return torch.complex(F.linear(x.real, weight), F.linear(x.imag, weight))


def _real_by_complex(x: Tensor, weight: Tensor) -> Tensor:
    """Return x Wᵀ for a real x, by one product with real and imaginary rows in turn."""
    rows = torch.view_as_real(weight).transpose(1, 2).reshape(-1, weight.shape[1])
    y = F.linear(x, rows).to(rows.dtype)  # autocast lowers the precision, complex64 has one only
    return torch.view_as_complex(y.unflatten(-1, (-1, 2)))


def _complex_by_complex(x: Tensor, weight: Tensor) -> Tensor:
    """Return x Wᵀ by one real product of all parts of both, to which autocast applies."""
    parts = torch.view_as_real(x).movedim(-1, 0)
    rows = torch.view_as_real(weight).movedim(-1, 0).flatten(0, 1)
    y = F.linear(parts, rows).to(rows.dtype).unflatten(-1, (2, -1))
    re, im = y[..., 0, :], y[..., 1, :]
    return torch.complex(re[0] - im[1], re[1] + im[0])
