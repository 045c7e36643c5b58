"""Reports on superpositions: which layers hold all models, and the number of parameters."""

from dataclasses import dataclass

from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._context_index import checked_layers
from psp_nn._model_values import tensors_of
from psp_nn.layers.layer import Layer
from psp_nn.layers.linear_per_context import NUM_OUTPUTS, LinearPerContext
from psp_nn.layers.registry import superposed_class
from psp_nn.layers.selection import Base, Mixture, PerSample, same_selection
from psp_nn.layers.superposed import base_name


@dataclass(frozen=True)
class LayerReport:
    """Report on one layer.

    All counts are of real numbers in parameters and buffers; a complex one counts as two.

    Attributes:
        name: Its dotted name.
        kind: Its class.
        superposed: True if it holds one model per context.
        reason: Contexts of the layer, and which tensors are shared; or why it was not converted.
        parameters_before: Parameters of the original layer.
        num_superposed: Parameters of the layer now that hold all models in superposition.
        num_per_model: Parameters of the layer now that belong to one model each.
        num_shared: Parameters of the layer now that all models use as they are, a base included.
    """

    name: str
    kind: str
    superposed: bool
    reason: str
    parameters_before: int
    num_superposed: int
    num_per_model: int
    num_shared: int

    @property
    def parameters_after(self) -> int:
        """All parameters of the layer now."""
        return self.num_superposed + self.num_per_model + self.num_shared


@dataclass(frozen=True)
class Report:
    """Report on all layers with parameters or buffers; as a string it is a table.

    Attributes:
        num_contexts: Number of models that there is room for.
        layers: Layers in the order of the network.
        num_trainable: Parameters that require a gradient.
        in_use: Model or models in use, in words.
    """

    num_contexts: int
    layers: tuple[LayerReport, ...]
    num_trainable: int
    in_use: str

    @property
    def parameters_before(self) -> int:
        """Sum over the layers of the original network."""
        return sum(layer.parameters_before for layer in self.layers)

    @property
    def parameters_after(self) -> int:
        """Sum over the layers of the superposition."""
        return sum(layer.parameters_after for layer in self.layers)

    def __str__(self) -> str:
        """Return a table with one line per layer, the sums, and their shares."""
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
        lines.append(
            f"{self._share('num_superposed')} superposed, {self._share('num_per_model')} kept per "
            f"model, {self._share('num_shared')} shared; {self.num_trainable:,} trainable; "
            f"{self.in_use} in use."
        )
        return "\n".join(lines)

    def _share(self, count: str) -> str:
        total: int = sum(getattr(layer, count) for layer in self.layers)
        return f"{total:,} ({total / max(self.parameters_after, 1):.1%})"


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
        >>> options = {"num_contexts": 50, "seed": 0, "base": False, "exclude": "2"}
        >>> net = superpose(net, family=BinaryContexts, **options)
        >>> print(report(net))
        0  SuperposedLinear  BinaryContexts of dim 4; bias shared       15
        1  PReLU             shared: this class has no superposed form  1
        2  Linear            shared: left out by include or exclude     8
        1 of 3 layers hold 50 models; 24 parameters before, 24 after (ratio 1; 50 separate ...
        12 (50.0%) superposed, 0 (0.0%) kept per model, 12 (50.0%) shared; 24 trainable; model 0 ...
    """
    superposed = checked_layers("report", "net", net)
    layers = []
    counted: set[Tensor] = set()  # tied tensors are stored once
    for name, module in net.named_modules():
        if not tensors_of(module) or isinstance(module, Contexts):
            continue
        if isinstance(module, Layer):
            layers.append(_report_superposed(name, module, counted))
        else:
            layers.append(_report_shared(name, module, counted))
    trainable = sum(_count(value, set()) for value in net.parameters() if value.requires_grad)
    num_contexts = max(layer.superposition.num_contexts for layer in superposed)
    return Report(num_contexts, tuple(layers), trainable, _in_use(superposed))


def _report_superposed(name: str, layer: Layer, counted: set[Tensor]) -> LayerReport:
    state = layer.superposition
    contexts = [layer.contexts_for(key) for key in state.superposed]
    bases = set(map(base_name, (*state.superposed, *state.per_context)))
    reals_per_entry = state.parts * (2 if any(c.is_complex for c in contexts) else 1)
    before = 0
    num_superposed = num_per_model = num_shared = 0
    for key, value in tensors_of(layer).items():
        if key.startswith(NUM_OUTPUTS):
            continue
        count = _count(value, counted)
        if key in state.superposed:
            num_superposed += count
        elif key in state.per_context:
            num_per_model += count
        else:
            num_shared += count
        if key not in bases:
            copies = state.num_contexts if key in state.per_context else 1
            before += count // (copies * reals_per_entry)
    if isinstance(layer, LinearPerContext):  # the table may have more rows than the layer had
        before = before // layer.stored().shape[1] * layer.out_features
    num_per_model += sum(_count(value, counted) for c in contexts for value in c.parameters())
    over_base = " over a base" if state.has_base else ""
    reasons = [f"{type(c).__name__} of dim {c.dim}{over_base}" for c in contexts]
    outputs = [layer.output_contexts_for(key) for key in state.two_sided]
    reasons += [f"{type(c).__name__} of dim {c.dim} on the outputs" for c in outputs if c]
    per_context = [key for key in state.per_context if key != NUM_OUTPUTS]
    if per_context:
        reasons.append(f"{', '.join(per_context)} per context")
    not_shared = {*state.superposed, *state.per_context, *bases}
    shared = [key for key in tensors_of(layer) if key not in not_shared]
    if shared:
        reasons.append(f"{', '.join(shared)} shared")
    return LayerReport(
        name,
        type(layer).__name__,
        bool(state.superposed or state.per_context),
        "; ".join(reasons),
        before,
        num_superposed,
        num_per_model,
        num_shared,
    )


def _report_shared(name: str, module: nn.Module, counted: set[Tensor]) -> LayerReport:
    convertible = superposed_class(module) is not None
    reason = (
        "left out by include or exclude" if convertible else "this class has no superposed form"
    )
    count = sum(_count(value, counted) for value in tensors_of(module).values())
    kind = type(module).__name__
    return LayerReport(name, kind, False, f"shared: {reason}", count, 0, 0, count)


def _in_use(layers: list[Layer]) -> str:
    """Return the model or models that a network uses, in words."""
    selections = [layer.superposition.selection for layer in layers]
    first = selections[0]
    if not all(same_selection(first, selection) for selection in selections):
        return "several models"
    if isinstance(first, Base):
        return "the base"
    if isinstance(first, PerSample):
        return f"one model for each of {len(first.index)} samples"
    if isinstance(first, Mixture) or not isinstance(first.index, int):
        return "a model given by a tensor"
    name = layers[0].superposition.models.name_of(first.index)
    return f"model {first.index}" + (f" ({name})" if name is not None else "")


def _count(value: Tensor, counted: set[Tensor]) -> int:
    """Count the real numbers in a tensor, the first time only."""
    if value in counted:
        return 0
    counted.add(value)
    return value.numel() * (2 if value.is_complex() else 1)
