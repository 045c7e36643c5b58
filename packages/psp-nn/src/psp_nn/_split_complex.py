"""Complex input for real activations: real and imaginary part apart."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation, dropout, pooling
from torch.utils._pytree import tree_map

from psp_nn.layers.made_class import MadeClass

_ACROSS_UNITS = (
    activation.GLU,
    activation.LogSoftmax,
    activation.MultiheadAttention,
    activation.Softmax,
    activation.Softmax2d,
    activation.Softmin,
)


class SplitComplex(MadeClass):
    """Mixin that makes a real layer accept complex input; real input passes as before.

    Source:
        The paper's complex networks apply ReLU to the real and the imaginary part apart.

    Example:
        >>> import torch
        >>> from psp_contexts import ComplexContexts
        >>> from psp_nn import superpose
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
        >>> net = superpose(net, family=ComplexContexts, num_contexts=5, seed=0, base=False)
        >>> net[1](torch.tensor([1 - 2j, -3 + 4j])).tolist()
        [(1+0j), 4j]
        >>> net(torch.ones(3)).dtype
        torch.float32
    """


class SplitElementwise(SplitComplex):
    """An elementwise activation."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation to both parts."""
        if not x.is_complex():
            return self._plain(x)
        return torch.view_as_complex(self._plain(torch.view_as_real(x.resolve_conj())))

    def _plain(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)
        return y


class SplitPooling(SplitComplex):
    """A pooling layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool both parts."""
        if not x.is_complex():
            return self._plain(x)
        if getattr(self, "return_indices", False):
            raise ValueError(
                f"{type(self).__name__} has return_indices=True, but the maxima of the real "
                "and the imaginary part lie at different positions; use return_indices=False."
            )
        return torch.complex(self._plain(x.real), self._plain(x.imag))

    def _plain(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)
        return y


class SplitDropout(SplitComplex):
    """Dropout that drops both parts of a unit together."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop units, and scale up the others."""
        mask: Tensor = super().forward(torch.ones_like(x.real) if x.is_complex() else x)
        return x * mask if x.is_complex() else mask


def split_complex_class(plain: type[nn.Module]) -> type[nn.Module] | None:
    """Return the class that accepts complex input in place of `plain`, or None."""
    if plain.__module__ == activation.__name__ and not issubclass(plain, _ACROSS_UNITS):
        return _mixed_in(SplitElementwise, plain)
    if plain.__module__ == pooling.__name__:
        return _mixed_in(SplitPooling, plain)
    if issubclass(plain, dropout.AlphaDropout | dropout.FeatureAlphaDropout):
        return _mixed_in(SplitElementwise, plain)  # dropped units have another value than 0
    if plain.__module__ == dropout.__name__:
        return _mixed_in(SplitDropout, plain)
    return None


_split_classes: dict[type[nn.Module], type[nn.Module]] = {}


def _mixed_in(mixin: type[SplitComplex], plain: type[nn.Module]) -> type[nn.Module]:
    if plain not in _split_classes:
        _split_classes[plain] = type(f"SplitComplex{plain.__name__}", (mixin, plain), {})
    return _split_classes[plain]


def real_input(module: nn.Module, inputs: Any) -> Any:
    """Return the real part of complex inputs; a forward hook for layers that are left out."""
    return tree_map(lambda x: x.real if isinstance(x, Tensor) and x.is_complex() else x, inputs)


def real_part(module: nn.Module, inputs: Any, output: Any) -> Any:
    """Return the real part of complex outputs; a forward hook for whole networks."""
    if isinstance(output, Tensor):
        return output.real if output.is_complex() else output
    return tree_map(lambda y: y.real if isinstance(y, Tensor) and y.is_complex() else y, output)
