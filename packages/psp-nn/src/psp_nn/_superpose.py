"""Turning a network into a superposition of many."""

import copy
import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._arguments import check_net, checked_texts
from psp_nn._convert import Converter, Options, is_norm, parameter_like
from psp_nn._patterns import candidates
from psp_nn._report import report
from psp_nn._split_complex import real_part, split_complex_class
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
    """A network that holds `num_contexts` models in one set of weights.

    A copy of `net` with every layer that has a superposed form turned into that, in place, so
    that the network keeps its class and its own code. The superposition starts as the weights of
    `net`, and model 0 is in use; `use_context` selects another.

    What was turned and what was left is in `report(net)`, which is logged, too, at level INFO by
    the logger "psp_nn".

    Complex families make a complex network: weights and activations are complex, activation
    layers act on the real and the imaginary part apart, and the network's output is the real
    part. Activations that a network calls as functions, rather than as layers, have no such form:
    torch refuses most of them, such as `relu` and `gelu`, but `tanh`, `sigmoid` and `silu` are
    defined for complex numbers, too, as other functions than those of the parts.

    Args:
        net: Any network; it is left untouched.
        family: A family from `psp_contexts`, or anything called like one:
            `family(dim, num_contexts, seed=…, name=…)`. Every layer has its own, drawn for the
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
        MemoryError: If there is no room for what each of `num_contexts` models has of its own.
        TypeError: If an argument is of another kind.
        ValueError: If no layer was turned, a pattern matches no layer, a layer is superposed
            already, its weight is computed from other parameters or is shared with a layer that
            is left, `num_contexts` is out of range, or the family has no map of its length.

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
    check_net("net", net)
    options = Options(
        family, num_contexts, seed, norms, bias_per_context, per_channel, random_phases
    )
    names = candidates(net, checked_texts("include", include), checked_texts("exclude", exclude))
    superposition = _copied(net)
    chosen = {name: superposition.get_submodule(name) for name in names}
    converter = Converter(options)
    # Norm layers last: what they keep depends on whether the network is complex.
    for name, module in chosen.items():
        if not is_norm(module):
            converter.convert(module, name)
    for name, module in chosen.items():
        if is_norm(module):
            converter.convert_norm(module, name)
    converter.check_ties(superposition)
    if converter.is_complex:
        for module in superposition.modules():
            split = split_complex_class(type(module))
            if split is not None:
                module.__class__ = split
        superposition.register_forward_hook(real_part)
    _log.info("%s", report(superposition))
    return superposition


def _copied(net: Net) -> Net:
    memo: dict[int, Any] = {}
    for value in [*net.parameters(), *net.buffers()]:
        if type(value) not in (Tensor, nn.Parameter):  # fake tensors clone, but do not deep-copy
            clone = value.detach().clone()
            parameter = isinstance(value, nn.Parameter)
            memo[id(value)] = parameter_like(clone, value) if parameter else clone
    try:
        return copy.deepcopy(net, memo)
    except RuntimeError as error:  # torch copies no tensor that has been computed
        raise ValueError(f"superpose: net cannot be copied: {error}") from error
