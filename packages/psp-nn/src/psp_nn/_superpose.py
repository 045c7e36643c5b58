"""Turning a network into a superposition of many."""

import copy
import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._apart import apart_class, real_part
from psp_nn._kinds import superposed_class
from psp_nn._norm import Norms, freeze_norm, use_batch_statistics
from psp_nn._superposed import Superposed, contexts_name, one

Net = TypeVar("Net", bound=nn.Module)


def superpose(
    net: Net,
    *,
    contexts: Callable[..., Contexts],
    num_contexts: int,
    seed: int,
    include: str | Iterable[str] = "*",
    exclude: str | Iterable[str] = (),
    norms: Norms = Norms.PER_CONTEXT,
    bias_per_context: bool = False,
    per_channel: bool = False,
    random_phases: bool = True,
) -> Net:
    """A network that holds `num_contexts` models in one set of weights.

    A copy of `net` with every layer that has a superposed form turned into that, in place, so
    that the network keeps its class and its own code. The superposition starts as the weights of
    `net`, and model 0 is in use; `use_context` selects another.

    Complex families make a complex network: weights and activations are complex, activation
    layers act on the real and the imaginary part apart, and the network's output is the real
    part. Activations that a network calls as functions, rather than as layers, have no complex
    form, and torch refuses them.

    Args:
        net: Any network; it is left untouched.
        contexts: A family from `psp_contexts`, or anything called like one:
            `contexts(dim, num_contexts, seed=…, name=…)`. Every layer has its own, drawn for the
            layer's dotted name.
        num_contexts: How many models there is room for, K.
        seed: Of the contexts.
        include: Patterns of dotted names, as for `fnmatch`, of layers to turn; by default all.
        exclude: Patterns of those to leave as they are.
        norms: What becomes of norm layers. By default each model has its own affine and running
            statistics.
        bias_per_context: Whether each model has its own biases; the paper shares them.
        per_channel: Whether the contexts of convolutions have one number for each input channel,
            rather than for each input channel and kernel position.
        random_phases: Whether complex weights start with uniform phases, drawn from `seed`, and
            the magnitudes of the weights of `net`; otherwise they start real.

    Returns:
        The superposed network.

    Raises:
        ValueError: If no layer was turned, a pattern matches no layer, a layer is superposed
            already, or the family has no map of a layer's length.

    Source:
        Cheung et al. 2019, equation 7.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> many = superpose(net, contexts=BinaryContexts, num_contexts=50, seed=0)
        >>> type(many).__name__, type(many[0]).__name__, type(net[0]).__name__
        ('Sequential', 'SuperposedLinear', 'Linear')
        >>> _ = use_context(many, 49)
        >>> many(torch.ones(1, 4)).shape
        torch.Size([1, 2])
    """
    include, exclude = _patterns(include), _patterns(exclude)
    superposition = _copied(net)
    candidates = {
        name: module
        for name, module in superposition.named_modules()
        if superposed_class(type(module)) is not None
    }
    _check_candidates(net, candidates, include, exclude)
    chosen = {
        name: module
        for name, module in candidates.items()
        if _matches(name, include) and not _matches(name, exclude)
    }
    options = _Options(
        contexts, num_contexts, seed, norms, bias_per_context, per_channel, random_phases
    )
    turn = _Turn(options)
    # Norm layers last: what they keep depends on whether the network is complex.
    for name, module in chosen.items():
        if not _is_norm(module):
            turn.layer(module, name)
    for name, module in chosen.items():
        if _is_norm(module):
            turn.norm(module, name)
    if turn.is_complex:
        for module in superposition.modules():
            apart = apart_class(type(module))
            if apart is not None:
                module.__class__ = apart
        superposition.register_forward_hook(real_part)
    return superposition


@dataclass(frozen=True)
class _Options:
    contexts: Callable[..., Contexts]
    num_contexts: int
    seed: int
    norms: Norms
    bias_per_context: bool
    per_channel: bool
    random_phases: bool


