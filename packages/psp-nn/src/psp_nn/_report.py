"""Reports on superpositions: which layers hold all models, and the number of parameters."""

from dataclasses import dataclass

from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._context_index import checked_layers
from psp_nn._model_values import tensors_of
from psp_nn.layers.layer import Layer
from psp_nn.layers.registry import superposed_class
from psp_nn.layers.superposed import base_name


@dataclass(frozen=True)
class LayerReport:
    """Report on one layer.

    Attributes:
        name: Its dotted name.
        kind: Its class.
        superposed: True if it holds one model per context.
        reason: Contexts of the layer, and which tensors are shared; or why it was not converted.
        parameters_before: Real numbers in the parameters and buffers of the original layer.
        parameters_after: The same count for the layer now.
    """

    name: str
    kind: str
    superposed: bool
    reason: str
    parameters_before: int
    parameters_after: int


@dataclass(frozen=True)
class Report:
    """Report on all layers with parameters or buffers; as a string it is a table.

    Attributes:
        num_contexts: Number of models that there is room for.
        layers: Layers in the order of the network.
    """

    num_contexts: int
    layers: tuple[LayerReport, ...]

    @property
    def parameters_before(self) -> int:
        """Sum over the layers of the original network."""
        return sum(layer.parameters_before for layer in self.layers)

    @property
    def parameters_after(self) -> int:
        """Sum over the layers of the superposition."""
        return sum(layer.parameters_after for layer in self.layers)

    def __str__(self) -> str:
        """Return a table with one line per layer, and the sums."""
        rows = [
            (layer.name or "(itself)", layer.kind, layer.reason, f"{layer.parameters_after:,}")
            for layer in self.layers
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        superposed = sum(layer.superposed for layer in self.layers)
        ratio = self.parameters_after / max(self.parameters_before, 1)
        lines.append(
            f"{superposed} of {len(rows)} layers hold {self.num_contexts} models; "
            f"{self.parameters_before:,} parameters before, {self.parameters_after:,} after "
            f"(ratio {ratio:.3g}; {self.num_contexts} separate networks: {self.num_contexts})."
        )
        return "\n".join(lines)


def report(net: nn.Module) -> Report:
    """Report which layers of a superposition hold all models, which do not and why, and the cost.

    Args:
        net: The result of `superpose`.

    Raises:
        ValueError: If nothing in `net` is superposed.

    Example:
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import report, superpose
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.PReLU(), nn.Linear(3, 2))
        >>> net = superpose(net, family=BinaryContexts, num_contexts=50, seed=0, exclude="2")
        >>> print(report(net))
        0  SuperposedLinear  BinaryContexts of dim 4; bias shared       15
        1  PReLU             shared: this class has no superposed form  1
        2  Linear            shared: left out by include or exclude     8
        1 of 3 layers hold 50 models; 24 parameters before, 24 after (ratio 1; 50 separate ...
    """
    superposed = checked_layers("report", "net", net)
    layers = []
    counted: set[Tensor] = set()  # tied tensors are stored once
    for name, module in net.named_modules():
        if isinstance(module, Layer):
            layers.append(_report_superposed(name, module, counted))
        elif tensors_of(module) and not isinstance(module, Contexts):
            layers.append(_report_shared(name, module, counted))
    return Report(max(layer.superposition.num_contexts for layer in superposed), tuple(layers))


def _report_superposed(name: str, layer: Layer, counted: set[Tensor]) -> LayerReport:
    state = layer.superposition
    contexts = [layer.contexts_for(key) for key in state.superposed]
    bases = set(map(base_name, state.superposed))
    reals_per_entry = state.parts * (2 if any(c.is_complex for c in contexts) else 1)
    before = after = 0
    for key, value in tensors_of(layer).items():
        count = _count(value, counted)
        after += count
        if key not in bases:
            copies = state.num_contexts if key in state.per_context else 1
            before += count // (copies * reals_per_entry)
    after += sum(_count(value, counted) for c in contexts for value in c.parameters())
    reasons = [f"{type(c).__name__} of dim {c.dim}" for c in contexts]
    if state.per_context:
        reasons.append(f"{', '.join(state.per_context)} per context")
    not_shared = {*state.superposed, *state.per_context, *bases}
    shared = [key for key in tensors_of(layer) if key not in not_shared]
    if shared:
        reasons.append(f"{', '.join(shared)} shared")
    superposed = bool(state.superposed or state.per_context)
    return LayerReport(name, type(layer).__name__, superposed, "; ".join(reasons), before, after)


def _report_shared(name: str, module: nn.Module, counted: set[Tensor]) -> LayerReport:
    convertible = superposed_class(type(module)) is not None
    reason = (
        "left out by include or exclude" if convertible else "this class has no superposed form"
    )
    count = sum(_count(value, counted) for value in tensors_of(module).values())
    return LayerReport(name, type(module).__name__, False, f"shared: {reason}", count, count)


def _count(value: Tensor, counted: set[Tensor]) -> int:
    """Count the real numbers in a tensor, the first time only."""
    if value in counted:
        return 0
    counted.add(value)
    return value.numel() * (2 if value.is_complex() else 1)
