"""Moments of the interference wᵀUx between two models, and of all noise together."""

import torch
from torch import Tensor

from analysis.theory._families import Family, law_of
from analysis.theory._law import Law, dot, power
from psp_contexts import Contexts


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
        ValueError: If the lengths do not fit, or `offset` is 0.
        TypeError: If `w` or `x` is complex and the family real.

    Example:
        >>> import torch
        >>> from analysis.theory import mean
        >>> from psp_contexts import BinaryContexts, PermutationContexts
        >>> w, x = torch.ones(4), torch.ones(4)
        >>> mean(BinaryContexts, w, x).item(), mean(PermutationContexts, w, x).item()
        (0.0, 4.0)
    """
    law, w, x = _checked(family, w, x, offset)
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
    law, w, x = _checked(family, w, x, offset)
    return law.second_moment(w, x, offset)


def pseudo_moment(family: Family, w: Tensor, x: Tensor, *, offset: int | None = None) -> Tensor:
    """E[(wᵀUx)²], without the modulus; arguments and errors as for `mean`.

    The second moment for real families, 0 for Complex and OnePower.
    """
    law, w, x = _checked(family, w, x, offset)
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
    law, w, x = _checked(family, w, x, offset)
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
    law, w, x = _checked(family, w, x, None)
    try:
        return law.fourth_moment(w, x)
    except NotImplementedError as error:
        name = type(law).__name__.removesuffix("Law")
        raise NotImplementedError(f"fourth_moment of {name}: {error}.") from None


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
    law, w, x = _checked(family, w, x, offset)
    _, other, _ = _checked(family, other, x, other_offset)
    if offset == other_offset:
        raise ValueError(
            f"real_covariance is about two models, but both have offset {offset}; for one, use "
            "real_second_moment and mean."
        )
    w, other = (part.to(torch.promote_types(w.dtype, other.dtype)) for part in (w, other))
    hermitian, pseudo = law.covariance(w, x, offset, other, other_offset)
    return (hermitian.real + pseudo.real) / 2


def tail_bound(family: Family, w: Tensor, x: Tensor, threshold: float | Tensor) -> Tensor:
    """Hoeffding's bound on P(|wᵀUx| ≥ t) under sign contexts: 2 exp(−t² / 2 Σ a²).

    Args:
        family: `BinaryContexts`, or such contexts: the only ones whose wᵀUx is a sum of
            independent bounded terms with a known range.
        w: Rows of weights, shape (…, dim).
        x: Inputs, shape (…, dim).
        threshold: t ≥ 0, broadcasts.

    Returns:
        Shape (…), at most 1.

    Raises:
        NotImplementedError: If the family is another.

    Source:
        Hoeffding 1963, theorem 2.

    Example:
        >>> import torch
        >>> from analysis.theory import tail_bound
        >>> from psp_contexts import BinaryContexts
        >>> tail_bound(BinaryContexts, torch.ones(100), torch.ones(100), 40.0)
        tensor(0.0007, dtype=torch.float64)
    """
    law, w, x = _checked(family, w, x, None)
    if type(law).__name__ != "BinaryLaw":
        raise NotImplementedError(
            f"tail_bound holds for BinaryContexts, not for {type(law).__name__[:-3]}; estimate "
            "tails of other families with analysis.retrieval.interference."
        )
    exponent = torch.as_tensor(threshold, dtype=torch.float64).square() / (
        2 * dot(power(w), power(x))
    )
    return (2 * (-exponent).exp()).clamp(max=1)


def expected_noise_power(
    family: Family, weights: Tensor, x: Tensor, *, read: int, real_part: bool = False
) -> Tensor:
    """E‖Σ_{k≠s} W_k C_k⁻¹ C_s x‖²: all the noise in model s, exact for given weights and inputs.

    Model k is stored in context k of the family, for k = 0..K−1. Biased families add their means
    up as amplitudes; OnePower read through its real part has coherent pairs s ± d, and LocalMix
    coherent models everywhere: both are counted.

    Args:
        family: See `mean`.
        weights: All models, shape (K, out, dim).
        x: Inputs of model s, shape (n, dim).
        read: s, in 0..K−1.
        real_part: Count the power of the noise's real part alone.

    Returns:
        Shape (n,), float64, summed over outputs.

    Raises:
        IndexError: If `read` is not one of the models.
        NotImplementedError, TypeError, ValueError: As `mean`.

    Source:
        Storage rule: Cheung et al. 2019, equations 1 and 2.

    Example:
        >>> import torch
        >>> from analysis.theory import expected_noise_power
        >>> from psp_contexts import BinaryContexts, OnePowerContexts
        >>> weights, x = torch.ones(3, 1, 4), torch.ones(1, 4)
        >>> expected_noise_power(BinaryContexts, weights, x, read=1).item()
        8.0
        >>> for read in (0, 1):  # between two models that are alike, the real part suffers
        ...     expected_noise_power(
        ...         OnePowerContexts, weights, x, read=read, real_part=True
        ...     ).item()
        4.0
        8.0
    """
    if weights.dim() != 3 or x.dim() != 2:
        raise ValueError(
            f"expected_noise_power got weights of shape {tuple(weights.shape)} and x of shape "
            f"{tuple(x.shape)}; pass (models, out, dim) and (n, dim)."
        )
    if not 0 <= read < len(weights):
        raise IndexError(
            f"read={read} is not one of the {len(weights)} models 0..{len(weights) - 1}."
        )
    law, _, x = _checked(family, weights[0, :1], x, None)
    if len(weights) == 1:
        return x.real.new_zeros(len(x))
    return law.noise_power(_double(weights), x, read, real_part)


def _checked(
    family: Family, w: Tensor, x: Tensor, offset: int | None
) -> tuple[Law, Tensor, Tensor]:
    """The family's law, and both vectors in double precision and one dtype."""
    if not (w.dim() and x.dim() and w.shape[-1] == x.shape[-1]):
        raise ValueError(
            f"theory got w of shape {tuple(w.shape)} and x of shape {tuple(x.shape)}; pass "
            "(…, dim) and (…, dim) with the same dim."
        )
    if offset == 0:
        raise ValueError("offset=0 means one and the same context, where U = I; pass another.")
    law = law_of(family, w.shape[-1])
    if (w.is_complex() or x.is_complex()) and not law.is_complex:
        name = type(family).__name__ if isinstance(family, Contexts) else str(family)
        raise TypeError(
            f"{name} is real, but w is {w.dtype} and x is {x.dtype}; pass real and imaginary "
            "part one after the other."
        )
    w, x = _double(w), _double(x)
    dtype = torch.promote_types(w.dtype, x.dtype)
    return law, w.to(dtype), x.to(dtype)


def _double(x: Tensor) -> Tensor:
    return x.to(torch.complex128 if x.is_complex() else torch.float64)
