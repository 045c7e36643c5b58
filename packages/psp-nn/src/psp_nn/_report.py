"""What a superposition is made of: which layers hold all models, and what it costs."""

from dataclasses import dataclass

from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._use_context import checked_layers
from psp_nn.layers.layer import Layer
from psp_nn.layers.registry import superposed_class
from psp_nn.layers.superposed import base_name


@dataclass(frozen=True)
class LayerReport:
    """One layer of a superposition.

    Attributes:
        name: Its dotted name.
        kind: Its class.
        superposed: Whether it holds a model for each context.
        reason: Which contexts it uses, what each model has of its own and what all share, or why
            it was left as it was.
        numbers_before: Real numbers stored in the original layer, buffers included.
        numbers_after: The same of the layer as it is now.
    """

    name: str
    kind: str
    superposed: bool
    reason: str
    numbers_before: int
    numbers_after: int


@dataclass(frozen=True)
class Report:
    """All layers of a superposition that store numbers; its text is a table.

    Attributes:
        num_contexts: How many models there is room for.
        layers: In the network's order.
    """

    num_contexts: int
    layers: tuple[LayerReport, ...]

    @property
    def numbers_before(self) -> int:
        """Real numbers that the original network stores."""
        return sum(layer.numbers_before for layer in self.layers)

    @property
    def numbers_after(self) -> int:
        """Real numbers that the superposition stores."""
        return sum(layer.numbers_after for layer in self.layers)

    def __str__(self) -> str:
        """One line for each layer, and the sums."""
        rows = [
            (layer.name or "(itself)", layer.kind, layer.reason, f"{layer.numbers_after:,}")
            for layer in self.layers
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        superposed = sum(layer.superposed for layer in self.layers)
        times = self.numbers_after / max(self.numbers_before, 1)
        return "\n".join(
            [
                *lines,
                f"{superposed} of {len(rows)} layers hold {self.num_contexts} models; "
                f"{self.numbers_before:,} numbers before, {self.numbers_after:,} now "
                f"({times:.3g} times; apart the models would take {self.num_contexts} times).",
            ]
        )


def report(net: nn.Module) -> Report:
    """Which layers of a superposition hold all models, which were left and why, and the cost.

    Args:
        net: What `superpose` returned.

    Raises:
        TypeError: If `net` is no network.
        ValueError: If nothing in `net` is superposed.

    Example:
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import report, superpose
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.PReLU(), nn.Linear(3, 2))
        >>> net = superpose(net, family=BinaryContexts, num_contexts=50, seed=0, exclude="2")
        >>> print(report(net))
        0  SuperposedLinear  BinaryContexts of 4 numbers; bias shared   15
        1  PReLU             shared: this class has no superposed form  1
        2  Linear            shared: left out by include or exclude     8
        1 of 3 layers hold 50 models; 24 numbers before, 24 now (1 times; apart the models ...
    """
    checked_layers("report", "net", net)
    layers, counts = [], []
    seen: set[Tensor] = set()  # tied tensors are stored once
    for name, module in net.named_modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if isinstance(module, Contexts) or not (own or isinstance(module, Layer)):
            continue
        if isinstance(module, Layer):
            counts.append(module.superposition.num_contexts)
            layers.append(_superposed(name, module, seen))
        else:
            known = superposed_class(type(module)) is not None
            why = "left out by include or exclude" if known else "this class has no superposed form"
            numbers = sum(_numbers(value, seen) for value in own)
            layers.append(
                LayerReport(name, type(module).__name__, False, f"shared: {why}", numbers, numbers)
            )
    return Report(max(counts), tuple(layers))


def _superposed(name: str, layer: Layer, seen: set[Tensor]) -> LayerReport:
    before = after = 0
    is_complex = any(layer.contexts_for(key).is_complex for key in layer.superposition.superposed)
    for key, value in [*layer._parameters.items(), *layer._buffers.items()]:
        if value is None:
            continue
        numbers = _numbers(value, seen)
        after += numbers
        if any(key == base_name(superposed) for superposed in layer.superposition.superposed):
            continue
        copies = layer.superposition.num_contexts if key in layer.superposition.per_context else 1
        before += numbers // (copies * layer.superposition.parts * (2 if is_complex else 1))
    for key in layer.superposition.superposed:
        after += sum(_numbers(value, seen) for value in layer.contexts_for(key).parameters())
    reasons = [
        f"{type(layer.contexts_for(key)).__name__} of {layer.contexts_for(key).dim} numbers"
        for key in layer.superposition.superposed
    ]
    if layer.superposition.per_context:
        reasons.append(f"{', '.join(layer.superposition.per_context)} per context")
    own = {
        *layer.superposition.superposed,
        *map(base_name, layer.superposition.superposed),
        *layer.superposition.per_context,
    }
    tensors = [*layer._parameters.items(), *layer._buffers.items()]
    shared = [key for key, value in tensors if value is not None and key not in own]
    if shared:
        reasons.append(f"{', '.join(shared)} shared")
    kind = type(layer).__name__
    return LayerReport(
        name,
        kind,
        bool(layer.superposition.superposed or layer.superposition.per_context),
        "; ".join(reasons),
        before,
        after,
    )


def _numbers(value: Tensor, seen: set[Tensor]) -> int:
    if value in seen:
        return 0
    seen.add(value)
    return value.numel() * (2 if value.is_complex() else 1)
