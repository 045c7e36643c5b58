"""Signal-to-noise ratio of retrieval, alignment, and the capacity that they allow."""

import torch
from jaxtyping import Float, Float64, Int64, Num
from torch import Tensor

from analysis.theory._algebra import Number, at_least


def squared_alignment(
    weight: Num[Tensor, "*#batch out dim"], x: Num[Tensor, "*#batch n dim"]
) -> Float[Tensor, "*batch n"]:
    """ρ² = ‖W x‖² / (‖W‖_F² ‖x‖²): the share of a model's weights that its input uses.

    It is 1 for weights that are an outer product with x. For weights independent of x it is 1/dim
    on average: E ρ² = 1/dim if the direction of x is uniform, whatever W is.

    Args:
        weight: Weights.
        x: Inputs.

    Returns:
        Between 0 and 1; 0 where W or x is zero.

    Example:
        >>> import torch
        >>> from analysis.theory import squared_alignment
        >>> x = torch.tensor([[3.0, 4.0]])
        >>> squared_alignment(torch.tensor([[6.0, 8.0]]), x), squared_alignment(torch.eye(2), x)
        (tensor([1.]), tensor([0.5000]))
    """
    dtype = torch.promote_types(weight.dtype, x.dtype)
    real = (dtype if dtype.is_floating_point or dtype.is_complex else torch.float32).to_real()
    dtype = torch.promote_types(dtype, torch.float32)
    weight, x = _rescale(weight.to(dtype), (-2, -1)), _rescale(x.to(dtype), (-1,))
    signal = (x @ weight.mT).abs().square().sum(-1)
    full = weight.abs().square().sum((-2, -1)).unsqueeze(-1) * x.abs().square().sum(-1)
    return torch.where(full > 0, signal / full, 0.0).to(real)


def snr(dim: Number, num_models: Number, squared_alignment: Number = 1.0) -> Float64[Tensor, "..."]:
    """Signal-to-noise ratio of one of K models in superposition, ρ² M / (K − 1).

    The ratio of powers ‖W_s x‖² / E‖Σ_{k≠s} W_k C_k⁻¹ C_s x‖², for models of equal norm in a
    family whose interference has Haar's second moment ‖W_k‖²‖x‖²/M. Rotation, KroneckerRotation
    and SignedPermutation have it for any weights and inputs. Binary, Complex, OnePower and
    BlockRotation have it where energy is spread evenly over the units (see `coherence_penalty`).
    Read through its real part, a complex family has twice this ratio. `expected_noise_power` is
    exact for given weights, inputs and family.

    Args:
        dim: M, at least 1.
        num_models: K, at least 1.
        squared_alignment: ρ², from `squared_alignment`, at least 0. The paper's √((K−1)/M) is
            ρ = 1.

    Returns:
        The ratio, of the broadcast shape; infinite for one model.

    Raises:
        ValueError: If an argument is NaN or too small.

    Source:
        Cheung et al. 2019, appendix A, for ρ = 1.

    Example:
        >>> import torch
        >>> from analysis.theory import snr
        >>> snr(1024, torch.tensor([2, 257]))
        tensor([1024.,    4.], dtype=torch.float64)
        >>> snr(1024, 257, squared_alignment=1 / 1024)  # weights independent of x
        tensor(0.0039, dtype=torch.float64)
    """
    others = at_least(1, "num_models", num_models) - 1
    ratio_of_two = _ratio_of_two_models(squared_alignment, dim)
    return torch.where(others > 0, ratio_of_two / others, torch.inf)


def largest_num_models(
    dim: Number, target_snr: Number, squared_alignment: Number = 1.0
) -> Int64[Tensor, "..."]:
    """Return the largest K whose `snr` is at least the target: ⌊1 + ρ² M / target⌋.

    Args:
        dim: M, at least 1.
        target_snr: A ratio of powers, positive.
        squared_alignment: ρ², see `snr`.

    Returns:
        K, of the broadcast shape; at least 1.

    Raises:
        ValueError: If an argument is NaN or too small, or K does not fit in 64 bits.

    Example:
        >>> from analysis.theory import largest_num_models
        >>> largest_num_models(1024, target_snr=4.0)
        tensor(257)
    """
    exact = 1 + _ratio_of_two_models(squared_alignment, dim) / at_least(0, "target_snr", target_snr)
    if not bool((exact < 2**62).all()):
        raise ValueError(
            f"target_snr={target_snr} at dim={dim} allows more models than fit in 64 bits; pass a "
            "larger target (a ratio, not decibels) or a smaller dim."
        )
    # The factor rounds up a quotient that is whole except for its rounding error.
    return (exact * (1 + 1e-12)).floor().long()


def _ratio_of_two_models(squared_alignment: Number, dim: Number) -> Tensor:
    """ρ² M, the signal-to-noise ratio at K = 2."""
    return at_least(0, "squared_alignment", squared_alignment) * at_least(1, "dim", dim)


def _rescale(value: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Divide by the largest entry along `dims`, so that sums of squares stay in range."""
    if not value.numel():
        return value
    largest = value.abs().amax(dims, keepdim=True)
    return value / torch.where(largest > 0, largest, 1)
