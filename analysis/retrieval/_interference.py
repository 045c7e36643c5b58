"""The interference between two models, sampled over pairs of contexts."""

import torch
from jaxtyping import Inexact, Int64
from torch import Tensor

from psp_contexts import Contexts


def interference(
    contexts: Contexts,
    w: Inexact[Tensor, "*#batch dim"],
    x: Inexact[Tensor, "*#batch dim"],
    stored: int | Int64[Tensor, "*#batch"],
    read: int | Int64[Tensor, "*#batch"],
) -> Inexact[Tensor, "*batch"]:
    """wᵀUx, U = C_k⁻¹ C_s: the interference of row w of model k when model s is read with input x.

    For independent samples, use each context in one pair only. The contexts of OnePower share
    their phases, so that all its pairs are dependent: use families with different seeds instead.

    Args:
        contexts: Contexts to sample from.
        w: Rows of weights.
        x: Inputs.
        stored: Index k of the stored model.
        read: Index s of the model that is read.

    Returns:
        The interference; complex for complex families. All arguments broadcast.

    Raises:
        IndexError: If an index is not that of a context.
        TypeError: If a vector is complex and the family real.
        ValueError: If `w` or `x` does not have the dim of the contexts.

    Example:
        >>> import torch
        >>> from analysis.retrieval import interference
        >>> from psp_contexts import RotationContexts
        >>> contexts = RotationContexts(16, num_contexts=2000, seed=0)
        >>> pairs = torch.arange(2000).view(-1, 2)
        >>> w, x = torch.ones(16), torch.eye(16)[0]
        >>> samples = interference(contexts, w, x, stored=pairs[:, 0], read=pairs[:, 1])
        >>> samples.shape, samples.square().mean().round()  # ‖w‖²‖x‖² / 16 = 1
        (torch.Size([1000]), tensor(1.))
    """
    indices = [index.shape for index in (stored, read) if isinstance(index, Tensor)]
    shape = torch.broadcast_shapes(w.shape[:-1], x.shape[:-1], *indices)
    bound = contexts.bind(x.expand(*shape, -1), read)
    stored_row = contexts.store(w.expand(*shape, -1).unsqueeze(-2), stored).squeeze(-2)
    return (stored_row * bound).sum(-1)
