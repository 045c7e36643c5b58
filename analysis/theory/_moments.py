"""Moments of the interference wᵀUx between two models, and of all noise together."""

import torch
from torch import Tensor

from analysis._arguments import check_broadcast, check_tensor
from analysis.theory._double import double
from analysis.theory._families import Family, check_offset, checked_law


def mean(family: Family, w: Tensor, x: Tensor, *, offset: int | None = None) -> Tensor:
    """E[wᵀUx]: what a model adds on average when another one is read.

    U = C_k⁻¹ C_s for two different contexts of one family, averaged over their draw.

    Args:
        family: Contexts, or a class such as `BinaryContexts` (with its default options).
        w: Rows of the stored model's weights, shape (…, dim).
        x: Inputs of the model read, shape (…, dim); broadcasts against `w`.
        offset: k − s, not 0; by default far apart. Only LocalMix minds.

    Returns:
        Shape (…), float64; complex128 for complex arguments.

    Raises:
        NotImplementedError: If no closed form is known for the family.
        ValueError: If the shapes do not fit, or `offset` is 0.
        TypeError: If `w` or `x` is complex and the family real, or an argument of another type.

    Example:
        >>> import torch
        >>> from analysis.theory import mean
        >>> from psp_contexts import BinaryContexts, PermutationContexts
        >>> w, x = torch.ones(4), torch.ones(4)
        >>> mean(BinaryContexts, w, x).item(), mean(PermutationContexts, w, x).item()
        (0.0, 4.0)
    """
    law, w, x = checked_law(family, w, x, offset)
    return law.mean(w, x, offset)


def second_moment(family: Family, w: Tensor, x: Tensor, *, offset: int | None = None) -> Tensor:
    """E|wᵀUx|²: the interference's power; arguments and errors as for `mean`.

    Returns:
        Shape (…), float64, in squared output units.

    Example:
        >>> import torch
        >>> from analysis.theory import second_moment
        >>> from psp_contexts import BinaryContexts, RotationContexts
        >>> one = torch.eye(4)[0]
        >>> second_moment(BinaryContexts, one, one).item()  # all on one unit
        1.0
        >>> second_moment(RotationContexts, one, one).item()
        0.25
    """
    law, w, x = checked_law(family, w, x, offset)
    return law.second_moment(w, x, offset)


def pseudo_moment(family: Family, w: Tensor, x: Tensor, *, offset: int | None = None) -> Tensor:
    """E[(wᵀUx)²], without the modulus; arguments and errors as for `mean`.

    The second moment for real families, 0 for Complex and OnePower.
    """
    law, w, x = checked_law(family, w, x, offset)
    return law.pseudo_moment(w, x, offset)


def real_second_moment(
    family: Family, w: Tensor, x: Tensor, *, offset: int | None = None
) -> Tensor:
    """E[(Re wᵀUx)²], what a real part read out carries; arguments and errors as for `mean`.

    (Re z)² = (|z|² + Re z²) / 2: half the second moment for Complex and OnePower, all of it for
    real families.

    Example:
        >>> import torch
        >>> from analysis.theory import real_second_moment
        >>> from psp_contexts import ComplexContexts
        >>> real_second_moment(ComplexContexts, torch.ones(4), torch.ones(4)).item()
        2.0
    """
    law, w, x = checked_law(family, w, x, offset)
    return (law.second_moment(w, x, offset) + law.pseudo_moment(w, x, offset).real) / 2


def fourth_moment(family: Family, w: Tensor, x: Tensor) -> Tensor:
    """E|wᵀUx|⁴; arguments and errors as for `mean`.

    Known for all families but Permutation and LocalMix. For SignedPermutation and
    KroneckerRotation it is not Haar's: the tails are what their equal second moment hides.

    Example:
        >>> import torch
        >>> from analysis.theory import fourth_moment
        >>> from psp_contexts import RotationContexts, SignedPermutationContexts
        >>> one = torch.eye(4)[0]
        >>> fourth_moment(RotationContexts, one, one).item()  # 3 / (4 · 6)
        0.125
        >>> fourth_moment(SignedPermutationContexts, one, one).item()  # ±1 once in four
        0.25
    """
    law, w, x = checked_law(family, w, x, None)
    return law.fourth_moment(w, x)


def real_covariance(
    family: Family, w: Tensor, x: Tensor, *, offset: int, other: Tensor, other_offset: int
) -> Tensor:
    """Cov(Re wᵀUx, Re w′ᵀU′x): how what two stored models add depends, when one model is read.

    Zero for all families but two. For OnePower it is ½ Σ a_j a′_j at opposite offsets, so that
    two like models at k = s ± d interfere with twice the amplitude, not twice the power. LocalMix
    correlates all models, near ones most.

    Args:
        family: See `mean`.
        w: Row of model k, shape (…, dim).
        x: Input of model s, shape (…, dim).
        offset: k − s, not 0.
        other: Row w′ of another model k′, shape (…, dim).
        other_offset: k′ − s, not 0, another than `offset`.

    Returns:
        Shape (…), float64.

    Raises:
        NotImplementedError, TypeError, ValueError: As `mean`.

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
    for name, given in (("offset", offset), ("other_offset", other_offset)):
        if given is None:
            raise TypeError(f"{name} must be an int, but is None; say which two models are meant.")
        check_offset(name, given)
    check_tensor("other", other, "…, dim")
    law, w, x = checked_law(family, w, x, offset)
    if other.dim() == 0 or other.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"other must have shape (…, dim) with the dim of w and x, {x.shape[-1]}, but has "
            f"{tuple(other.shape)}."
        )
    check_broadcast(w=w.shape[:-1], x=x.shape[:-1], other=other.shape[:-1])
    if other.is_complex() and not law.is_complex:
        raise TypeError(f"{law.name} is real, but other is {other.dtype}; pass a real one.")
    other = double(other)
    if offset == other_offset:
        raise ValueError(
            f"real_covariance is about two models, but both have offset {offset}: offset and "
            "other_offset must differ; for one, use "
            "real_second_moment and mean."
        )
    dtype = torch.promote_types(w.dtype, other.dtype)
    w, x, other = (part.to(dtype) for part in (w, x, other))
    hermitian, pseudo = law.covariance(w, x, offset, other, other_offset)
    return (hermitian.real + pseudo.real) / 2
