"""A call whose batch mixes contexts: all samples at once, or those of one context at a time."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C import _functorch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.rnn import PackedSequence

from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import EachSample, MixedBatchError, One, PerSample
from psp_nn.layers.using import using
from psp_nn.mixed.operators import look_up_operators, place_operators, without_loops_over_samples
from psp_nn.mixed.structure import StructureMap, same_leaf

COUNT = -1
"""Marks an integer that is the number of samples, such as the size that a cache notes."""


class _Part(NamedTuple):
    """A part of an argument, or a copy of one that all samples share, and the argument itself."""

    part: Tensor
    whole: Tensor
    version: int | None
    is_shared: bool

    @property
    def is_changed(self) -> bool:
        """True if the part has, or may have, been changed in place."""
        if self.version is None:
            return torch.is_inference_mode_enabled()
        return self.part._version != self.version


@dataclass(eq=False)
class Call:
    """A call of a network, with arguments that are split into samples and results that are joined.

    Args:
        forward: The network's own `forward`.
        layers: Layers that use the model of each sample.
        batch: Context of each sample.
        names: Names of the arguments, the positional ones first.
        values: The arguments.
        positional: Number of positional arguments.
        dims: Dimension of the samples in each argument, None for one that all samples share.
    """

    forward: Callable[..., Any]
    layers: list[Layer]
    batch: PerSample
    names: list[str]
    values: list[Any]
    positional: int
    dims: list[int | None]
    _parts: dict[int, _Part] = field(default_factory=dict)

    def run(self, values: list[Any]) -> list[Any]:
        """Run the network, and return its result, followed by these arguments after the call."""
        keywords = zip(self.names[self.positional :], values[self.positional :], strict=True)
        return [self.forward(*values[: self.positional], **dict(keywords)), *values]

    def at_once(self, layout: list[int | None]) -> Any:
        """Run all samples under `torch.vmap`.

        Args:
            layout: For each leaf of the result, and of the arguments after the call, the dimension
                of the samples; None for one that all samples share, `COUNT` for their number.
        """
        structure, level = StructureMap(), 0
        after: list[Any] = []
        batched: list[Tensor] = []
        position: dict[int, int] = {}
        inputs = [self.batch.index]
        dims = iter(layout)

        def collect(x: Tensor, dim: int) -> Tensor:
            inputs.append(x.unsqueeze(dim + 1).movedim(dim, 0))
            return x

        def note(x: Tensor) -> Tensor:
            is_new = id(x) not in self._parts and id(x) not in position
            if is_new and _functorch.maybe_get_level(x) == level:
                position[id(x)] = len(batched)
                batched.append(x)
            return x

        def join(x: Tensor) -> Tensor:
            dim = next(dims)
            if id(x) in self._parts:
                part = self._parts[id(x)]
                return part.whole.copy_(x) if part.is_shared and part.is_changed else part.whole
            if id(x) in position:
                if length(x, dim) != 1:
                    raise _not_samples(x)
                assert dim is not None
                return results[position[id(x)] + 1].squeeze(dim + 1).movedim(0, dim)
            return x if dim is None else x.repeat_interleave(len(self.batch.index), dim)

        def run(index: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
            nonlocal level
            level = _functorch.maybe_get_level(index)
            tensors = iter(given)
            values = self.split(lambda x, dim: next(tensors), structure)
            with using(self.layers, EachSample.of(index, self.batch)):
                place_operators(operators, tensors)
                after.append(self.run(values))
            StructureMap()(note, after)
            return index, *batched

        self.split(collect, StructureMap())
        operators = look_up_operators(self.layers, inputs)
        # vmap knows no other kernel of attention than this one, which is made of products.
        with without_loops_over_samples(), sdpa_kernel(SDPBackend.MATH):
            results = torch.vmap(run, randomness="different")(*inputs)
        return self._joined(join, structure.originals, dims, after, [1])

    def by_context(self, layout: list[int | None], groups: list[tuple[One, Tensor]]) -> Any:
        """Run the samples of one context at a time.

        Args:
            layout: As for `at_once`.
            groups: Selections, each with the positions of its samples.
        """
        order = torch.cat([at for _, at in groups])
        lengths, back = [len(at) for _, at in groups], order.argsort()
        after: list[Any] = []
        originals: dict[int, Any] = {}
        dims = iter(layout)
        for one, at in groups:
            structure = StructureMap()
            values = self.split(partial(select, at=at), structure)
            originals = originals or structure.originals
            with using(self.layers, one):
                after.append(self.run(values))

        def join(*parts: Tensor) -> Tensor:
            dim = next(dims)
            given = [self._parts[id(x)] for x in parts if id(x) in self._parts]
            if len(given) < len(parts):
                return joined(parts, dim)
            whole = given[0].whole
            if not any(part.is_changed for part in given):
                return whole
            return whole.copy_(joined(parts, None if given[0].is_shared else dim))

        def joined(parts: tuple[Tensor, ...], dim: int | None) -> Tensor:
            if dim is not None and [length(x, dim) for x in parts] == lengths:
                return torch.cat(parts, dim).index_select(dim, back.to(parts[0].device))
            if dim is None and all(torch.equal(x, parts[0]) for x in parts):
                return parts[0]
            raise _not_samples(parts[0])

        return self._joined(join, originals, dims, after, lengths)

    def _joined(
        self,
        join: Callable[..., Tensor],
        originals: dict[int, Any],
        dims: Iterator[int | None],
        after: list[Any],
        lengths: list[int],
    ) -> Any:
        """Join what calls of so many samples have returned, and update the arguments."""
        count = len(self.batch.index)

        def leaf(*values: Any) -> Any:
            if next(dims) != COUNT:
                return same_leaf(*values)
            return count if list(values) == lengths else same_leaf(count, *values)

        try:
            result: Any = StructureMap(originals, leaf)(join, *after)
        except StopIteration:
            raise _not_samples(None) from None
        if next(dims, self) is not self:  # fewer leaves than in the rehearsal
            raise _not_samples(None)
        return result[0]

    def check(self) -> Hashable:
        """Check the arguments, and return what decides how the network takes them.

        Raises:
            MixedBatchError: If an argument has another number of samples than one per context, or
                one for all, or none has.
        """
        kind: list[Any] = []

        def note(leaf: Any) -> Any:
            same_leaf(leaf)
            kind.append(leaf if isinstance(leaf, bool | str | None) else type(leaf))
            return leaf

        count, is_split = len(self.batch.index), False
        for name, value, dim in zip(self.names, self.values, self.dims, strict=True):

            def check(x: Tensor, name: str = name, dim: int | None = dim) -> Tensor:
                nonlocal is_split
                if length(x, dim) not in (None, 1, count):
                    raise self._wrong_length(name, x, dim)
                is_split |= length(x, dim) == count
                kind.append(tuple(n if n < 2 else 2 + (n == count) for n in x.shape))
                return x

            if isinstance(value, PackedSequence):
                raise MixedBatchError(
                    f"{name} is a PackedSequence, which does not say where the samples of a batch "
                    "that mixes contexts lie; pass a padded tensor, or make one call per context."
                )
            kind.append((name, dim))
            StructureMap(leaf=note)(check, value)
        if not is_split:
            raise MixedBatchError(
                f"the batch mixes {count} contexts, one for each sample, but no argument has "
                f"{count} samples along its dimension in batch_dim, which is 0 by default."
            )
        return tuple(kind)

    def _wrong_length(self, name: str, x: Tensor, dim: int | None) -> MixedBatchError:
        return MixedBatchError(
            f"{name} has shape {tuple(x.shape)}, but the batch mixes {len(self.batch.index)} "
            f"contexts, one for each sample along dimension {dim}; if {name} has no samples there, "
            f"say so with use_context(…, batch_dim={{'{name}': None}}), or state their dimension."
        )

    def split(self, take: Callable[[Tensor, int], Tensor], structure: StructureMap) -> list[Any]:
        """Return the arguments with a function applied to the tensors that hold samples."""
        count = len(self.batch.index)
        done: dict[tuple[int, int | None], Tensor] = {}  # one tensor may be given twice

        def part(x: Tensor, *, dim: int | None) -> Tensor:
            if (id(x), dim) in done:
                return done[id(x), dim]
            if dim is not None and length(x, dim) == count:
                y, is_shared = take(x, dim), False
            else:  # counters in a cache are changed in place
                y, is_shared = x if x.requires_grad else x.clone(), True
            version = None if y.is_inference() else y._version
            self._parts[id(y)] = _Part(y, x, version, is_shared)
            done[id(x), dim] = y
            return y

        return [
            structure(partial(part, dim=dim), value)
            for value, dim in zip(self.values, self.dims, strict=True)
        ]


def length(x: Tensor, dim: int | None) -> int | None:
    """Return the length of a dimension, or None if there is no such dimension."""
    return x.shape[dim] if dim is not None and x.dim() > dim else None


def select(x: Tensor, dim: int, *, at: Tensor) -> Tensor:
    """Return some samples of a tensor."""
    return x.index_select(dim, at.to(x.device))


def _not_samples(x: Tensor | None) -> MixedBatchError:
    shape = "another form than before" if x is None else f"shape {tuple(x.shape)}"
    return MixedBatchError(
        f"a result has {shape}, and depends on samples without having them along a dimension, but "
        "the batch mixes contexts; return it for each sample, such as a loss without reduction, or "
        "make one call per context."
    )
