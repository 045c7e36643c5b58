"""Moments and tails of the interference wᵀUx between two models."""

import torch
from jaxtyping import Float64, Inexact, Num
from torch import Tensor

from analysis._checks import check_offset
from analysis.theory._algebra import Number, dot, double, power
from analysis.theory._diagonal import BinaryMoments
from analysis.theory._families import Family, prepare


def mean(
    family: Family,
    w: Num[Tensor, "*#batch dim"],
    x: Num[Tensor, "*#batch dim"],
    *,
    offset: int | None = None,
) -> Inexact[Tensor, "*batch"]:
    """E[wᵀUx]: the mean interference of a stored model with the model that is read.

    U = C_k⁻¹ C_s for two different contexts of one family, averaged over their draw.

    Args:
        family: Contexts, or a class such as `BinaryContexts` (with its default options).
        w: Rows of the stored model's weights.
        x: Inputs of the model that is read.
        offset: k − s, not 0; by default far apart. It matters for LocalMix alone.

    Returns:
        float64; complex128 for complex arguments.

    Raises:
        NotImplementedError: If no closed form is known for the family.
        ValueError: If the lengths of `w` and `x` differ, or `offset` is 0.
        TypeError: If `w` or `x` is complex and the family real.

    Example:
        >>> import torch
        >>> from analysis.theory import mean
        >>> from psp_contexts import BinaryContexts, PermutationContexts
        >>> w, x = torch.ones(4), torch.ones(4)
        >>> mean(BinaryContexts, w, x).item(), mean(PermutationContexts, w, x).item()
        (0.0, 4.0)
    """
    moments, (w, x) = prepare(family, offset, w=w, x=x)
    return moments.mean(w, x, offset)


def second_moment(
    family: Family,
    w: Num[Tensor, "*#batch dim"],
    x: Num[Tensor, "*#batch dim"],
    *,
    offset: int | None = None,
) -> Float64[Tensor, "*batch"]:
    """E|wᵀUx|²: the power of the interference, in squared output units.

    Arguments and errors are those of `mean`.

    Example:
        >>> import torch
        >>> from analysis.theory import second_moment
        >>> from psp_contexts import BinaryContexts, RotationContexts
        >>> one = torch.eye(4)[0]
        >>> second_moment(BinaryContexts, one, one).item()  # all energy on one unit
        1.0
        >>> second_moment(RotationContexts, one, one).item()
        0.25
    """
    moments, (w, x) = prepare(family, offset, w=w, x=x)
    return moments.second_moment(w, x, offset)


def pseudo_moment(
    family: Family,
    w: Num[Tensor, "*#batch dim"],
    x: Num[Tensor, "*#batch dim"],
    *,
    offset: int | None = None,
) -> Inexact[Tensor, "*batch"]:
    """E[(wᵀUx)²], without the modulus.

    It is the second moment for real families, and 0 for Complex and OnePower. Arguments and
    errors are those of `mean`.
    """
    moments, (w, x) = prepare(family, offset, w=w, x=x)
    return moments.pseudo_moment(w, x, offset)


def real_second_moment(
    family: Family,
    w: Num[Tensor, "*#batch dim"],
    x: Num[Tensor, "*#batch dim"],
    *,
    offset: int | None = None,
) -> Float64[Tensor, "*batch"]:
    """E[(Re wᵀUx)²]: the power of the interference in the real part of an output.

    (Re z)² = (|z|² + Re z²) / 2: half the second moment for Complex and OnePower, all of it for
    real families. Arguments and errors are those of `mean`.

    Example:
        >>> import torch
        >>> from analysis.theory import real_second_moment
        >>> from psp_contexts import ComplexContexts
        >>> real_second_moment(ComplexContexts, torch.ones(4), torch.ones(4)).item()
        2.0
    """
    moments, (w, x) = prepare(family, offset, w=w, x=x)
    return (moments.second_moment(w, x, offset) + moments.pseudo_moment(w, x, offset).real) / 2


