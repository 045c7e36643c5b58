"""Convert a network to a superposition of many."""

import copy
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from operator import index
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._convert import Converter, Options, is_norm, parameter_like
from psp_nn._patterns import (
    classes_without_form,
    layers_before_output,
    matching_layers,
    matching_linear,
    matching_weights,
    superposed_parameters,
)
from psp_nn._report import report
from psp_nn._split_complex import real_input, real_part, split_complex_class
from psp_nn.layers.layer import Layer
from psp_nn.layers.model_record import RECORD_NAME
from psp_nn.layers.norm import Norms
from psp_nn.layers.registry import superposed_class

Net = TypeVar("Net", bound=nn.Module)

_log = logging.getLogger("psp_nn")

WARN_ABOVE = 0.1
"""Share of the parameters above which those without a superposed form cause a warning."""


def superpose(
    net: Net,
    *,
    family: Callable[..., Contexts],
    num_contexts: int,
    seed: int,
    base: bool,
    two_sided: bool | str | Iterable[str] | None = None,
    base_dtype: torch.dtype | None = None,
    share_base: bool = False,
    include: str | Iterable[str] = "*",
    exclude: str | Iterable[str] = (),
    own: str | Iterable[str] | Mapping[str, Sequence[int]] = (),
    norms: Norms = Norms.PER_CONTEXT,
    bias_per_context: bool = False,
    per_channel: bool = False,
    random_phases: bool = True,
    prefix: str = "",
) -> Net:
    """Return a network that holds `num_contexts` models in one set of weights.

    It is a copy of `net` in which every layer that has a superposed form is converted in place,
    so that the network keeps its class and its own code. Model 0 is in use; `use_context` selects
    another.

    With `base=True` every model starts as `net`, exactly. The weights of `net` are kept once, as
    a frozen base, and the superposition holds the differences from it, zero at first. Choose it
    for a trained network, of which many versions are to be trained or stored. With `base=False`
    the superposition starts as the weights of `net`, which every context reads in another way:
    a trained network is destroyed. Choose it for networks that are trained from scratch.

    `report(net)` lists the layers that were converted and those that were not. The logger
    "psp_nn" logs it at level INFO. A warning names the classes without a superposed form if they
    hold more than a tenth of the parameters; `register` gives them one.

    Complex families make a complex network: weights and activations are complex, activation
    layers act on the real and the imaginary part apart, and the output of the network is the real
    part. A layer that is left out gets the real part of its input. Activations that a network
    calls as functions, not as layers, are not converted. torch refuses complex input to most of
    them, such as `relu` and `gelu`. But `tanh`, `sigmoid` and `silu` accept it, and do not act on
    the parts apart.

    Args:
        net: Any network; it is left unchanged.
        family: A family from `psp_contexts`, or a function with the same arguments:
            `family(dim, num_contexts, seed=…, name=…)`. Every layer has its own contexts, drawn
            for its dotted name.
        num_contexts: Number of models, K.
        seed: Seed of the contexts.
        base: True to keep the weights of `net` as the base of all models.
        two_sided: With a base, the layers whose output units are permuted for each model, too, so
            that model k is read as base + R_k⁻¹ D C_k. The models share their active units, and
            this spreads the noise between them at no storage. By default, and if True, all but
            the output layer: the last layer of the network that has a superposed form, in the
            order of `named_modules`. Patterns choose other layers, and False none. A parameter
            that two layers share is permuted if both are, in the same layout.
        base_dtype: Dtype of the base, that of the weights by default. `torch.bfloat16` halves its
            memory, and models start as `net` rounded to it. `to(dtype)` converts the base, too.
        share_base: True to share the memory of the base with the weights of `net` instead of
            copying them. In-place changes of either, as by training `net` or loading a state dict,
            change both. `to` another dtype or device ends the sharing.
        include: Patterns of dotted layer names to convert, as for `fnmatch`; all by default.
        exclude: Patterns of dotted layer names to leave unchanged. They cause no warning.
        own: Patterns of `Linear` layers of which each model keeps a whole one, such as the heads
            of tasks with different classes. They start as that of `net`. A mapping from patterns
            to one number of outputs per model, such as `{"fc": [10, 5, 100]}`, makes heads of
            different sizes: the first rows of that of `net`, and torch's initial values beyond.
        norms: Treatment of norm layers. By default each model has its own affine and running
            statistics.
        bias_per_context: True to give each model its own biases; the paper shares them.
        per_channel: True for contexts of convolutions with one entry per input channel, instead
            of one per input channel and kernel position.
        random_phases: True to start complex weights with uniform phases, drawn from `seed`, and
            the magnitudes of the weights of `net`; otherwise they start real. It has no effect
            with a base, which stays real: the differences are complex and start at zero.
        prefix: Dotted name of `net` in another network, for which contexts are drawn. Its layers
            then have the same contexts as that part of the other network, whose state dict they
            load.

    Returns:
        The superposed network.

    Raises:
        ValueError: If no layer is converted, a pattern matches no layer, a layer is superposed
            already, its weight is computed from other parameters or is shared with a layer that
            is not converted, `num_contexts` is out of range, the family has no map of the length
            of a layer's rows, or an option of the base is given without one.

    Source:
        Cheung et al. 2019, equation 7.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> many = superpose(net, family=BinaryContexts, num_contexts=50, seed=0, base=True)
        >>> type(many).__name__, type(many[0]).__name__, type(net[0]).__name__
        ('Sequential', 'SuperposedLinear', 'Linear')
        >>> x, _ = torch.ones(1, 4), use_context(many, 49)
        >>> torch.allclose(many(x), net(x), atol=1e-6)
        True
    """
    if index(num_contexts) < 1:
        raise ValueError(f"superpose: num_contexts must be at least 1, but is {num_contexts}.")
    if not base and (two_sided or base_dtype is not None or share_base):
        raise ValueError(
            "superpose: two_sided, base_dtype and share_base need a base; pass base=True."
        )
    if share_base and base_dtype is not None:
        raise ValueError(
            "superpose: a base shared with net has the dtype of net; pass base_dtype or "
            "share_base=True, but not both."
        )
    owned = matching_linear(net, _patterns(own))
    sizes = {name: _sizes(name, own, num_contexts) for name in owned}
    matching = matching_layers(net, _patterns(include), _patterns(exclude), owned)
    names = [name for name in matching if name not in owned]
    weighted = [name for name in names if not is_norm(net.get_submodule(name))]
    if two_sided is None or isinstance(two_sided, bool):
        permuted = layers_before_output(net, weighted) if base and two_sided is not False else []
    else:
        permuted = matching_weights(weighted, _patterns(two_sided))
    options = Options(
        family,
        index(num_contexts),
        index(seed),
        Norms(norms),
        bias_per_context,
        per_channel,
        random_phases,
        base,
        frozenset(permuted),
        base_dtype,
        prefix,
    )
    superposition = _copy(net, superposed_parameters(net, weighted) if share_base else [])
    converter = Converter(options)
    converter.convert({name: superposition.get_submodule(name) for name in weighted})
    # Norm layers last: their tables depend on whether the network is complex.
    for name in names:
        if name not in weighted:
            converter.convert_norm(superposition.get_submodule(name), name)
    for name in owned:
        converter.convert_own(superposition.get_submodule(name), name, sizes[name])
    converter.check_ties(superposition)
    first = next(m for m in superposition.modules() if isinstance(m, Layer))
    first.add_module(RECORD_NAME, converter.record)
    if converter.is_complex:
        for module in superposition.modules():
            split = split_complex_class(type(module))
            if split is not None:
                module.__class__ = split
            if superposed_class(module) is not None:  # it is left out
                module.register_forward_pre_hook(real_input)
        superposition.register_forward_hook(real_part)
    for module in superposition.modules():
        if hasattr(module, "save_pretrained"):
            module.__dict__["save_pretrained"] = refuse_save_pretrained
    _warn_of_shared(net, _patterns(exclude))
    _log.info("%s", report(superposition))
    return superposition


