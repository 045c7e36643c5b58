"""Convert a network to a superposition of many."""

import copy
import logging
from collections.abc import Callable, Iterable
from operator import index
from typing import Any, TypeVar

from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._convert import Converter, Options, is_norm, parameter_like
from psp_nn._patterns import matching_layers
from psp_nn._report import report
from psp_nn._split_complex import real_part, split_complex_class
from psp_nn.layers.layer import Layer
from psp_nn.layers.model_record import RECORD_NAME
from psp_nn.layers.norm import Norms

Net = TypeVar("Net", bound=nn.Module)

_log = logging.getLogger("psp_nn")


def superpose(
    net: Net,
    *,
    family: Callable[..., Contexts],
    num_contexts: int,
    seed: int,
    include: str | Iterable[str] = "*",
    exclude: str | Iterable[str] = (),
    norms: Norms = Norms.PER_CONTEXT,
    bias_per_context: bool = False,
    per_channel: bool = False,
    random_phases: bool = True,
) -> Net:
    """Return a network that holds `num_contexts` models in one set of weights.

    It is a copy of `net` in which every layer that has a superposed form is converted in place,
    so that the network keeps its class and its own code. The superposition starts as the weights
    of `net`, with model 0 in use; `use_context` selects another.

    `report(net)` lists the layers that were converted and those that were not. The logger
    "psp_nn" logs it at level INFO.

    Complex families make a complex network: weights and activations are complex, activation
    layers act on the real and the imaginary part apart, and the output of the network is the real
    part. Activations that a network calls as functions, not as layers, are not converted. torch
    refuses complex input to most of them, such as `relu` and `gelu`. But `tanh`, `sigmoid` and
    `silu` accept it, and do not act on the parts apart.

    Args:
        net: Any network; it is left unchanged.
        family: A family from `psp_contexts`, or a function with the same arguments:
            `family(dim, num_contexts, seed=…, name=…)`. Every layer has its own contexts, drawn
            for its dotted name.
        num_contexts: Number of models, K.
        seed: Seed of the contexts.
        include: Patterns of dotted layer names to convert, as for `fnmatch`; all by default.
        exclude: Patterns of dotted layer names to leave unchanged.
        norms: Treatment of norm layers. By default each model has its own affine and running
            statistics.
        bias_per_context: True to give each model its own biases; the paper shares them.
        per_channel: True for contexts of convolutions with one entry per input channel, instead
            of one per input channel and kernel position.
        random_phases: True to start complex weights with uniform phases, drawn from `seed`, and
            the magnitudes of the weights of `net`; otherwise they start real.

    Returns:
        The superposed network.

    Raises:
        ValueError: If no layer is converted, a pattern matches no layer, a layer is superposed
            already, its weight is computed from other parameters or is shared with a layer that
            is not converted, `num_contexts` is out of range, or the family has no map of the
            length of a layer's rows.

    Source:
        Cheung et al. 2019, equation 7.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> many = superpose(net, family=BinaryContexts, num_contexts=50, seed=0)
        >>> type(many).__name__, type(many[0]).__name__, type(net[0]).__name__
        ('Sequential', 'SuperposedLinear', 'Linear')
        >>> _ = use_context(many, 49)
        >>> many(torch.ones(1, 4)).shape
        torch.Size([1, 2])
    """
    if index(num_contexts) < 1:
        raise ValueError(f"superpose: num_contexts must be at least 1, but is {num_contexts}.")
    options = Options(
        family,
        index(num_contexts),
        index(seed),
        Norms(norms),
        bias_per_context,
        per_channel,
        random_phases,
    )
    names = matching_layers(net, _patterns(include), _patterns(exclude))
    superposition = _copy(net)
    layers = {name: superposition.get_submodule(name) for name in names}
    converter = Converter(options)
    # Norm layers last: their tables depend on whether the network is complex.
    for name, module in layers.items():
        if not is_norm(module):
            converter.convert(module, name)
    for name, module in layers.items():
        if is_norm(module):
            converter.convert_norm(module, name)
    converter.check_ties(superposition)
    first = next(m for m in superposition.modules() if isinstance(m, Layer))
    first.add_module(RECORD_NAME, converter.record)
    if converter.is_complex:
        for module in superposition.modules():
            split = split_complex_class(type(module))
            if split is not None:
                module.__class__ = split
        superposition.register_forward_hook(real_part)
    _log.info("%s", report(superposition))
    return superposition


def _patterns(patterns: str | Iterable[str]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


def _copy(net: Net) -> Net:
    memo: dict[int, Any] = {}
    for value in [*net.parameters(), *net.buffers()]:
        if type(value) not in (Tensor, nn.Parameter):  # fake tensors clone, but do not deepcopy
            clone = value.detach().clone()
            is_parameter = isinstance(value, nn.Parameter)
            memo[id(value)] = parameter_like(clone, value) if is_parameter else clone
    return copy.deepcopy(net, memo)
