"""Superposed weights of a network, as the rows on which contexts act."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn import Superposed


@dataclass(frozen=True)
class Weight:
    """A superposed weight of a network; tied ones occur once."""

    path: str
    layer: Superposed
    key: str

    @property
    def name(self) -> str:
        return f"{self.path}.{self.key}".lstrip(".")

    @property
    def contexts(self) -> Contexts:
        return self.layer.contexts_for(self.key)

    @property
    def num_contexts(self) -> int:
        return self.layer.superposition.num_contexts

    @property
    def groups(self) -> int:
        """Number of groups of a convolution, which have contexts of their own."""
        return self.contexts.num_contexts // self.num_contexts

    def index(self, context: int) -> int | Tensor:
        """Return the context of every group; those of a model are consecutive."""
        groups = self.groups
        return context if groups == 1 else context * groups + torch.arange(groups)

    def rows(self, value: Tensor) -> Tensor:
        """Return a stored value as the rows on which contexts act."""
        return self.layer.to_rows(self.key, value.to(self.layer.stored(self.key)))


def weights_of(net: nn.Module) -> dict[str, Weight]:
    """Return the superposed weights of a network by dotted name.

    Raises:
        ValueError: If there is none.
    """
    weights: dict[str, Weight] = {}
    seen = set()
    for path, layer in net.named_modules():
        if not isinstance(layer, Superposed):
            continue
        for key in layer.superposition.superposed:
            if id(layer.stored(key)) not in seen:
                seen.add(id(layer.stored(key)))
                weight = Weight(path, layer, key)
                weights[weight.name] = weight
    if not weights:
        raise ValueError("nothing in net is superposed; call psp_nn.superpose first.")
    return weights
