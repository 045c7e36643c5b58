"""Turning one layer after the other, with what they share in view."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._arguments import check_choice, check_flag, checked_integer
from psp_nn.layers.layer import Layer
from psp_nn.layers.norm import Norms, freeze_norm, use_batch_statistics
from psp_nn.layers.recompute_guard import RecomputeCounter, RecomputeGuard
from psp_nn.layers.registry import superposed_class
from psp_nn.layers.selection import One
from psp_nn.layers.state import LayerState
from psp_nn.layers.superposed import contexts_name

LARGEST_COUNT = 2**63 - 1
"""As many contexts as a LongTensor can tell apart."""


@dataclass(frozen=True)
class Options:
    """The arguments of `superpose` that are about layers."""

    family: Callable[..., Contexts]
    num_contexts: int
    seed: int
    norms: Norms
    bias_per_context: bool
    per_channel: bool
    random_phases: bool

    def __post_init__(self) -> None:
        """Refuse what they cannot be, before anything is turned."""
        if not callable(self.family) or isinstance(self.family, nn.Module):
            raise TypeError(
                f"family must be a family of psp_contexts, but is {self.family!r}; pass the "
                "class, such as BinaryContexts."
            )
        count = checked_integer("num_contexts", self.num_contexts, 1, LARGEST_COUNT)
        object.__setattr__(self, "num_contexts", count)
        object.__setattr__(self, "seed", checked_integer("seed", self.seed))
        check_choice("norms", self.norms, Norms)
        for name in ("bias_per_context", "per_channel", "random_phases"):
            check_flag(name, getattr(self, name))


class Converter:
    """Conversion of the layers of one network, in which tied parameters stay tied."""

    def __init__(self, options: Options) -> None:
        self._options = options
        # Replaced tensors are kept alive, since their ids are the keys.
        self._superposed: dict[int, tuple[nn.Parameter, Contexts]] = {}
        self._replaced: dict[int, tuple[Tensor, Tensor]] = {}
        self._counter = RecomputeCounter()
        self.is_complex = False

    def convert(self, module: nn.Module, name: str) -> None:
        """Superpose the weights of a layer."""
        options, superposed = self._options, superposed_class(type(module))
        assert superposed is not None
        weights = _present(module, superposed.weights_of(module))
        biases = _present(module, superposed.biases_of(module))
        per_context = biases if options.bias_per_context else ()
        layer = self._change_class(module, name, weights, per_context)
        layer.superposition.per_channel = options.per_channel
        for key in weights:
            parameter, contexts = self._superpose(layer, name, key)
            layer._parameters[key] = parameter
            layer.add_module(contexts_name(key), contexts)
        sizes = (options.num_contexts,) if options.bias_per_context else ()
        for key in biases:
            dtype = layer.stored(key).dtype
            if layer.contexts_for(weights[0]).is_complex:
                self._replace(layer, key, sizes, _complex_dtype(dtype))
            elif sizes:
                self._replace(layer, key, sizes, dtype)
        layer.select(layer.superposition.selection)

    def convert_norm(self, module: nn.Module, name: str) -> None:
        """Give a norm layer the tables that the options ask for."""
        norms = self._options.norms
        if norms == Norms.FROZEN:
            freeze_norm(module)
        if norms == Norms.BATCH:
            use_batch_statistics(module)
        superposed = superposed_class(type(module))
        assert superposed is not None
        tables = _present(module, superposed.tables)
        per_context = tables if norms == Norms.PER_CONTEXT else ()
        layer = self._change_class(module, name, (), per_context)
        layer.superposition.parts = 2 if self.is_complex else 1
        sizes = (self._options.num_contexts,) if per_context else ()
        if self.is_complex:
            sizes = (*sizes, 2)
        for key in tables if sizes else ():
            value = layer.table(key)
            assert value is not None
            self._replace(layer, key, sizes, value.dtype)

    def _change_class(
        self,
        module: nn.Module,
        name: str,
        superposed: tuple[str, ...],
        per_context: tuple[str, ...],
    ) -> Layer:
        kind = superposed_class(type(module))
        assert kind is not None
        module.__class__ = kind
        assert isinstance(module, Layer)
        module.superposition = LayerState(
            name=name,
            num_contexts=self._options.num_contexts,
            superposed=superposed,
            per_context=per_context,
            selection=One.of(0),
            guard=RecomputeGuard(self._counter),
        )
        module.prepare()
        return module

    def check_ties(self, net: nn.Module) -> None:
        """Refuse a network in which somebody still holds a tensor that has been replaced.

        Raises:
            ValueError: If that is so: the two were tied, and would no longer be.
        """
        for path, module in net.named_modules():
            for key, value in [*module._parameters.items(), *module._buffers.items()]:
                if id(value) in self._replaced and value is not None:
                    raise ValueError(
                        f"superpose: '{f'{path}.{key}'.lstrip('.')}' is tied to a norm or a bias "
                        "that is to have an entry for each model; untie them in net, or leave "
                        "that layer out with exclude."
                    )

    def _superpose(self, module: Layer, name: str, key: str) -> tuple[nn.Parameter, Contexts]:
        weight = module._parameters[key]
        assert weight is not None
        if id(weight) not in self._superposed:
            rows = module.to_rows(key, weight)
            groups = rows.shape[0] if rows.dim() == 3 else 1
            label = name if key == "weight" else f"{name}.{key}".lstrip(".")
            where = f"'{key}' of layer '{name}'"
            contexts = self._family(rows.shape[-1], groups, where, label)
            if contexts.is_complex and not module.has_complex_form:
                raise ValueError(
                    f"superpose: layer '{name}' has no complex form, which "
                    f"{type(contexts).__name__} asks for; use a real family."
                )
            self.is_complex = self.is_complex or contexts.is_complex
            parameter = self._complex(weight, label) if contexts.is_complex else weight
            self._superposed[id(weight)] = self._superposed[id(parameter)] = (parameter, contexts)
        return self._superposed[id(weight)]

    def _family(self, dim: int, groups: int, where: str, label: str) -> Contexts:
        family, count = self._options.family, self._options.num_contexts * groups
        try:
            contexts = family(dim, count, seed=self._options.seed, name=label)
        except ValueError as error:
            raise ValueError(
                f"superpose: no contexts for {where}, whose rows have {dim} numbers: {error} Or "
                "leave the layer out with exclude."
            ) from error
        except TypeError as error:
            raise TypeError(
                f"superpose: family={family!r} cannot be called as a family is, family({dim}, "
                f"{count}, seed={self._options.seed}, name={label!r}): {error}"
            ) from error
        if not isinstance(contexts, Contexts):
            raise TypeError(
                f"superpose: family={family!r} gave a {type(contexts).__name__}; pass a family "
                "of psp_contexts, or one of your own that derives from Contexts."
            )
        if (contexts.dim, contexts.num_contexts) != (dim, count):
            raise ValueError(
                f"superpose: family={family!r} gave {contexts.num_contexts} contexts of "
                f"{contexts.dim} numbers, but {where} needs {count} of {dim}."
            )
        return contexts

    def _replace(
        self, module: nn.Module, key: str, sizes: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        """Put a table in the place of a tensor, with a copy of it for each of `sizes`."""
        value = _tensor(module, key)
        assert value is not None
        if id(value) not in self._replaced:
            try:
                table = value.detach().to(dtype).expand((*sizes, *value.shape)).clone()
            except RuntimeError as error:
                raise MemoryError(
                    f"superpose: no memory for num_contexts={self._options.num_contexts} models "
                    f"that have '{key}' of {value.numel()} numbers each of its own: {error}"
                ) from error
            new = parameter_like(table, value) if isinstance(value, nn.Parameter) else table
            self._replaced[id(value)] = value, new
        new = self._replaced[id(value)][1]
        if isinstance(new, nn.Parameter):
            module._parameters[key] = new
        else:
            module._buffers[key] = new

    def _complex(self, weight: nn.Parameter, label: str) -> nn.Parameter:
        value = weight.detach().to(_complex_dtype(weight.dtype))
        if self._options.random_phases:
            digest = hashlib.blake2b(
                f"{self._options.seed}\0{label}".encode(), digest_size=7
            ).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest, "little"))
            phases = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
            turns = torch.polar(torch.ones_like(phases), phases * (2 * math.pi))
            value = value * turns.to(value.device, value.dtype)
        return parameter_like(value, weight)


def is_norm(module: nn.Module) -> bool:
    """Whether a layer has a superposed form in which no weight is superposed."""
    superposed = superposed_class(type(module))
    return superposed is not None and not superposed.weights


def _present(module: nn.Module, keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(key for key in keys if _tensor(module, key) is not None)


def _tensor(module: nn.Module, key: str) -> Tensor | None:
    value = module._parameters.get(key)
    return module._buffers.get(key) if value is None else value


def parameter_like(value: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(value.detach(), requires_grad=like.requires_grad)


def _complex_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.complex128 if dtype == torch.float64 else torch.complex64
