"""Conversion of layers to superposed layers, in place."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._output_sides import OutputSides
from psp_nn.layers.batch_norm import freeze_norm, use_batch_statistics
from psp_nn.layers.layer import Layer
from psp_nn.layers.linear_per_context import LinearPerContext
from psp_nn.layers.model_record import ModelRecord
from psp_nn.layers.norm import Norms
from psp_nn.layers.recompute_guard import RecomputeCounter, RecomputeGuard
from psp_nn.layers.registry import superposed_class
from psp_nn.layers.selection import One
from psp_nn.layers.state import LayerState
from psp_nn.layers.superposed import base_name, contexts_name, output_contexts_name


@dataclass(frozen=True)
class Options:
    """Arguments of `superpose` that apply to each layer."""

    family: Callable[..., Contexts]
    num_contexts: int
    seed: int
    norms: Norms
    bias_per_context: bool
    per_channel: bool
    random_phases: bool
    base: bool
    two_sided: frozenset[str]
    base_dtype: torch.dtype | None
    prefix: str


class Superposition(NamedTuple):
    """Superposed form of one parameter, the same for all layers that share it."""

    parameter: nn.Parameter
    contexts: Contexts
    output_contexts: Contexts | None
    base: Tensor | None


class Converter:
    """Conversion of the layers of one network, in which tied parameters stay tied."""

    def __init__(self, options: Options) -> None:
        self._options = options
        # By the id of a tensor. The replaced tensors are kept, so that no id is used again.
        self._superposed: dict[int, tuple[Tensor, Superposition]] = {}
        self._output_sides = OutputSides(options.num_contexts, options.seed)
        self._replaced: dict[int, tuple[Tensor, Tensor]] = {}
        self._counter = RecomputeCounter()
        self.record = ModelRecord()
        self.complex_family = ""  # empty in a real network

    @property
    def is_complex(self) -> bool:
        """True if the network has become complex."""
        return bool(self.complex_family)

    def convert(self, layers: dict[str, nn.Module]) -> None:
        """Superpose the weights of layers, given by name."""
        converted = [self._begin(module, name) for name, module in layers.items()]
        for layer in converted:
            two_sided = layer.superposition.name in self._options.two_sided
            for key in layer.superposition.superposed:
                self._output_sides.note(layer, key, two_sided=two_sided)
        for layer in converted:
            self._superpose_weights(layer)

    def _begin(self, module: nn.Module, name: str) -> Layer:
        """Change the class of a layer, whose parameters are still those of the network."""
        kind, options = _superposed_class(module), self._options
        weights = _present(module, kind.weights_of(module))
        biases = _present(module, kind.biases_of(module)) if options.bias_per_context else ()
        layer = self._change_class(module, name, weights, biases)
        layer.superposition.per_channel = options.per_channel
        layer.superposition.has_base = options.base
        return layer

    def _superpose_weights(self, layer: Layer) -> None:
        state, options = layer.superposition, self._options
        for key in state.superposed:
            parameter, contexts, output_contexts, base = self._superpose(layer, key)
            layer._parameters[key] = parameter
            layer.add_module(contexts_name(key), contexts)
            if output_contexts is not None:
                layer.add_module(output_contexts_name(key), output_contexts)
                state.two_sided += (key,)
            if base is not None:
                layer.register_buffer(base_name(key), base)
        biases = _present(layer, layer.biases_of(layer))
        sizes = (options.num_contexts,) if options.bias_per_context else ()
        for key in biases:
            dtype = layer.stored(key).dtype
            if layer.contexts_for(state.superposed[0]).is_complex:
                self._replace(layer, key, sizes, _complex_dtype(dtype))
            elif sizes:
                self._replace(layer, key, sizes, dtype)
        layer.select(state.selection)

    def convert_norm(self, module: nn.Module, name: str) -> None:
        """Give a norm layer the tables that the options ask for."""
        norms = self._options.norms
        if norms == Norms.FROZEN:
            freeze_norm(module)
        if norms == Norms.BATCH:
            use_batch_statistics(module)
        tables = _present(module, _superposed_class(module).tables)
        per_context = tables if norms == Norms.PER_CONTEXT else ()
        layer = self._change_class(module, name, (), per_context)
        if self.is_complex:
            self._check_complex_form(layer)
            layer.superposition.parts = 2
        sizes = (self._options.num_contexts,) if per_context else ()
        if self.is_complex:
            sizes = (*sizes, 2)
        for key in tables if sizes else ():
            value = layer.table(key)
            assert value is not None
            self._replace(layer, key, sizes, value.dtype)

    def convert_own(self, module: nn.Module, name: str, sizes: Sequence[int] | None) -> None:
        """Give each model a whole linear layer, with so many outputs if they differ."""
        tables = _present(module, LinearPerContext.tables)
        layer = self._change_class(module, name, (), tables, kind=LinearPerContext)
        for key in tables:
            self._replace(layer, key, (self._options.num_contexts,), layer.stored(key).dtype)
        if sizes is not None:
            assert isinstance(layer, LinearPerContext)
            layer.allow_sizes(sizes, self._generator(f"{name}.rows"))

    def check_ties(self, net: nn.Module) -> None:
        """Check that no module still holds a tensor that has been replaced.

        Raises:
            ValueError: If one does: the two were tied, and would no longer be.
        """
        for path, module in net.named_modules():
            for key, value in [*module._parameters.items(), *module._buffers.items()]:
                if id(value) in self._replaced and value is not None:
                    raise ValueError(
                        f"superpose: '{f'{path}.{key}'.lstrip('.')}' is tied to a tensor "
                        "with an entry for each model; untie them, or leave that layer out."
                    )

    def _change_class(
        self,
        module: nn.Module,
        name: str,
        superposed: tuple[str, ...],
        per_context: tuple[str, ...],
        *,
        kind: type[Layer] | None = None,
    ) -> Layer:
        module.__class__ = kind or _superposed_class(module)
        assert isinstance(module, Layer)
        module.superposition = LayerState(
            name=name,
            num_contexts=self._options.num_contexts,
            superposed=superposed,
            per_context=per_context,
            selection=One.of(0),
            guard=RecomputeGuard(self._counter),
            models=self.record,
        )
        module.prepare()
        return module

    def _superpose(self, layer: Layer, key: str) -> Superposition:
        """Return the superposed form of a parameter, the same for tied ones."""
        weight = layer.stored(key)
        if id(weight) not in self._superposed:
            name = layer.superposition.name
            rows = layer.to_rows(key, weight)
            path = f"{self._options.prefix}.{name}".strip(".")
            label = path if key == "weight" else f"{path}.{key}".lstrip(".")
            contexts = self._draw_contexts(rows, f"'{key}' of layer '{name}'", label)
            if contexts.is_complex:
                self.complex_family = type(contexts).__name__
                self._check_complex_form(layer)
            parameter = self._complex_weight(weight, label) if contexts.is_complex else weight
            base = None
            if self._options.base:
                base = weight.detach().to(self._options.base_dtype or weight.dtype)
                parameter = parameter_like(torch.zeros_like(parameter), weight)
            outputs = self._output_sides.draw(weight, label)
            form = Superposition(parameter, contexts, outputs, base)
            self._superposed[id(weight)] = self._superposed[id(parameter)] = weight, form
        return self._superposed[id(weight)][1]

    def _check_complex_form(self, layer: Layer) -> None:
        if not layer.has_complex_form:
            raise ValueError(
                f"superpose: layer '{layer.superposition.name}' has no complex form, which "
                f"{self.complex_family} needs; use a real family."
            )

    def _draw_contexts(self, rows: Tensor, parameter: str, label: str) -> Contexts:
        options, dim = self._options, rows.shape[-1]
        groups = rows.shape[0] if rows.dim() == 3 else 1
        num_contexts = options.num_contexts * groups
        if groups > 1:  # tells their order from that of older releases
            label = f"{label}/groups={groups}"
        try:
            contexts = options.family(dim, num_contexts, seed=options.seed, name=label)
        except ValueError as error:
            error.add_note(
                f"superpose: no contexts for {parameter}, whose rows have length {dim}; use "
                "another family, or leave the layer out with exclude."
            )
            raise
        if (contexts.dim, contexts.num_contexts) != (dim, num_contexts):  # they might broadcast
            raise ValueError(
                f"superpose: family={options.family!r} gave {contexts.num_contexts} contexts of "
                f"dim={contexts.dim}, but {parameter} needs {num_contexts} of dim={dim}."
            )
        return contexts

    def _replace(self, layer: Layer, key: str, sizes: tuple[int, ...], dtype: torch.dtype) -> None:
        """Replace a tensor with a table that holds a copy of it for each of `sizes`."""
        value = layer.table(key)
        assert value is not None
        if id(value) not in self._replaced:
            table = value.detach().to(dtype).expand((*sizes, *value.shape)).clone()
            new = parameter_like(table, value) if isinstance(value, nn.Parameter) else table
            self._replaced[id(value)] = value, new
        new = self._replaced[id(value)][1]
        if isinstance(new, nn.Parameter):
            layer._parameters[key] = new
        else:
            layer._buffers[key] = new
        if self._options.base and key in layer.superposition.per_context:
            layer.register_buffer(base_name(key), new.detach()[0].clone())

    def _complex_weight(self, weight: nn.Parameter, label: str) -> nn.Parameter:
        value = weight.detach().to(_complex_dtype(weight.dtype))
        if self._options.random_phases and not self._options.base:
            generator = self._generator(label)
            angles = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
            phases = torch.polar(torch.ones_like(angles), angles * (2 * math.pi))
            value = value * phases.to(value.device, value.dtype)
        return parameter_like(value, weight)

    def _generator(self, label: str) -> torch.Generator:
        """Return a generator that depends on the seed and a label alone."""
        text = f"{self._options.seed}\0{label}".encode()
        digest = hashlib.blake2b(text, digest_size=7).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def is_norm(module: nn.Module) -> bool:
    """Return True if a layer has a superposed form without superposed weights."""
    kind = superposed_class(module)
    return kind is not None and not kind.weights


def parameter_like(value: Tensor, like: Tensor) -> nn.Parameter:
    """Return a parameter that requires a gradient if another tensor does."""
    return nn.Parameter(value.detach(), requires_grad=like.requires_grad)


def _superposed_class(module: nn.Module) -> type[Layer]:
    kind = superposed_class(module)
    assert kind is not None
    return kind


def _present(module: nn.Module, keys: tuple[str, ...]) -> tuple[str, ...]:
    tensors = {**module._buffers, **module._parameters}
    return tuple(key for key in keys if tensors.get(key) is not None)


def _complex_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.complex128 if dtype == torch.float64 else torch.complex64
