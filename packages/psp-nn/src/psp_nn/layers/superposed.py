"""A superposed layer as its user meets it: what it stores, and under which names."""

from collections.abc import Iterable
from typing import Any, ClassVar, cast

from torch import nn

from psp_contexts import Contexts
from psp_nn.layers.selection import Selection


class Superposed(nn.Module):
    """A layer that holds K models: superposed weights, and tables with an entry per model.

    The stored tensors keep their names in `parameters()` and `state_dict()`; read as attributes
    they are those of the model in use, so that code which reads `layer.weight` (the layer's own
    class, a fused kernel, another module) computes with the right model. What is read is a copy:
    to change a model use `store`, and for the parameter itself, its gradient or its
    initialisation, `stored`.

    Attributes:
        layer_name: The dotted name that the layer's contexts are drawn for.
        num_contexts: K.
        superposed: Names of the parameters Σ_k W_k C_k⁻¹, each with its own contexts.
        per_context: Names of the parameters and buffers with an entry per model, shape (K, …).
        selected: Which model is in use.
    """

    weights: ClassVar[tuple[str, ...]] = ("weight",)
    """Names of the parameters that this kind of layer superposes, where it has them."""

    tables: ClassVar[tuple[str, ...]] = ()
    """Names of the parameters and buffers that always have an entry per model."""

    biases: ClassVar[tuple[str, ...]] = ("bias",)
    """Names of the parameters that each model may have its own of."""

    layer_name: str
    num_contexts: int
    superposed: tuple[str, ...]
    per_context: tuple[str, ...]
    selected: Selection

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: `superpose` makes these layers, out of ordinary ones."""
        raise TypeError(f"{type(self).__name__} is made from an ordinary layer by superpose.")

    def contexts_for(self, name: str = "weight") -> Contexts:
        """The contexts of one of the superposed parameters.

        Args:
            name: One of `superposed`.

        Raises:
            TypeError: If `name` is not a str.
            ValueError: If it is the name of none.
        """
        # Every forward pass comes here, too often to look more closely.
        contexts = self._modules.get("contexts" if name == "weight" else contexts_name(name))
        if contexts is None:
            raise self._refused(name, "superposed parameter", self.superposed)
        return cast(Contexts, contexts)

    def stored(self, name: str = "weight") -> nn.Parameter:
        """The parameter Σ_k W_k C_k⁻¹ itself, which is what an optimiser trains.

        Args:
            name: Of a parameter, superposed or not.

        Raises:
            RuntimeError: If something has taken it away, as parametrizations and pruning do.
            TypeError: If `name` is not a str.
            ValueError: If it is the name of no parameter.
        """
        try:
            parameter = self._parameters.get(name)
        except TypeError:  # it has no hash
            parameter = None
        if parameter is not None:
            return parameter
        if isinstance(name, str) and name in self.superposed:
            raise RuntimeError(
                f"layer '{self.layer_name}' has no parameter '{name}' (any longer): a superposed "
                "layer cannot be parametrized or pruned; do so on a model that is retrieved."
            )
        there = [key for key, value in self._parameters.items() if value is not None]
        raise self._refused(name, "parameter", there)

    def _refused(self, name: object, what: str, there: Iterable[str]) -> Exception:
        if not isinstance(name, str):
            return TypeError(f"name must be a str, but {name!r} is a {type(name).__name__}.")
        return ValueError(
            f"name={name!r} is no {what} of layer '{self.layer_name}'; those are "
            f"{', '.join(map(repr, there)) or 'none'}."
        )

    def extra_repr(self) -> str:
        """The layer's own, with how many models it holds."""
        own = super().extra_repr()
        return ", ".join([*filter(None, [own]), f"num_contexts={self.num_contexts}"])

    def reset_parameters(self) -> None:
        """The layer's own, which cannot reach a superposed parameter.

        Raises:
            RuntimeError: If there is one: what would be written to is a copy.
        """
        if self.superposed:
            raise RuntimeError(
                f"layer '{self.layer_name}' is superposed, and its weight reads as a copy, which "
                "cannot be initialised; initialise the network before superpose, or stored()."
            )
        layer: Any = super()
        layer.reset_parameters()


def contexts_name(name: str) -> str:
    """The attribute that holds the contexts of a parameter: `contexts` for `weight`."""
    return "contexts" if name == "weight" else f"{name}_contexts"


def base_name(name: str) -> str:
    """The buffer that is added to a parameter when it is read."""
    return f"{name}_base"
