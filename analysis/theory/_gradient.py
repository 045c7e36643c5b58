"""Effect of a training step of one model on the other models in the superposition."""

from jaxtyping import Float64, Inexact, Num
from torch import Tensor

from analysis.theory._families import Family, prepare
from psp_contexts import Contexts


def step_on_other(
    contexts: Contexts,
    gradient: Inexact[Tensor, "*batch out dim"],
    learning_rate: float,
    *,
    trained: int,
    read: int,
) -> Inexact[Tensor, "*batch out dim"]:
    """Return the change of model i by a gradient step on model k: −η G_k C_k⁻¹ C_i.

    ŷ = W C_k x gives ∂J/∂W = G_k C_kᵀ (the conjugate transpose for complex C), where G_k is the
    gradient that model k would have alone. The step W ← W − η ∂J/∂W changes Ŵ_i = W C_i by this.

    Args:
        contexts: Contexts whose inverse is their transpose: fixed, not learned.
        gradient: G_k = ∂J/∂Ŵ_k.
        learning_rate: η.
        trained: Index k of the trained model.
        read: Index i of the model that is read; for i = k the result is its own step −η G_k.

    Raises:
        ValueError: If the contexts are learned, so that C⁻¹ is not Cᵀ.
        IndexError, TypeError: See `Contexts.store`.

    Example:
        >>> import torch
        >>> from analysis.theory import step_on_other
        >>> from psp_contexts import BinaryContexts
        >>> contexts = BinaryContexts(4, num_contexts=2, seed=0)
        >>> step_on_other(contexts, torch.ones(1, 4), 0.5, trained=0, read=0)
        tensor([[-0.5000, -0.5000, -0.5000, -0.5000]])
    """
    if getattr(contexts, "learned", False):
        raise ValueError(
            f"C⁻¹ is not Cᵀ for learned {type(contexts).__name__}; pass the fixed family."
        )
    return -learning_rate * contexts.retrieve(contexts.store(gradient, trained), read)


def step_mean(
    family: Family,
    gradient: Num[Tensor, "*#batch out dim"],
    x: Num[Tensor, "*#batch dim"],
    learning_rate: float,
) -> Inexact[Tensor, "*batch out"]:
    """Return the mean change of another model's outputs by a step: −η E[G_k U x].

    It is zero unless the family is biased.

    Args:
        family: Contexts, or a class such as `BinaryContexts` (with its default options).
        gradient: G_k = ∂J/∂Ŵ_k of the model trained.
        x: Inputs of the other model.
        learning_rate: η.

    Returns:
        The change in output units, in double precision.

    Raises:
        NotImplementedError, TypeError, ValueError: See `mean`.
    """
    moments, (rows, inputs) = prepare(family, None, gradient=gradient, x=x.unsqueeze(-2))
    return -learning_rate * moments.mean(rows, inputs, None)


def step_second_moment(
    family: Family,
    gradient: Num[Tensor, "*#batch out dim"],
    x: Num[Tensor, "*#batch dim"],
    learning_rate: float,
) -> Float64[Tensor, "*batch out"]:
    """Return the mean squared change of another model's outputs by a step: η² E|G_k U x|².

    Arguments and errors are those of `step_mean`; the result is in squared output units.

    Example:
        >>> import torch
        >>> from analysis.theory import step_second_moment
        >>> from psp_contexts import RotationContexts
        >>> step_second_moment(RotationContexts, torch.ones(1, 4), torch.ones(1, 4), 0.5)
        tensor([[1.]], dtype=torch.float64)
    """
    moments, (rows, inputs) = prepare(family, None, gradient=gradient, x=x.unsqueeze(-2))
    return learning_rate**2 * moments.second_moment(rows, inputs, None)
