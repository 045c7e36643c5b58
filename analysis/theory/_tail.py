"""How improbable large interference is."""

import torch
from torch import Tensor

from analysis._arguments import check_broadcast
from analysis.theory._diagonal import BinaryMoments
from analysis.theory._double import Number, at_least
from analysis.theory._families import Family, checked_law
from analysis.theory._law import dot, power


def tail_bound(family: Family, w: Tensor, x: Tensor, threshold: Number) -> Tensor:
    """Hoeffding's bound on P(|wᵀUx| ≥ t) under sign contexts: 2 exp(−t² / 2 Σ a²).

    Args:
        family: `BinaryContexts`, or such contexts.
        w: Rows of weights, shape (…, dim).
        x: Inputs, shape (…, dim).
        threshold: t ≥ 0, broadcasts.

    Returns:
        Shape (…), at most 1.

    Raises:
        NotImplementedError: If the family is another.
        TypeError, ValueError: As `mean`, and if a threshold is negative or not finite.

    Source:
        Hoeffding 1963, theorem 2.

    Example:
        >>> import torch
        >>> from analysis.theory import tail_bound
        >>> from psp_contexts import BinaryContexts
        >>> tail_bound(BinaryContexts, torch.ones(100), torch.ones(100), 40.0)
        tensor(0.0007, dtype=torch.float64)
    """
    law, w, x = checked_law(family, w, x, None)
    if not isinstance(law, BinaryMoments):
        raise NotImplementedError(
            f"tail_bound holds for BinaryContexts, not for {law.name}; pass family=BinaryContexts, "
            "or estimate tails of others from samples of analysis.retrieval.interference."
        )
    threshold = at_least(0, "threshold", threshold)
    check_broadcast(w=w.shape[:-1], x=x.shape[:-1], threshold=threshold.shape)
    exponent = threshold.square() / (2 * dot(power(w), power(x)))
    # |z| ≥ 0 is certain, even where z = 0 is.
    return torch.where(threshold > 0, 2 * (-exponent).exp(), 1.0).clamp(max=1)
