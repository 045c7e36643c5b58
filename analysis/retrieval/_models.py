"""Models to store, whose weights are aligned with their input or independent of it."""

import torch
from jaxtyping import Inexact
from torch import Tensor


def aligned_models(
    num_models: int,
    out_features: int,
    dim: int,
    *,
    seed: int,
    shared: bool = False,
    rectified: bool = False,
    dtype: torch.dtype = torch.float32,
) -> tuple[Inexact[Tensor, "num_models out_features dim"], Inexact[Tensor, "num_models 1 dim"]]:
    """Draw models that use all of their weights on their input: W_k = u_k x_kᴴ, so that ρ = 1.

    Args:
        num_models: K.
        out_features: Rows of a model.
        dim: M.
        seed: Seed of the Gaussian u_k and x_k.
        shared: Give all models the same input. Otherwise the inputs are independent, and even
            Identity contexts look as good as a rotation, since the models differ anyway.
        rectified: Pass the inputs through a ReLU, max(x_k, 0).
        dtype: Dtype of weights and inputs.

    Returns:
        Weights and inputs of unit norms ‖W_k‖_F and ‖x_k‖.

    Raises:
        ValueError: If the ReLU leaves an input without a positive entry, as at a very small dim.

    Example:
        >>> from analysis.retrieval import aligned_models
        >>> from analysis.theory import squared_alignment
        >>> weights, inputs = aligned_models(2, out_features=3, dim=5, seed=0)
        >>> squared_alignment(weights, inputs).flatten().round(decimals=5)
        tensor([1., 1.])
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(1 if shared else num_models, 1, dim, generator=generator, dtype=dtype)
    if rectified:
        inputs = inputs.relu()
        if not inputs.any(dim=-1).all():
            raise ValueError(
                f"the ReLU leaves nothing of an input at dim={dim}, seed={seed}; pass a larger dim."
            )
    outputs = torch.randn(num_models, out_features, 1, generator=generator, dtype=dtype)
    inputs = (inputs / inputs.norm(dim=-1, keepdim=True)).expand(num_models, 1, dim)
    return outputs / outputs.norm(dim=-2, keepdim=True) * inputs.conj(), inputs


def generic_models(
    num_models: int,
    out_features: int,
    dim: int,
    *,
    seed: int,
    num_inputs: int = 1,
    dtype: torch.dtype = torch.float32,
) -> tuple[
    Inexact[Tensor, "num_models out_features dim"], Inexact[Tensor, "num_models num_inputs dim"]
]:
    """Draw models that are independent of their inputs: Gaussian, with ρ² = 1/dim on average.

    Args:
        num_models: K.
        out_features: Rows of a model.
        dim: M.
        seed: Seed of the weights and inputs.
        num_inputs: Inputs per model.
        dtype: Dtype of weights and inputs.

    Returns:
        Weights and inputs of unit norms ‖W_k‖_F and ‖x‖.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(num_models, out_features, dim, generator=generator, dtype=dtype)
    inputs = torch.randn(num_models, num_inputs, dim, generator=generator, dtype=dtype)
    weights = weights / weights.norm(dim=(-2, -1), keepdim=True)
    return weights, inputs / inputs.norm(dim=-1, keepdim=True)
