"""Models to store: ones that use all of their weights on their input, and ones that use none."""

import torch
from torch import Tensor

from analysis._arguments import check_dtype, check_room, checked_flag, checked_integer


def aligned_models(
    num_models: int,
    out_features: int,
    dim: int,
    *,
    seed: int,
    shared: bool = False,
    rectified: bool = False,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Models that use all of their weights on their input: W_k = u_k x_kᵀ, so that ρ = 1.

    Args:
        num_models: K.
        out_features: Rows of a model.
        dim: M.
        seed: Of the Gaussian u_k and x_k.
        shared: Whether all models have one input. Otherwise the inputs are independent, and even
            Identity contexts look as good as a rotation: it is the models that differ.
        rectified: Whether the inputs are as they leave a ReLU, max(x_k, 0).
        dtype: A real dtype.

    Returns:
        Weights (K, out, dim) and inputs (K, 1, dim) of unit norms ‖W_k‖_F and ‖x_k‖.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a number is less than 1, all together are too many, the seed is not one of
            torch's, or the ReLU leaves nothing of an input, as it may at a very small dim.

    Example:
        >>> from analysis.retrieval import aligned_models
        >>> from analysis.theory import squared_alignment
        >>> weights, inputs = aligned_models(2, out_features=3, dim=5, seed=0)
        >>> squared_alignment(weights, inputs).flatten().round(decimals=5)
        tensor([1., 1.])
    """
    generator = _generator(num_models, out_features, dim, 1, seed, dtype)
    shared, rectified = checked_flag("shared", shared), checked_flag("rectified", rectified)
    inputs = torch.randn(1 if shared else num_models, 1, dim, generator=generator, dtype=dtype)
    if rectified:
        inputs = inputs.relu()
        if not inputs.any(dim=-1).all():
            raise ValueError(
                f"aligned_models: seed={seed} draws an input of dim={dim} without a positive "
                "entry, of which a ReLU leaves nothing; pass a larger dim or another seed."
            )
    outputs = torch.randn(num_models, out_features, 1, generator=generator, dtype=dtype)
    inputs = (inputs / inputs.norm(dim=-1, keepdim=True)).expand(num_models, 1, dim)
    return outputs / outputs.norm(dim=-2, keepdim=True) * inputs, inputs


def generic_models(
    num_models: int,
    out_features: int,
    dim: int,
    *,
    seed: int,
    num_inputs: int = 1,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Models that know nothing of their inputs: Gaussian weights and inputs, ρ² = 1/dim on average.

    Args:
        num_models: K.
        out_features: Rows of a model.
        dim: M.
        seed: Of the weights and inputs.
        num_inputs: Inputs per model, n.
        dtype: A real dtype.

    Returns:
        Weights (K, out, dim) and inputs (K, n, dim) of unit norms ‖W_k‖_F and ‖x‖.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a number is less than 1, all together are too many, or the seed is not one
            of torch's.
    """
    generator = _generator(num_models, out_features, dim, num_inputs, seed, dtype)
    weights = torch.randn(num_models, out_features, dim, generator=generator, dtype=dtype)
    inputs = torch.randn(num_models, num_inputs, dim, generator=generator, dtype=dtype)
    weights = weights / weights.norm(dim=(-2, -1), keepdim=True)
    return weights, inputs / inputs.norm(dim=-1, keepdim=True)


def _generator(
    num_models: int, out_features: int, dim: int, num_inputs: int, seed: int, dtype: torch.dtype
) -> torch.Generator:
    """Where the models are drawn from, if such models can be."""
    sizes = {"num_models": num_models, "out_features": out_features, "dim": dim}
    for name, size in (sizes | {"num_inputs": num_inputs}).items():
        checked_integer(name, size, least=1)
    check_room(**sizes)
    check_room(num_models=num_models, num_inputs=num_inputs, dim=dim)
    check_dtype("dtype", dtype)
    return torch.Generator().manual_seed(checked_integer("seed", seed, -(2**63), 2**64 - 1))