class _Turn:
    """Turns one layer after the other."""

    def __init__(self, options: _Options) -> None:
        self._options = options
        # Tied parameters stay tied, with the same contexts.
        self._done: dict[int, tuple[nn.Parameter, Contexts]] = {}
        self.is_complex = False

    def layer(self, module: nn.Module, name: str) -> None:
        """Superpose the weights of a layer."""
        superposed = superposed_class(type(module))
        assert superposed is not None
        weights = tuple(key for key in superposed.weights if _tensor(module, key) is not None)
        biases = [key for key in superposed.biases if _tensor(module, key) is not None]
        module.__class__ = superposed
        assert isinstance(module, Superposed)
        module.layer_name = name
        module.num_contexts = self._options.num_contexts
        module.superposed = weights
        module.per_context = tuple(biases) if self._options.bias_per_context else ()
        if hasattr(module, "per_channel"):
            module.__dict__["per_channel"] = self._options.per_channel
        for key in weights:
            parameter, contexts = self._superposed(module, name, key)
            module._parameters[key] = parameter
            module.add_module(contexts_name(key), contexts)
        for key in biases:
            bias = module._parameters[key]
            if bias is not None and module.family(weights[0]).is_complex:
                module._parameters[key] = _parameter(bias.to(_complex(bias.dtype)), bias)
            if self._options.bias_per_context:
                _make_table(module, key, (self._options.num_contexts,))
        module.select(one(0))
        module.__dict__["_used"] = module.selected

    def norm(self, module: nn.Module, name: str) -> None:
        """Give a norm layer what the options say."""
        norms = self._options.norms
        if norms is Norms.FROZEN:
            freeze_norm(module)
        if norms is Norms.BATCH:
            use_batch_statistics(module)
        superposed = superposed_class(type(module))
        assert superposed is not None
        tables = [key for key in superposed.tables if _tensor(module, key) is not None]
        module.__class__ = superposed
        assert isinstance(module, Superposed)
        module.layer_name = name
        module.num_contexts = self._options.num_contexts
        module.superposed = ()
        module.per_context = tuple(tables) if norms is Norms.PER_CONTEXT else ()
        each_model = (self._options.num_contexts,) if norms is Norms.PER_CONTEXT else ()
        each_part = (2,) if self.is_complex else ()
        for key in tables if each_model + each_part else ():
            _make_table(module, key, each_model + each_part)
        module.parts = 2 if self.is_complex else 1
        module.select(one(0))
        module.__dict__["_used"] = module.selected

    def _superposed(self, module: Superposed, name: str, key: str) -> tuple[nn.Parameter, Contexts]:
        weight = module._parameters[key]
        assert weight is not None
        if id(weight) not in self._done:
            rows = module.rows(key, weight)
            groups = rows.shape[0] if rows.dim() == 3 else 1
            label = name if key == "weight" else f"{name}.{key}".lstrip(".")
            try:
                contexts = self._options.contexts(
                    rows.shape[-1],
                    self._options.num_contexts * groups,
                    seed=self._options.seed,
                    name=label,
                )
            except ValueError as error:
                raise ValueError(
                    f"superpose: no contexts for '{key}' of layer '{name}', whose rows have "
                    f"{rows.shape[-1]} numbers: {error} Or leave the layer out with exclude."
                ) from error
            if contexts.is_complex and not module.has_complex_form:
                raise ValueError(
                    f"superpose: layer '{name}' has no complex form, which "
                    f"{type(contexts).__name__} asks for; use a real family."
                )
            self.is_complex = self.is_complex or contexts.is_complex
            parameter = self._complex(weight, label) if contexts.is_complex else weight
            self._done[id(weight)] = self._done[id(parameter)] = (parameter, contexts)
        return self._done[id(weight)]

    def _complex(self, weight: nn.Parameter, label: str) -> nn.Parameter:
        value = weight.detach().to(_complex(weight.dtype))
        if self._options.random_phases:
            digest = hashlib.blake2b(
                f"{self._options.seed}\0{label}".encode(), digest_size=7
            ).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest, "little"))
            phases = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
            turns = torch.polar(torch.ones_like(phases), phases * (2 * math.pi))
            value = value * turns.to(value.device, value.dtype)
        return _parameter(value, weight)


def _copied(net: Net) -> Net:
    memo: dict[int, Any] = {}
    for value in [*net.parameters(), *net.buffers()]:
        if type(value) not in (Tensor, nn.Parameter):  # fake tensors clone, but do not deep-copy
            clone = value.detach().clone()
            parameter = isinstance(value, nn.Parameter)
            memo[id(value)] = _parameter(clone, value) if parameter else clone
    return copy.deepcopy(net, memo)


def _is_norm(module: nn.Module) -> bool:
    superposed = superposed_class(type(module))
    return superposed is not None and not superposed.weights


def _make_table(module: nn.Module, key: str, sizes: tuple[int, ...]) -> None:
    value = _tensor(module, key)
    assert value is not None
    table = value.detach().expand((*sizes, *value.shape)).clone()
    if isinstance(value, nn.Parameter):
        module._parameters[key] = _parameter(table, value)
    else:
        module._buffers[key] = table


def _tensor(module: nn.Module, key: str) -> Tensor | None:
    value = module._parameters.get(key)
    return module._buffers.get(key) if value is None else value


def _parameter(value: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(value.detach(), requires_grad=like.requires_grad)


def _complex(dtype: torch.dtype) -> torch.dtype:
    return torch.complex128 if dtype == torch.float64 else torch.complex64


def _patterns(patterns: str | Iterable[str]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _check_candidates(
    net: nn.Module,
    candidates: dict[str, nn.Module],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
) -> None:
    for name, module in net.named_modules():
        if isinstance(module, Superposed):
            raise ValueError(
                f"superpose: layer '{name}' is superposed already; pass the original network."
            )
    for argument, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns:
            if pattern != "*" and not any(fnmatchcase(name, pattern) for name in candidates):
                raise ValueError(
                    f"superpose: {argument}={pattern!r} matches no layer that has a superposed "
                    f"form; those are {', '.join(map(repr, candidates)) or 'none'}."
                )
    chosen = [n for n in candidates if _matches(n, include) and not _matches(n, exclude)]
    if not chosen:
        raise ValueError(
            f"superpose: nothing in this {type(net).__name__} was turned; layers that have a "
            f"superposed form: {', '.join(map(repr, candidates)) or 'none'}; include={include}, "
            f"exclude={exclude}."
        )
    for name in chosen:
        for value in candidates[name].parameters(recurse=False):
            if isinstance(value, nn.parameter.UninitializedParameter):
                raise ValueError(
                    f"superpose: layer '{name}' has no weights yet; run the network once first."
                )
