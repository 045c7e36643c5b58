"""The interference between two models, sampled over pairs of contexts."""

import torch
from torch import Tensor

from psp_contexts import Contexts


def interference(
    contexts: Contexts, w: Tensor, x: Tensor, stored: int | Tensor, read: int | Tensor
) -> Tensor:
    """wᵀUx, U = C_k⁻¹ C_s: what a row w of model k adds when model s is read with input x.

    For independent samples, let no context occur in two pairs. The contexts of OnePower share
    their phases, so that no two pairs are independent; there, take families of other seeds.

    Args:
        contexts: The family.
        w: Rows of weights, shape (…, dim).
        x: Inputs, shape (…, dim).
        stored: k, an index or a LongTensor (…).
        read: s, an index or a LongTensor (…).

    Returns:
        All arguments broadcast against each other, shape (…); complex for complex families.

    Raises:
        IndexError, TypeError, ValueError: As `Contexts.bind`.

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
    pair = [index for index in (stored, read) if isinstance(index, Tensor)]
    shape = torch.broadcast_shapes(w.shape[:-1], x.shape[:-1], *(index.shape for index in pair))
    bound = contexts.bind(x.expand(*shape, -1), read)
    kept = contexts.store(w.expand(*shape, -1).unsqueeze(-2), stored).squeeze(-2)
    return (kept * bound).sum(-1)
