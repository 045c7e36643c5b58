"""The law of retrieval: signal-to-noise ratio, alignment, and the capacity they allow."""

import torch
from torch import Tensor

from analysis._arguments import check_broadcast, check_tensor
from analysis.theory._double import Number, at_least


def squared_alignment(weight: Tensor, x: Tensor) -> Tensor:
    """ρ² = ‖W x‖² / (‖W‖_F² ‖x‖²): the share of a model's weights that its input uses.

    1 for weights that are an outer product with x, 1/dim on average for weights that know nothing
    of x: E ρ² = 1/dim if the direction of x is uniform, whatever W is.

    Args:
        weight: Weights, shape (…, out, dim).
        x: Inputs, shape (…, n, dim).

    Returns:
        Shape (…, n), between 0 and 1; 0 where W or x is zero.

    Raises:
        TypeError: If one is no tensor of numbers.
        ValueError: If the dims of `weight` and `x` differ, or their leading dimensions do not
            broadcast.

    Example:
        >>> import torch
        >>> from analysis.theory import squared_alignment
        >>> x = torch.tensor([[3.0, 4.0]])
        >>> squared_alignment(torch.tensor([[6.0, 8.0]]), x), squared_alignment(torch.eye(2), x)
        (tensor([1.]), tensor([0.5000]))
    """
    check_tensor("weight", weight, "…, out, dim")
    check_tensor("x", x, "…, n, dim")
    if weight.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"squared_alignment got weight of shape {tuple(weight.shape)} and x of shape "
            f"{tuple(x.shape)}; pass (…, out, dim) and (…, n, dim) with the same dim."
        )
    check_broadcast(weight=weight.shape[:-2], x=x.shape[:-2])
    dtype = torch.promote_types(weight.dtype, x.dtype)
    real = (dtype if dtype.is_floating_point or dtype.is_complex else torch.float32).to_real()
    dtype = torch.promote_types(dtype, torch.float32)
    weight, x = _of_order_one(weight.to(dtype), (-2, -1)), _of_order_one(x.to(dtype), (-1,))
    signal = (x @ weight.mT).abs().square().sum(-1)
    full = weight.abs().square().sum((-2, -1)).unsqueeze(-1) * x.abs().square().sum(-1)
    return torch.where(full > 0, signal / full, 0.0).to(real)


def snr(dim: Number, num_models: Number, squared_alignment: Number = 1.0) -> Tensor:
    """Signal-to-noise ratio of one of K models in superposition, ρ² M / (K − 1).

    The ratio of powers, ‖W_s x‖² / E‖Σ_{k≠s} W_k C_k⁻¹ C_s x‖², for models of equal norm in a
    family whose interference has Haar's second moment ‖W_k‖²‖x‖²/M: Rotation,
    KroneckerRotation, SignedPermutation for any weights and inputs; Binary, Complex, OnePower,
    BlockRotation where energy is spread evenly over the units (see `coherence_penalty`). Read
    through the real part, a complex family has twice this. `expected_noise_power` is exact for
    given weights, inputs and family.

    Args:
        dim: M, at least 1.
        num_models: K, at least 1.
        squared_alignment: ρ², from `squared_alignment`, at least 0. The paper's √((K−1)/M) is
            ρ = 1.

    Returns:
        The ratio, float64, of the broadcast shape; infinite for one model.

    Raises:
        TypeError: If an argument is no real number.
        ValueError: If an argument is too small or not finite, or the shapes do not broadcast.

    Source:
        Cheung et al. 2019, appendix A, for ρ = 1.

    Example:
        >>> import torch
        >>> from analysis.theory import snr
        >>> snr(1024, torch.tensor([2, 257]))
        tensor([1024.,    4.], dtype=torch.float64)
        >>> snr(1024, 257, squared_alignment=1 / 1024)  # weights that know nothing of x
        tensor(0.0039, dtype=torch.float64)
    """
    others = at_least(1, "num_models", num_models) - 1
    share = _share_of_dim(squared_alignment, dim)
    check_broadcast(num_models=others.shape, dim=share.shape)
    return torch.where(others > 0, share / others, torch.inf)


def largest_num_models(dim: Number, target_snr: Number, squared_alignment: Number = 1.0) -> Tensor:
    """The largest K whose `snr` is at least the target: ⌊1 + ρ² M / target⌋.

    Args:
        dim: M, at least 1.
        target_snr: A ratio of powers, positive.
        squared_alignment: ρ², see `snr`.

    Returns:
        K, int64, of the broadcast shape; at least 1.

    Raises:
        TypeError: If an argument is no real number.
        ValueError: If a target is not positive, another argument too small, one not finite, K
            more than 64 bits hold, or the shapes do not broadcast.

    Example:
        >>> from analysis.theory import largest_num_models
        >>> largest_num_models(1024, target_snr=4.0)
        tensor(257)
    """
    target = at_least(0, "target_snr", target_snr)
    if not bool((target > 0).all()):
        raise ValueError(
            f"target_snr={target_snr} must be a positive ratio of powers; decibels are "
            "10 ** (dB / 10)."
        )
    share = _share_of_dim(squared_alignment, dim)
    check_broadcast(target_snr=target.shape, dim=share.shape)
    exact = 1 + share / target
    if not bool((exact < 2**62).all()):
        raise ValueError(
            f"target_snr={target_snr} allows more models than can be counted, at dim={dim} and "
            f"squared_alignment={squared_alignment}; pass a larger target or a smaller dim."
        )
    # A quotient that is whole but for rounding is meant to be whole.
    return (exact * (1 + 1e-12)).floor().long()


def _share_of_dim(squared_alignment: Number, dim: Number) -> Tensor:
    """ρ² M, the ratio at two models."""
    share, size = at_least(0, "squared_alignment", squared_alignment), at_least(1, "dim", dim)
    check_broadcast(squared_alignment=share.shape, dim=size.shape)
    return share * size


def _of_order_one(value: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The same directions along `dims`, of which squares and their sums are in range."""
    if not value.numel():
        return value
    largest = value.abs().amax(dims, keepdim=True)
    return value / torch.where(largest > 0, largest, 1)
