"""Batches that mix contexts whose operands are too large to gather per sample."""

from collections.abc import Callable

import torch
from torch import Tensor


def apply_grouped(x: Tensor, context: Tensor, apply: Callable[[Tensor, int], Tensor]) -> Tensor:
    """`apply(vectors, k)` to the vectors of x that have context k, for each k that occurs.

    One gather, one call per context that occurs, one scatter: the work of a single context.

    Args:
        x: Vectors, shape (…, dim).
        context: Indices that broadcast to x.shape[:-1].
        apply: Maps vectors (n, dim) of one context to vectors of the same shape.

    Returns:
        Shape of x.
    """
    flat = x.reshape(-1, x.shape[-1])
    indices = context.expand(x.shape[:-1]).reshape(-1)
    order = indices.argsort(stable=True)
    present, counts = torch.unique_consecutive(indices[order], return_counts=True)
    parts = flat[order].split(counts.tolist())
    done = [apply(part, index) for part, index in zip(parts, present.tolist(), strict=True)]
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    return (torch.cat(done) if done else flat)[back].reshape(x.shape)
