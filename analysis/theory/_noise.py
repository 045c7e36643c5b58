"""All the noise in a model that is read out of a superposition."""

from torch import Tensor

from analysis._arguments import check_tensor, checked_flag, checked_index
from analysis.theory._double import double
from analysis.theory._families import Family, checked_law


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
    check_tensor("weights", weights, "models, out, dim")
    check_tensor("x", x, "n, dim")
    if weights.numel() == 0 or weights.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"expected_noise_power got weights of shape {tuple(weights.shape)} and x of shape "
            f"{tuple(x.shape)}; pass (models, out, dim) and (n, dim), of one dim and not empty."
        )
    real_part = checked_flag("real_part", real_part)
    read = checked_index("read", read, len(weights), "models")
    law, _, x = checked_law(family, weights[0, :1], x, None)
    if len(weights) == 1:
        return x.real.new_zeros(len(x))
    return law.noise_power(double(weights).to(x.dtype), x, read, real_part)
