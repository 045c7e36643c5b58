"""Public interface of a superposed layer: what it stores, and under which names."""

from collections.abc import Iterable
from typing import Any, cast

from torch import Tensor, nn

from psp_contexts import Contexts, Operator
from psp_nn.layers.made_class import MadeClass
from psp_nn.layers.state import LayerState


class Superposed(MadeClass):
    """A layer that holds K models: superposed weights, and tables with an entry per model.

    The stored tensors keep their names in `parameters()` and `state_dict()`. Read as attributes
    they are those of the model in use, so that code which reads `layer.weight` (the layer's own
    class, a fused kernel, another module) computes with the right model. An attribute read this
    way is a copy: use `store` to change a model, and `stored` for the parameter itself, its
    gradient or its initialisation.

    Attributes:
        superposition: Name, number of models, stored tensors and model in use.
    """

    superposition: LayerState

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"{type(self).__name__} is made from an ordinary layer by superpose.")

    def contexts_for(self, name: str = "weight") -> Contexts:
        """Return the contexts of a superposed parameter.

        Args:
            name: A name in `superposition.superposed`.

        Raises:
            ValueError: If no superposed parameter has that name.
        """
        contexts = self._modules.get("contexts" if name == "weight" else contexts_name(name))
        if contexts is None:
            raise self._unknown(name, "superposed parameter", self.superposition.superposed)
        return cast(Contexts, contexts)

    def output_contexts_for(self, name: str = "weight") -> Contexts | None:
        """Return the contexts on the output side of a parameter, or None if it has none.

        Model k is read as base + R_k⁻¹ D C_k. R_k, a permutation of the output units, is context
        k of these; C_k is context k of `contexts_for`.

        Args:
            name: A name in `superposition.superposed`.
        """
        if name not in self.superposition.two_sided:
            return None
        return cast(Contexts, self._modules[output_contexts_name(name)])

    def base(self, name: str = "weight") -> Tensor | None:
        """Return the base of a parameter, from which all models differ, or None if it has none.

        Args:
            name: A name in `superposition.superposed`.
        """
        return self._buffers.get(base_name(name))

    def stored(self, name: str = "weight") -> nn.Parameter:
        """Return a parameter as it is stored and trained.

        A superposed one is Σ_k W_k C_k⁻¹ or, with a base, Σ_k R_k (W_k − base) C_k⁻¹.

        Args:
            name: Name of a parameter, superposed or not.

        Raises:
            RuntimeError: If parametrization or pruning has removed the parameter.
            ValueError: If no parameter has that name.
        """
        parameter = self._parameters.get(name)
        if parameter is not None:
            return parameter
        if name in self.superposition.superposed:
            raise RuntimeError(
                f"layer '{self.superposition.name}' no longer has a parameter '{name}'; a "
                "superposed layer cannot be parametrized or pruned, but a retrieved model can."
            )
        names = [key for key, value in self._parameters.items() if value is not None]
        raise self._unknown(name, "parameter", names)

    def to_rows(self, name: str, weight: Tensor) -> Tensor:
        """Reshape a weight to the matrices on which contexts act.

        Args:
            name: Name of the parameter.
            weight: A tensor with the shape of the parameter.

        Returns:
            Shape (out, dim), or (groups, out, dim) if every group has its own contexts.
        """
        return weight

    def from_rows(self, name: str, rows: Tensor) -> Tensor:
        """Reshape matrices back to a weight; the inverse of `to_rows`."""
        return rows

    def to_outputs(self, name: str, weight: Tensor) -> Tensor:
        """Reshape a weight to matrices with one row for each output unit.

        Args:
            name: Name of the parameter.
            weight: A tensor with the shape of the parameter.

        Returns:
            Shape (units, …), or (parts, units, …) if several parts of the weight, such as the
            gates of an LSTM or the groups of a convolution, have the same number of units.
        """
        return weight

    def from_outputs(self, name: str, rows: Tensor) -> Tensor:
        """Reshape the matrices of `to_outputs` back to a weight."""
        return rows

    def bind_outputs(self, name: str, operator: Operator, weight: Tensor) -> Tensor:
        """Return R ΔW, with the output units of every part of a weight bound."""
        return self.from_outputs(name, operator.bind_columns(self.to_outputs(name, weight)))

    def unbind_outputs(self, name: str, operator: Operator, weight: Tensor) -> Tensor:
        """Return R⁻¹ ΔW, the inverse of `bind_outputs`."""
        return self.from_outputs(name, operator.unbind_columns(self.to_outputs(name, weight)))

    def _unknown(self, name: str, kind: str, names: Iterable[str]) -> ValueError:
        return ValueError(
            f"layer '{self.superposition.name}' has no {kind} {name!r}; choose one of "
            f"{', '.join(map(repr, names)) or 'none'}."
        )

    def extra_repr(self) -> str:
        """Return the arguments of the ordinary layer and the number of models."""
        arguments = super().extra_repr()
        models = f"num_contexts={self.superposition.num_contexts}"
        return f"{arguments}, {models}" if arguments else models

    def reset_parameters(self) -> None:
        """Initialise the parameters of a layer in which none is superposed.

        Raises:
            RuntimeError: If one is superposed: its attribute is a copy.
        """
        if self.superposition.superposed:
            raise RuntimeError(
                f"layer '{self.superposition.name}' is superposed, and its weight reads as a copy; "
                "initialise the network before superpose, or stored()."
            )
        layer: Any = super()
        layer.reset_parameters()


def contexts_name(name: str) -> str:
    """Return the attribute that holds the contexts of a parameter: `contexts` for `weight`."""
    return "contexts" if name == "weight" else f"{name}_contexts"


def output_contexts_name(name: str) -> str:
    """Return the attribute that holds the contexts on the output side of a parameter."""
    return f"output_{contexts_name(name)}"


def base_name(name: str) -> str:
    """Return the name of the buffer that is added to a parameter when it is read."""
    return f"{name}_base"
