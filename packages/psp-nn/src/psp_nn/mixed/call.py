"""A call of a network whose batch mixes contexts, as a flat list of what is in its arguments."""

from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

from torch import Tensor

from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import MixedBatchError, PerSample
from psp_nn.mixed.structure import Container, flatten, is_equal, rebuild, same_leaf

Layout: TypeAlias = list[int | None]
"""Dimension of the samples in each leaf, None in those that all samples share.

In a result it is 0 for an integer that is the number of samples.
"""


class Call:
    """A call of a network whose batch mixes contexts.

    Args:
        forward: The network's own `forward`.
        layers: Layers that use the model of each sample.
        batch: Context of each sample.
        names: Names of the arguments, the positional ones first.
        values: The arguments.
        dims: Dimension of the samples in each.
        positional: Number of positional arguments.

    Attributes:
        count: Number of samples.
        leaves: Leaves of the arguments; see `flatten`.
        layout: Where the samples lie in these.
        kind: Decides how the network takes the arguments.

    Raises:
        MixedBatchError: If an argument has another number of samples than one per context, or one
            for all, or none has.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        layers: list[Layer],
        batch: PerSample,
        names: list[str],
        values: list[Any],
        dims: Layout,
        positional: int,
    ) -> None:
        self.layers, self.batch, self.count = layers, batch, len(batch.index)
        self._forward, self._names, self._positional = forward, names, positional
        self.leaves: list[Any] = []
        self.layout: Layout = []
        self.kind: list[Hashable] = [*names, *dims]
        seen: dict[int, int] = {}
        for name, value, dim in zip(names, values, dims, strict=True):
            for x in flatten(value, seen):
                self.leaves.append(x)
                self.layout.append(self._dim_of(x, name, dim))
                self.kind.append(self._kind_of(x))
        if all(dim is None for dim in self.layout):
            raise MixedBatchError(
                f"the batch mixes {self.count} contexts, one for each sample, but no argument has "
                f"{self.count} samples along its dimension in batch_dim, which is 0 by default."
            )

    def _dim_of(self, x: Any, name: str, dim: int | None) -> int | None:
        size = length(x, dim)
        if size in (None, 1, self.count):
            return dim if size == self.count else None
        raise MixedBatchError(
            f"{name} has shape {tuple(x.shape)}, but the batch mixes {self.count} contexts, one "
            f"for each sample along dimension {dim}; if {name} has no samples there, say so with "
            f"use_context(…, batch_dim={{'{name}': None}}), or state their dimension."
        )

    def _kind_of(self, x: Any) -> Any:
        if isinstance(x, Tensor):
            return tuple(n if n < 2 else 2 + (n == self.count) for n in x.shape)
        if isinstance(x, Container):
            return x.form
        return x if isinstance(x, bool | str | None) else type(x)

    def run(self, leaves: list[Any]) -> list[Any]:
        """Run the network on other leaves, and restore the containers in the arguments.

        Returns:
            Leaves of the result, and of the arguments after the run.
        """
        try:
            values = self._filled(leaves)
            args, names = values[: self._positional], self._names[self._positional :]
            result = self._forward(*args, **dict(zip(names, values[len(args) :], strict=True)))
            return flatten([result, *values], {})
        finally:
            self.restore()

    def restore(self) -> None:
        """Restore the containers in the arguments."""
        self._filled(self.leaves)

    def _filled(self, leaves: list[Any]) -> list[Any]:
        remaining = iter(leaves)
        return [rebuild(remaining) for _ in self._names]

    def join(
        self,
        layout: Layout,
        runs: list[tuple[list[Any], list[Any]]],
        lengths: list[int],
        joined: Callable[..., Tensor],
    ) -> list[Any]:
        """Return the result of all samples and the arguments, whose containers are updated.

        Args:
            layout: Where the samples lie in the leaves that a run returns.
            runs: Leaves that each has taken, and those that it has returned.
            lengths: Number of samples of each.
            joined: Takes a dimension and a new tensor of each run, and joins these.
        """
        if any(len(returned) != len(layout) for _, returned in runs):
            raise MixedBatchError(
                "a result has another form for some samples, or than in an earlier call, but the "
                "batch mixes contexts; make one call per context."
            )
        wholes = {id(x): y for taken, _ in runs for x, y in zip(taken, self.leaves, strict=True)}
        leaves: list[Any] = []
        for dim, *values in zip(layout, *[returned for _, returned in runs], strict=True):
            if all(isinstance(x, Tensor) for x in values):
                whole = wholes.get(id(values[0]))
                is_given = all(wholes.get(id(x), x) is whole for x in values)
                leaves.append(whole if is_given else joined(dim, *values))
            elif dim is not None and all(map(is_equal, values, lengths)):
                leaves.append(self.count)
            else:
                leaves.append(same_leaf(*values, *([] if dim is None else [self.count])))
        result: list[Any] = rebuild(iter(leaves))
        return result


def length(x: Any, dim: int | None) -> int | None:
    """Return the length of a dimension of a tensor, or None if there is no such dimension."""
    return x.shape[dim] if isinstance(x, Tensor) and dim is not None and dim < x.dim() else None


def not_samples(x: Tensor) -> MixedBatchError:
    """Return the error of results that depend on samples, but cannot be joined."""
    return MixedBatchError(
        f"a result has shape {tuple(x.shape)}, and depends on samples without having them along a "
        "dimension, but the batch mixes contexts; return it for each sample, such as a loss "
        "without reduction, or make one call per context."
    )
