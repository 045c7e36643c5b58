"""The gradient law: what training one model in superposition does to the others."""

from torch import Tensor

from analysis._arguments import (
    check_contexts,
    check_tensor,
    checked_index,
    checked_number,
    served_by,
)
from analysis.theory._families import Family, law_of
from analysis.theory._moments import mean, second_moment
from psp_contexts import Contexts


def step_on_other(
    contexts: Contexts, gradient: Tensor, learning_rate: float, *, trained: int, read: int
) -> Tensor:
    """By how much a gradient step on model k moves model i: −η G_k C_k⁻¹ C_i.

    ŷ = W C_k x gives ∂J/∂W = G_k C_kᵀ, G_k the gradient that model k would have alone (the
    conjugate transpose for complex C). The step W ← W − η ∂J/∂W moves Ŵ_i = W C_i by that.

    Args:
        contexts: The family, of isometries: fixed, not learned.
        gradient: G_k = ∂J/∂Ŵ_k, shape (out, dim).
        learning_rate: η.
        trained: k.
        read: i; for i = k the model's own step −η G_k.

    Returns:
        Shape (out, dim).

    Raises:
        ValueError: If the contexts are learned, so that C⁻¹ is not Cᵀ.
        IndexError, TypeError: As `Contexts.store`.

    Example:
        >>> import torch
        >>> from analysis.theory import step_on_other
        >>> from psp_contexts import BinaryContexts
        >>> contexts = BinaryContexts(4, num_contexts=2, seed=0)
        >>> step_on_other(contexts, torch.ones(1, 4), 0.5, trained=0, read=0)
        tensor([[-0.5000, -0.5000, -0.5000, -0.5000]])
    """
    check_contexts("contexts", contexts)
    check_tensor("gradient", gradient, "out, dim", dtypes=served_by(contexts), dim=contexts.dim)
    learning_rate = checked_number("learning_rate", learning_rate)
    trained = checked_index("trained", trained, contexts.num_contexts)
    read = checked_index("read", read, contexts.num_contexts)
    if getattr(contexts, "learned", False):
        raise ValueError(
            f"step_on_other is about contexts with C⁻¹ = Cᵀ, but {type(contexts).__name__} is "
            "learned; pass the fixed family."
        )
    return -learning_rate * contexts.retrieve(contexts.store(gradient, trained), read)


def step_mean(family: Family, gradient: Tensor, x: Tensor, learning_rate: float) -> Tensor:
    """Mean change of another model's outputs by a step: −η E[G_k U x]; zero unless biased.

    Args:
        family: Contexts, or a class such as `BinaryContexts` (with its default options).
        gradient: G_k = ∂J/∂Ŵ_k of the model trained, shape (out, dim).
        x: Inputs of the other model, shape (n, dim).
        learning_rate: η.

    Returns:
        Shape (n, out), float64 or complex128, in output units.

    Raises:
        NotImplementedError, TypeError, ValueError: As `analysis.theory.mean`.
    """
    learning_rate = _checked_step(family, gradient, x, learning_rate)
    return -learning_rate * mean(family, gradient, x.unsqueeze(-2))


def step_second_moment(family: Family, gradient: Tensor, x: Tensor, learning_rate: float) -> Tensor:
    """Mean squared change of another model's outputs by a step: η² E|G_k U x|².

    Arguments and errors as for `step_mean`.

    Returns:
        Shape (n, out), float64, in squared output units.

    Example:
        >>> import torch
        >>> from analysis.theory import step_second_moment
        >>> from psp_contexts import RotationContexts
        >>> step_second_moment(RotationContexts, torch.ones(1, 4), torch.ones(1, 4), 0.5)
        tensor([[1.]], dtype=torch.float64)
    """
    learning_rate = _checked_step(family, gradient, x, learning_rate)
    return learning_rate**2 * second_moment(family, gradient, x.unsqueeze(-2))


def _checked_step(family: Family, gradient: Tensor, x: Tensor, learning_rate: float) -> float:
    check_tensor("gradient", gradient, "out, dim")
    check_tensor("x", x, "n, dim")
    if gradient.shape[-1] != x.shape[-1] or gradient.shape[-1] == 0:
        raise ValueError(
            f"gradient of shape {tuple(gradient.shape)} and x of shape {tuple(x.shape)} have "
            "different dims, or none; pass (out, dim) and (n, dim)."
        )
    if gradient.is_complex() and not law_of(family, gradient.shape[-1]).is_complex:
        raise TypeError(f"the family is real, but gradient is {gradient.dtype}; pass a real one.")
    return checked_number("learning_rate", learning_rate)
