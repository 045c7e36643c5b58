"""Superposed weights of a network, as the rows on which contexts act."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from analysis.theory import second_moment
from analysis.theory._families import moments_of
from psp_contexts import Contexts
from psp_nn import Superposed

PROJECTIONS = ("query", "key", "value")
"""Parts of the packed projection of attention, which receive different inputs."""


@dataclass(frozen=True)
class Weight:
    """A superposed weight of a network; tied ones occur once."""

    path: str
    layer: Superposed
    key: str
    part: int | None = None
    """Which third of a packed projection of attention; None for the whole weight."""

    @property
    def parameter(self) -> str:
        """Dotted name of the parameter."""
        return f"{self.path}.{self.key}".lstrip(".")

    @property
    def name(self) -> str:
        """Dotted name, with the part."""
        return self.parameter + ("" if self.part is None else f"[{PROJECTIONS[self.part]}]")

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
        rows = self.layer.to_rows(self.key, value.to(self.layer.stored(self.key)))
        return rows if self.part is None else rows.chunk(len(PROJECTIONS))[self.part]

    @property
    def has_closed_form(self) -> bool:
        """True if the moments of the family are known, which are not those of learned contexts."""
        try:
            moments_of(self.contexts, self.contexts.dim)
        except NotImplementedError:
            return False
        return True


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


def products_of(net: nn.Module) -> dict[str, Weight]:
    """Return the superposed weights that multiply vectors, by name; packed projections in parts.

    Raises:
        ValueError: If nothing is superposed.
    """
    products = {}
    for weight in weights_of(net).values():
        if isinstance(weight.layer, nn.Embedding):
            continue
        parts = range(len(PROJECTIONS)) if weight.key == "in_proj_weight" else (None,)
        for part in parts:
            product = replace(weight, part=part)
            products[product.name] = product
    return products


def grouped(rows: Tensor) -> Tensor:
    """Return rows or inputs with a dimension for groups, also where there is one group."""
    return rows if rows.dim() == 3 else rows.unsqueeze(0)


def pair_power(weight: Weight, rows: Tensor, x: Tensor, offset: int) -> float:
    """Return the expected power of one model's noise in the model `offset` contexts away.

    Permuting the outputs of either keeps it.

    Args:
        weight: A weight with a closed form.
        rows: What the one model adds, shape (groups, out, dim).
        x: Inputs of the other, shape (groups, n, dim).
        offset: Distance between their contexts.
    """
    offset *= weight.groups
    powers = (
        second_moment(weight.contexts, w, received.unsqueeze(-2), offset=offset).sum(-1).mean()
        for w, received in zip(rows, x, strict=True)
    )
    return sum(map(float, powers))
