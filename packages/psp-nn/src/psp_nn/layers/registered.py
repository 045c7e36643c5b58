"""Superposed forms of layer classes that are not torch's, made from a description of them."""

import inspect
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from psp_nn.layers.attributes import entry_per_context, superposed_parameter
from psp_nn.layers.layer import Layer
from psp_nn.layers.norm import SuperposedNorm


class RegisteredLayer(Layer):
    """A layer of a class that `register` describes. It runs its own code on the model in use."""

    in_dim: ClassVar[int] = -1
    """Dimension of the weights that is summed over with the input."""

    def to_rows(self, name: str, weight: Tensor) -> Tensor:
        """Reshape a weight to (out, dim): all experts of a layer take the same input."""
        return weight.movedim(self.in_dim, -1).flatten(0, -2)

    def from_rows(self, name: str, rows: Tensor) -> Tensor:
        """Reshape rows to a weight; the inverse of `to_rows`."""
        shape = self.stored(name).movedim(self.in_dim, -1).shape
        weight: Tensor = rows.unflatten(0, shape[:-1]).movedim(-1, self.in_dim)
        return weight.contiguous()

    def to_outputs(self, name: str, weight: Tensor) -> Tensor:
        """Reshape a weight to (…, out, dim), with a leading dimension for experts."""
        return weight.movedim(self.in_dim, -1)

    def from_outputs(self, name: str, rows: Tensor) -> Tensor:
        """Reshape the matrices of `to_outputs` to a weight."""
        return rows.movedim(-1, self.in_dim)


class RegisteredNorm(SuperposedNorm):
    """A norm layer of another class than torch's, with a scale for each entry of a vector."""

    bias: Any = entry_per_context("bias")


class RegisteredGatedNorm(RegisteredNorm):
    """A norm layer whose forward has more inputs, such as a gate. It runs its own code."""

    has_complex_form: ClassVar[bool] = False


def registered_class(weights: tuple[str, ...], biases: tuple[str, ...], in_dim: int) -> type[Layer]:
    """Create the superposed form of the classes with these parameters."""
    attributes = {name: superposed_parameter(name) for name in weights}
    attributes |= {name: entry_per_context(name) for name in biases}
    description = {"weights": weights, "biases": biases, "in_dim": in_dim}
    description["has_complex_form"] = False
    return type("RegisteredLayer", (RegisteredLayer,), {**attributes, **description})


def norm_form(plain: type[nn.Module]) -> type[RegisteredNorm]:
    """Return the superposed form of a class of norm layers, by the inputs of its forward."""
    inputs = len(inspect.signature(plain.forward).parameters) - 1  # without self
    return RegisteredNorm if inputs == 1 else RegisteredGatedNorm


def is_vector_norm(module: nn.Module) -> bool:
    """Return True for a norm that scales each entry of a vector, such as an RMSNorm.

    It is told by its name and by its tensors: a weight vector, perhaps a bias, and no more. Its
    forward may have more inputs, such as the gate of Mamba 2.
    """
    tensors = {**module._parameters, **module._buffers}
    weight, bias = tensors.get("weight"), tensors.get("bias")
    return (
        "norm" in type(module).__name__.lower()
        and not module._modules
        and set(tensors) <= {"weight", "bias"}
        and isinstance(weight, nn.Parameter)
        and weight.dim() == 1
        and (bias is None or bias.shape == weight.shape)
        and not isinstance(weight, nn.parameter.UninitializedParameter)
        and torch.is_floating_point(weight)
    )
