"""Comparison of the runs of a rehearsal, which must agree but for the number of samples."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C import _functorch

from psp_nn.layers.selection import MixedBatchError
from psp_nn.mixed.call import Layout
from psp_nn.mixed.module_state import has_values
from psp_nn.mixed.structure import same_leaf


class Seen(NamedTuple):
    """Leaves of a result and of the arguments after a run, and tensors that modules keep."""

    leaves: list[Any]
    kept: dict[tuple[str, int], Tensor]


def find_layout(whole: Seen, part: Seen, count: int, few: int) -> Layout:
    """Return where the samples lie in the leaves of a run of all samples, given one of a few."""
    layout: Layout = []
    for x, y in zip(whole.leaves, part.leaves, strict=False):  # a container tells their number
        if isinstance(x, Tensor) and isinstance(y, Tensor):
            dims = [
                d
                for d, n in enumerate(x.shape)
                if n == count and (*x.shape[:d], few, *x.shape[d + 1 :]) == y.shape
            ]
            if x.shape != y.shape and not dims:
                raise dependent(
                    f"a result has shape {tuple(x.shape)} for {count} samples, but "
                    f"{tuple(y.shape)} for {few}"
                )
            layout.append(dims[0] if x.shape != y.shape else None)
        elif isinstance(x, int) and (x, y) == (count, few):
            layout.append(0)
        else:
            same_leaf(x, y)
            layout.append(None)
    return layout


def check_same(plain: Seen, mixed: Seen, tolerance: float | None) -> None:
    """Check the results of a plain run and of one that mixes contexts; see `_is_same`."""
    check_kept(plain, mixed, tolerance)
    for x, y in zip(plain.leaves, mixed.leaves, strict=True):
        if isinstance(x, Tensor) and not _is_same(x, y, tolerance):
            raise dependent(f"a result of shape {tuple(x.shape)} has other values")


def check_kept(plain: Seen, mixed: Seen, tolerance: float | None) -> None:
    """Check that modules keep the same tensors."""
    for name, number in plain.kept.keys() | mixed.kept.keys():
        x, y = (seen.kept.get((name, number)) for seen in (plain, mixed))
        if x is None or y is None or not _is_same(x, y, tolerance):
            raise MixedBatchError(
                f"'{name}' keeps a tensor of the batch between calls, which a batch that mixes "
                "contexts does not support; pass it as an argument and return it."
            )


def _is_same(x: Tensor, y: Tensor, tolerance: float | None) -> bool:
    """Return True if tensors are the same but for rounding, as far as values can be read.

    They may differ by a share of the size of `x`. Without a `tolerance` no values are compared.
    """
    while _functorch.is_gradtrackingtensor(x) and _functorch.is_gradtrackingtensor(y):
        x, y = _functorch.get_unwrapped(x), _functorch.get_unwrapped(y)
    hidden = [_functorch.is_functorch_wrapped_tensor(value) for value in (x, y)]
    if x.shape != y.shape or x.dtype != y.dtype or hidden[0] != hidden[1]:
        return False
    if tolerance is None or hidden[0] or not has_values(x) or not x.numel():
        return True
    if not (x.is_floating_point() or x.is_complex()):
        return bool((x != y).double().mean() <= 0.1)  # rounding may decide between integers
    x, y = (v.detach().to_dense() for v in (x, y))
    x, y = (torch.view_as_real(v) if v.is_complex() else v for v in (x, y))
    x, y = (v.double().nan_to_num(0, 0, 0) for v in (x, y))
    size = x.abs()
    # Numbers such as -1e9 mask others, and say nothing about the size of these.
    size = size.where(size > 1e4, size.where(size <= 1e4, 0).max())
    return bool(((x - y).abs() <= tolerance * (size + 1e-4)).all())


def dependent(what: str) -> MixedBatchError:
    """Return the error of a network in which samples depend on each other."""
    return MixedBatchError(
        "the batch mixes contexts, but the network does not give each sample what it gives it "
        f"alone: {what}. State in batch_dim which dimension of an argument holds the samples, if "
        "it is not 0 (None if none does), or make one call per context."
    )
