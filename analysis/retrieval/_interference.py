"""The interference between two models, sampled over pairs of contexts."""

from torch import Tensor

from analysis._arguments import (
    check_broadcast,
    check_contexts,
    check_tensor,
    checked_indices,
    served_by,
    shape_of,
)
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
        IndexError: If an index is not that of a context.
        TypeError: If a vector is complex and the family real, or an argument of another type.
        ValueError: If the shapes do not fit.

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
    check_contexts("contexts", contexts)
    for name, vectors in (("w", w), ("x", x)):
        check_tensor(name, vectors, "…, dim", dtypes=served_by(contexts), dim=contexts.dim)
    stored = checked_indices("stored", stored, contexts)
    read = checked_indices("read", read, contexts)
    shape = check_broadcast(
        w=w.shape[:-1], x=x.shape[:-1], stored=shape_of(stored), read=shape_of(read)
    )
    bound = contexts.bind(x.expand(*shape, -1), read)
    kept = contexts.store(w.expand(*shape, -1).unsqueeze(-2), stored).squeeze(-2)
    return (kept * bound).sum(-1)
