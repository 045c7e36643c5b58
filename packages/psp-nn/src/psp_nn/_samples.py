"""A call whose batch mixes contexts: all samples at once, or those of one context at a time."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C import _functorch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.rnn import PackedSequence

from psp_nn._structure import StructureMap
from psp_nn._vectorise import look_up_operators, place_operators, without_loops_over_samples
from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import EachSample, MixedBatchError, PerSample
from psp_nn.layers.using import using


class _Part(NamedTuple):
    """A part of an argument, or a copy of one that all samples share, and the argument itself."""

    part: Tensor
    whole: Tensor
    version: int | None
    is_shared: bool = False

    @property
    def is_changed(self) -> bool:
        """True if the part has, or may have, been changed in place."""
        if self.version is None:
            return torch.is_inference_mode_enabled()
        return self.part._version != self.version


class Samples:
    """A call of a network whose arguments are split into samples, and whose results are joined.

    Args:
        forward: The network's own `forward`.
        layers: Layers that use the model of each sample.
        batch: Context of each sample.
        dims: Dimension of the samples by the name of an argument, None for an argument that all
            samples share. That of the result is under "return"; a tuple of results may have a
            tuple of dimensions.
        names: Names of the positional arguments.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        layers: list[Layer],
        batch: PerSample,
        dims: dict[str, Any],
        names: list[str],
    ) -> None:
        self.layers, self.dims = layers, dims
        self._forward, self._batch, self._names = forward, batch, names
        self._parts: dict[int, _Part] = {}

    def at_once(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, trial: bool) -> Any:
        """Run all samples under `torch.vmap`.

        Args:
            args: Positional arguments.
            kwargs: Keyword arguments.
            trial: Run on copies, so that a failure changes no argument.

        Raises:
            MixedBatchError: If vmap fails and has changed an argument in place.
        """
        structure, level = StructureMap(), 0
        call: list[Any] = []
        batched: list[Tensor] = []
        position: dict[int, int] = {}
        inputs = [self._batch.index]
        wholes: list[_Part] = []

        def collect(x: Tensor, dim: int) -> Tensor:
            y = x.clone() if trial else x
            wholes.append(_Part(y, x, _version(y)))
            inputs.append(y.unsqueeze(dim + 1).movedim(dim, 0))
            return y

        def note(x: Tensor, *, dim: int | None) -> Tensor:
            is_new = id(x) not in self._parts and id(x) not in position
            if is_new and _functorch.maybe_get_level(x) == level:
                if _length(x, dim) != 1:
                    raise _not_samples(x, dim, "one sample")
                position[id(x)] = len(batched)
                batched.append(x)
            return x

        def join(x: Tensor, *, dim: int | None) -> Tensor:
            if id(x) in self._parts:
                part = self._parts[id(x)]
                return part.whole.copy_(x) if part.is_shared and part.is_changed else part.whole
            if dim is None or _length(x, dim) != 1:
                return x
            if id(x) in position:
                return results[position[id(x)] + 1].squeeze(dim + 1).movedim(0, dim)
            return x.repeat_interleave(len(self._batch.index), dim)

        def run(index: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
            nonlocal level
            level = _functorch.maybe_get_level(index)
            tensors = iter(given)
            split = self._split(lambda x, dim: next(tensors), structure, args, kwargs)
            with using(self.layers, EachSample.of(index, self._batch)):
                place_operators(operators, tensors)
                call.append((self._forward(*split[0], **split[1]), *split))
            self._map_results(note, StructureMap(), call)
            return index, *batched

        self._split(collect, StructureMap(), args, kwargs)
        operators = look_up_operators(self.layers, inputs)
        # vmap knows no other kernel of attention than this one, which is made of products.
        try:
            with without_loops_over_samples(), sdpa_kernel(SDPBackend.MATH):
                results = torch.vmap(run, randomness="different")(*inputs)
        except Exception as error:
            if not trial and any(part.is_changed for part in wholes):
                raise MixedBatchError(
                    "the network has changed an argument in place and failed; make one call per "
                    f"context for this batch that mixes contexts: {error}"
                ) from error
            raise
        for part in wholes if trial else ():
            if part.is_changed:
                part.whole.copy_(part.part)
        return self._map_results(join, StructureMap(structure.originals), call)

    def by_context(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, cut: bool) -> Any:
        """Run the samples of one context at a time.

        Args:
            args: Positional arguments.
            kwargs: Keyword arguments.
            cut: Split one context's samples in two where all have equally many, so that the
                dimension of the samples is known by its length.
        """
        batch = self._batch
        ones, lengths = batch.ones, batch.counts
        if cut and len(set(lengths)) == 1 != lengths[0]:
            ones, lengths = [ones[0], *ones], [1, lengths[0] - 1, *lengths[1:]]
        calls: list[Any] = []
        originals: dict[int, Any] = {}
        for one, at in zip(ones, batch.order.split(lengths), strict=True):

            def select(x: Tensor, dim: int, at: Tensor = at) -> Tensor:
                return x.index_select(dim, at.to(x.device))

            structure = StructureMap()
            split = self._split(select, structure, args, kwargs)
            originals = originals or structure.originals
            with using(self.layers, one):
                calls.append((self._forward(*split[0], **split[1]), *split))

        def join(*parts: Tensor, dim: int | None) -> Tensor:
            given = [self._parts[id(x)] for x in parts if id(x) in self._parts]
            is_given = len(given) == len(parts)
            if is_given and not any(part.is_changed for part in given):
                return given[0].whole
            is_shared = is_given and given[0].is_shared
            if not is_shared and dim is not None and [_length(x, dim) for x in parts] == lengths:
                joined = torch.cat(parts, dim).index_select(dim, batch.back.to(parts[0].device))
                return given[0].whole.copy_(joined) if is_given else joined
            if all(x.shape == parts[0].shape and torch.equal(x, parts[0]) for x in parts):
                return given[0].whole.copy_(parts[0]) if is_given else parts[0]
            raise _not_samples(parts[0], dim, f"{lengths[0]} samples")

        return self._map_results(join, StructureMap(originals), calls)

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Check that every argument has one sample per context, or one for all.

        Raises:
            MixedBatchError: If one has another length.
        """
        for name, value in (*zip(self._names, args, strict=True), *kwargs.items()):
            if isinstance(value, PackedSequence):
                raise MixedBatchError(
                    f"{name} is a PackedSequence, which does not say where the samples of a batch "
                    "that mixes contexts lie; pass a padded tensor, or make one call per context."
                )
            StructureMap()(partial(self._check_length, name), value)

    def _check_length(self, name: str, x: Tensor) -> Tensor:
        dim, count = self.dims[name], len(self._batch.index)
        if _length(x, dim) not in (None, 1, count):
            raise MixedBatchError(
                f"{name} has shape {tuple(x.shape)}, but the batch mixes {count} contexts, one for "
                f"each sample along dimension {dim}; if {name} has no samples there, say so with "
                f"use_context(…, batch_dim={{'{name}': None}}), or state their dimension."
            )
        return x

    def _split(
        self,
        split: Callable[[Tensor, int], Tensor],
        structure: StructureMap,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with a function applied to the tensors that hold samples."""
        count = len(self._batch.index)

        def part(x: Tensor, *, dim: int | None) -> Tensor:
            is_shared = _length(x, dim) != count
            if dim is not None and not is_shared:
                y = split(x, dim)
            else:  # counters in a cache are changed in place
                y = x if x.requires_grad else x.clone()
            self._parts[id(y)] = _Part(y, x, _version(y), is_shared)
            return y

        parts = [
            structure(partial(part, dim=self.dims[name]), value)
            for name, value in (*zip(self._names, args, strict=True), *kwargs.items())
        ]
        return tuple(parts[: len(args)]), dict(zip(kwargs, parts[len(args) :], strict=True))

    def _map_results(
        self, function: Callable[..., Tensor], structure: StructureMap, calls: list[Any]
    ) -> Any:
        """Map the tensors in what calls return, and in their arguments, such as caches.

        Args:
            function: Takes one tensor of each call.
            structure: Map of the structures that hold them.
            calls: Result, positional arguments and keyword arguments of each call.
        """
        outputs, args, kwargs = zip(*calls, strict=True)
        dims = self.dims["return"]
        if isinstance(dims, tuple):
            result: Any = tuple(
                structure(partial(function, dim=dim), *parts)
                for dim, *parts in zip(dims, *outputs, strict=True)
            )
        else:
            result = structure(partial(function, dim=dims), *outputs)
        values = [*zip(self._names, *args, strict=True)]
        values += [(name, *(call[name] for call in kwargs)) for name in kwargs[0]]
        for name, *parts in values:
            structure(partial(function, dim=self.dims[name]), *parts)
        return result


def _version(x: Tensor) -> int | None:
    """Return how often a tensor was changed in place, or None if it does not count."""
    return None if x.is_inference() else x._version


def _length(x: Tensor, dim: int | None) -> int | None:
    return x.shape[dim] if dim is not None and x.dim() > dim else None


def _not_samples(x: Tensor, dim: int | None, count: str) -> MixedBatchError:
    return MixedBatchError(
        f"a result has shape {tuple(x.shape)} for {count}, and thus no samples along dimension "
        f"{dim}, but the batch mixes contexts; return it for each sample, such as a loss without "
        "reduction, state its dimension with use_context(…, batch_dim={'return': …}), or make one "
        "call per context."
    )
