"""A call of a network whose batch mixes contexts, as a flat list of what is in its arguments."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import MixedBatchError, PerSample
from psp_nn.mixed.structure import Container, flatten, is_equal, rebuild, same_leaf

Layout: TypeAlias = list[int | None]
"""Dimension of the samples in each leaf, None in those that all samples share.

In a result it is 0 for an integer that is the number of samples.
"""


@dataclass(eq=False)
class Call:
    """A call of a network whose batch mixes contexts.

    Args:
        forward: The network's own `forward`.
        layers: Layers that use the model of each sample.
        batch: Context of each sample.
        names: Names of the arguments, the positional ones first.
        positional: Number of positional arguments.
        leaves: Leaves of the arguments.
        layout: Where the samples lie in these.
    """

    forward: Callable[..., Any]
    layers: list[Layer]
    batch: PerSample
    names: list[str]
    positional: int
    leaves: list[Any]
    layout: Layout

    def run(self, leaves: list[Any]) -> list[Any]:
        """Run the network on other leaves, and restore the containers in the arguments.

        Returns:
            Leaves of the result, and of the arguments after the run.
        """
        values = self._filled(leaves)
        keywords = zip(self.names[self.positional :], values[self.positional :], strict=True)
        try:
            result = self.forward(*values[: self.positional], **dict(keywords))
            return flatten([result, *values], {})
        finally:
            self.restore()

    def restore(self) -> None:
        """Restore the containers in the arguments."""
        self._filled(self.leaves)

    def _filled(self, leaves: list[Any]) -> list[Any]:
        remaining = iter(leaves)
        return [rebuild(remaining) for _ in self.names]

    def join(
        self,
        layout: Layout,
        parts: list[list[Any]],
        runs: list[list[Any]],
        lengths: list[int],
        joined: Callable[..., Tensor],
    ) -> list[Any]:
        """Return the result of all samples and the arguments, and update the containers in these.

        Args:
            layout: Where the samples lie in the leaves that a run returns.
            parts: Leaves that each run has taken.
            runs: Leaves that it has returned.
            lengths: Number of its samples.
            joined: Takes a dimension and a new tensor of each run, and joins these.

        Raises:
            MixedBatchError: If runs differ in form, or in what is no tensor.
        """
        if any(len(leaves) != len(layout) for leaves in runs):
            raise MixedBatchError(
                "a result has another form for some samples, or than in an earlier call, but the "
                "batch mixes contexts; make one call per context."
            )
        wholes = {id(x): whole for own in parts for x, whole in zip(own, self.leaves, strict=True)}
        found: list[Any] = []
        for dim, *values in zip(layout, *runs, strict=True):
            if all(isinstance(x, Tensor) for x in values):
                whole = wholes.get(id(values[0]))
                is_given = all(wholes.get(id(x), x) is whole for x in values)
                found.append(whole if is_given else joined(dim, *values))
            elif dim is not None and all(map(is_equal, values, lengths)):
                found.append(len(self.batch.index))
            else:
                found.append(same_leaf(*values, *([] if dim is None else [len(self.batch.index)])))
        result: list[Any] = rebuild(iter(found))
        return result


def read_arguments(
    names: list[str], values: list[Any], dims: Layout, count: int
) -> tuple[list[Any], Layout, Hashable]:
    """Check the arguments of a call.

    Returns:
        Their leaves, where the samples lie in these, and what decides how a network takes them.

    Raises:
        MixedBatchError: If an argument has another number of samples than one per context, or one
            for all, or none has.
    """
    leaves: list[Any] = []
    layout: Layout = []
    kind: list[Hashable] = []
    seen: dict[int, int] = {}
    for name, value, dim in zip(names, values, dims, strict=True):
        kind.append((name, dim))
        for x in flatten(value, seen):
            _check(x, name, dim, count)
            leaves.append(x)
            layout.append(dim if isinstance(x, Tensor) and length(x, dim) == count else None)
            kind.append(_kind(x, count))
    if all(dim is None for dim in layout):
        raise MixedBatchError(
            f"the batch mixes {count} contexts, one for each sample, but no argument has {count} "
            "samples along its dimension in batch_dim, which is 0 by default."
        )
    return leaves, layout, tuple(kind)


def _kind(x: Any, count: int) -> Hashable:
    if isinstance(x, Tensor):
        return tuple(n if n < 2 else 2 + (n == count) for n in x.shape)
    if isinstance(x, Container):
        return x.form
    option: Hashable = x if isinstance(x, bool | str | None) else type(x)
    return option


def _check(x: Any, name: str, dim: int | None, count: int) -> None:
    if isinstance(x, Tensor) and length(x, dim) not in (None, 1, count):
        raise MixedBatchError(
            f"{name} has shape {tuple(x.shape)}, but the batch mixes {count} contexts, one for "
            f"each sample along dimension {dim}; if {name} has no samples there, say so with "
            f"use_context(…, batch_dim={{'{name}': None}}), or state their dimension."
        )
    if isinstance(x, Container) and isinstance(x.value, PackedSequence):
        raise MixedBatchError(
            f"{name} is a PackedSequence, which does not say where the samples of a batch that "
            "mixes contexts lie; pass a padded tensor, or make one call per context."
        )


def length(x: Tensor, dim: int | None) -> int | None:
    """Return the length of a dimension, or None if there is no such dimension."""
    return x.shape[dim] if dim is not None and x.dim() > dim else None


def not_samples(x: Tensor) -> MixedBatchError:
    """Return the error of results that depend on samples, but cannot be joined."""
    return MixedBatchError(
        f"a result has shape {tuple(x.shape)}, and depends on samples without having them along a "
        "dimension, but the batch mixes contexts; return it for each sample, such as a loss "
        "without reduction, or make one call per context."
    )