def fourth_moment(
    family: Family, w: Num[Tensor, "*#batch dim"], x: Num[Tensor, "*#batch dim"]
) -> Float64[Tensor, "*batch"]:
    """E|wᵀUx|⁴: the moment that tells families of equal second moment apart.

    Known for all families except Permutation and LocalMix. SignedPermutation and
    KroneckerRotation share Haar's second moment but not its fourth. Arguments and errors are those
    of `mean`.

    Example:
        >>> import torch
        >>> from analysis.theory import fourth_moment
        >>> from psp_contexts import RotationContexts, SignedPermutationContexts
        >>> one = torch.eye(4)[0]
        >>> fourth_moment(RotationContexts, one, one).item()  # 3 / (4 · 6)
        0.125
        >>> fourth_moment(SignedPermutationContexts, one, one).item()  # ±1 with probability 1/4
        0.25
    """
    moments, (w, x) = prepare(family, None, w=w, x=x)
    return moments.fourth_moment(w, x)


def real_covariance(
    family: Family,
    w: Num[Tensor, "*#batch dim"],
    x: Num[Tensor, "*#batch dim"],
    *,
    offset: int,
    other: Num[Tensor, "*#batch dim"],
    other_offset: int,
) -> Float64[Tensor, "*batch"]:
    """Cov(Re wᵀUx, Re w′ᵀU′x): the covariance of two models' interference with a third.

    Zero for all families but two. For OnePower it is ½ Σ a_j a′_j at opposite offsets: two equal
    models at k = s ± d interfere with twice the amplitude, not twice the power. For LocalMix all
    models are correlated, near ones most.

    Args:
        family: See `mean`.
        w: Rows of model k.
        x: Inputs of model s, which is read.
        offset: k − s, not 0.
        other: Rows w′ of another model k′.
        other_offset: k′ − s, neither 0 nor `offset`.

    Raises:
        NotImplementedError, TypeError, ValueError: See `mean`; and if the offsets are equal.

    Example:
        >>> import torch
        >>> from analysis.theory import real_covariance
        >>> from psp_contexts import OnePowerContexts
        >>> w = torch.ones(4)
        >>> for other_offset in (-3, 2):
        ...     real_covariance(
        ...         OnePowerContexts, w, w, offset=3, other=w, other_offset=other_offset
        ...     ).item()
        2.0
        0.0
    """
    check_offset("other_offset", other_offset)
    if offset == other_offset:
        raise ValueError(
            f"offset and other_offset are both {offset}; for one model, use real_second_moment."
        )
    moments, (w, x, other) = prepare(family, offset, w=w, x=x, other=other)
    hermitian, pseudo = moments.covariance(w, x, offset, other, other_offset)
    return (hermitian.real + pseudo.real) / 2


def tail_bound(
    family: Family,
    w: Num[Tensor, "*#batch dim"],
    x: Num[Tensor, "*#batch dim"],
    threshold: Number,
) -> Float64[Tensor, "..."]:
    """Hoeffding's bound on P(|wᵀUx| ≥ t) under sign contexts: 2 exp(−t² / 2 Σ a²).

    Args:
        family: `BinaryContexts`, or such contexts.
        w: Rows of the stored model's weights.
        x: Inputs of the model that is read.
        threshold: t; a tensor broadcasts against the leading dimensions of `w` and `x`.

    Returns:
        The bound, at most 1.

    Raises:
        NotImplementedError: If the family is not Binary.
        TypeError, ValueError: See `mean`.

    Source:
        Hoeffding 1963, theorem 2.

    Example:
        >>> import torch
        >>> from analysis.theory import tail_bound
        >>> from psp_contexts import BinaryContexts
        >>> tail_bound(BinaryContexts, torch.ones(100), torch.ones(100), 40.0)
        tensor(0.0007, dtype=torch.float64)
    """
    moments, (w, x) = prepare(family, None, w=w, x=x)
    if not isinstance(moments, BinaryMoments):
        raise NotImplementedError(
            f"tail_bound holds for BinaryContexts, not for {moments.name}; estimate the tail from "
            "samples of analysis.retrieval.interference."
        )
    threshold = double(threshold)
    exponent = threshold.square() / (2 * dot(power(w), power(x)))
    # |z| ≥ 0 is certain, even where the quotient is 0 / 0; NaN thresholds give NaN.
    return torch.where(threshold <= 0, 1.0, 2 * (-exponent).exp()).clamp(max=1)