def refuse_save_pretrained(*args: Any, **kwargs: Any) -> NoReturn:
    """Refuse to write the sum of all models as if it were one; takes the method's place."""
    raise RuntimeError(
        "save_pretrained would write the sum of all models, without their contexts; use "
        "psp_nn.save, or retrieve one model and save that."
    )


def _warn_of_shared(net: nn.Module, exclude: tuple[str, ...]) -> None:
    """Warn if many parameters stay shared because `superpose` does not know their class."""
    counts = classes_without_form(net, exclude)
    shared, total = sum(counts.values()), sum(value.numel() for value in net.parameters())
    if shared > WARN_ABOVE * total:
        classes = ", ".join(sorted(counts, key=counts.__getitem__, reverse=True)[:10])
        warnings.warn(
            f"superpose: {shared / total:.0%} of the parameters stay shared by all models, in "
            f"layers without a superposed form: {classes}. State with register what these classes "
            "superpose, or name the layers in exclude.",
            stacklevel=3,
        )


def _patterns(patterns: str | Iterable[str]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


def _sizes(
    layer: str, own: str | Iterable[str] | Mapping[str, Sequence[int]], num_contexts: int
) -> Sequence[int] | None:
    """Return the numbers of outputs that `own` gives a layer, or None."""
    if not isinstance(own, Mapping):
        return None
    sizes = next(sizes for pattern, sizes in own.items() if fnmatchcase(layer, pattern))
    if len(sizes) != num_contexts or min(sizes) < 1:
        raise ValueError(
            f"superpose: own={own!r} must give layer '{layer}' a positive number of outputs for "
            f"each of the {num_contexts} models."
        )
    return sizes


def _copy(net: Net, shared: Iterable[nn.Parameter]) -> Net:
    """Return a copy of a network that contains the parameters `shared` themselves."""
    memo: dict[int, Any] = {id(parameter): parameter for parameter in shared}
    for value in [*net.parameters(), *net.buffers()]:
        # Fake tensors clone, but do not deepcopy.
        if type(value) not in (Tensor, nn.Parameter) and id(value) not in memo:
            clone = value.detach().clone()
            is_parameter = isinstance(value, nn.Parameter)
            memo[id(value)] = parameter_like(clone, value) if is_parameter else clone
    return copy.deepcopy(net, memo)
