"""The total noise in a model that is read out of a superposition."""

from jaxtyping import Float64, Num
from torch import Tensor

from analysis.theory._algebra import double
from analysis.theory._families import Family, prepare


def expected_noise_power(
    family: Family,
    weights: Num[Tensor, "models out dim"],
    x: Num[Tensor, "n dim"],
    *,
    read: int,
    real_part: bool = False,
) -> Float64[Tensor, " n"]:
    """E‖Σ_{k≠s} W_k C_k⁻¹ C_s x‖²: the total noise in model s, exact for given weights and inputs.

    Model k is stored in context k of the family, for k = 0..K−1. The means of a biased family add
    up as amplitudes. The real parts of OnePower are coherent at s ± d, and LocalMix is coherent
    everywhere; both are counted.

    Args:
        family: See `mean`.
        weights: All K models.
        x: Inputs of model s.
        read: s, in 0..K−1.
        real_part: Count the power of the noise's real part alone.

    Returns:
        The noise power for each input, summed over outputs.

    Raises:
        IndexError: If `read` is not in 0..K−1.
        NotImplementedError, TypeError, ValueError: See `mean`.

    Source:
        Storage rule: Cheung et al. 2019, equations 1 and 2.

    Example:
        >>> import torch
        >>> from analysis.theory import expected_noise_power
        >>> from psp_contexts import BinaryContexts, OnePowerContexts
        >>> weights, x = torch.ones(3, 1, 4), torch.ones(1, 4)
        >>> expected_noise_power(BinaryContexts, weights, x, read=1).item()
        8.0
        >>> for read in (0, 1):  # model 1 has equal models at opposite offsets
        ...     expected_noise_power(
        ...         OnePowerContexts, weights, x, read=read, real_part=True
        ...     ).item()
        4.0
        8.0
    """
    if weights.dim() != 3 or x.dim() != 2:
        raise ValueError(
            f"weights must have shape (models, out, dim) and x (n, dim), but have "
            f"{tuple(weights.shape)} and {tuple(x.shape)}."
        )
    if not 0 <= read < len(weights):
        raise IndexError(f"read={read} is not one of the {len(weights)} models in weights.")
    moments, (_, x) = prepare(family, None, weights=weights[0], x=x)
    if len(weights) == 1:
        return x.real.new_zeros(len(x))
    return moments.noise_power(double(weights).to(x.dtype), x, read, real_part)
