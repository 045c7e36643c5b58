"""Putting a trained model into a superposition."""

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._arguments import check_net
from psp_nn._use_context import checked_layers, use_context
from psp_nn.layers.layer import Layer
from psp_nn.layers.superposed import base_name


@torch.no_grad()
def store(net: nn.Module, context: int, model: nn.Module) -> None:
    """Add a trained model to a superposition: W += W_k C_k⁻¹ in every superposed layer.

    What the superposition held before, the weights that it started from included, is noise to
    the new model, and the new model to the others; `superpose_models` starts from nothing. If the
    superposition has a base, the model's difference from it is what is added. What each model has
    of its own, such as norms and biases per context, is the model's from now on.

    Args:
        net: The superposition, changed in place.
        context: Under which index the model is read back.
        model: An ordinary network with the parameters and buffers that `net` had before, tied
            where its were.

    Raises:
        IndexError, TypeError: As for `use_context`.
        ValueError: If the model has other names or shapes, weights that are not finite and would
            spoil all models, or differs from the network in what all models share; nothing is
            changed then.

    Source:
        Cheung et al. 2019, equation 1.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import retrieve, store, superpose
        >>> empty = torch.nn.Linear(4, 2, bias=False).requires_grad_(False)
        >>> _ = empty.weight.zero_()
        >>> net = superpose(empty, family=BinaryContexts, num_contexts=50, seed=0)
        >>> model = torch.nn.Linear(4, 2, bias=False)
        >>> store(net, 7, model)
        >>> torch.equal(retrieve(net, 7).weight, model.weight)
        True
    """
    checked_layers("store", "net", net)
    check_net("model", model)
    refuse_mixed("store", context)
    with use_context(net, context):
        theirs = _checked(net, model)
        done: set[int] = set()
        for path, layer in net.named_modules(remove_duplicate=False):
            if not isinstance(layer, Layer):
                continue
            for name in layer.superposition.superposed:
                stored = layer.stored(name)
                if id(stored) not in done:  # tied parameters hold one model's weight once
                    done.add(id(stored))
                    _add(layer, name, theirs[dotted(path, name)].to(stored))
            for name in layer.superposition.per_context:
                entry = tensors(layer)[name][context]
                entry.copy_(theirs[dotted(path, name)])


def refuse_mixed(verb: str, context: int | Tensor) -> None:
    """Refuse a batch of contexts where one is meant."""
    if isinstance(context, Tensor) and context.dim():
        raise TypeError(
            f"{verb} is about one model, but context has shape {tuple(context.shape)}; pass an int."
        )


def dotted(path: str, name: str) -> str:
    """The name of a tensor of the module at `path`."""
    return f"{path}.{name}" if path else name


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """A module's own parameters and buffers as they are stored."""
    return {
        name: value
        for name, value in [*module._parameters.items(), *module._buffers.items()]
        if value is not None
    }


def _add(layer: Layer, name: str, weight: Tensor) -> None:
    base = layer._buffers.get(base_name(name))
    rows = layer.to_rows(name, weight if base is None else weight - base)
    contribution = layer.operator(name).store(rows)
    layer.stored(name).add_(layer.from_rows(name, contribution))


def _checked(net: nn.Module, model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors, once they fit the network and agree with what is shared."""
    if any(isinstance(module, Layer) for module in model.modules()):
        raise ValueError("store: the model is superposed itself; retrieve one from it first.")
    theirs = dict(
        [
            *model.named_parameters(remove_duplicate=False),
            *model.named_buffers(remove_duplicate=False),
        ]
    )
    expected: dict[str, torch.Size] = {}
    shared: dict[str, Tensor] = {}
    added: dict[str, Tensor] = {}
    tied: dict[Tensor, list[str]] = {}
    for path, module in net.named_modules(remove_duplicate=False):
        if isinstance(module, Contexts):
            continue
        own: tuple[str, ...] = ()
        superposed: tuple[str, ...] = ()
        if isinstance(module, Layer):
            own, superposed = module.superposition.per_context, module.superposition.superposed
        for name, value in tensors(module).items():
            if name in map(base_name, superposed):
                continue
            full = dotted(path, name)
            parts = module.superposition.parts if isinstance(module, Layer) else 1
            leading = (name in own) + (parts == 2)
            expected[full] = value.shape[leading:]
            tied.setdefault(value, []).append(full)
            if name in superposed:
                added[full] = value
            elif name not in own:
                shared[full] = value
    for full in {**expected, **theirs}:
        if not (full in expected and full in theirs):
            where = "the network" if full in expected else "the model"
            raise ValueError(
                f"store: only {where} has '{full}'; pass a model of the original classes."
            )
    for full, shape in expected.items():
        if theirs[full].shape != shape:
            raise ValueError(
                f"store: '{full}' has shape {tuple(theirs[full].shape)} in the model, but "
                f"{tuple(shape)} in the network."
            )
        _check_numbers(full, theirs[full], added.get(full))
    for first, *others in tied.values():
        for other in others:
            if not torch.equal(theirs[first], theirs[other]):
                raise ValueError(
                    f"store: '{first}' and '{other}' are one tensor in the network, but differ in "
                    "the model; store a model in which they are tied, too."
                )
    for full, value in shared.items():
        whole = theirs[full].expand_as(value)  # a complex network's has two parts, both the same
        if not torch.equal(value, whole.to(value.device, value.dtype)):
            raise ValueError(
                f"store: '{full}' is shared by all models, and the model's differs from it; "
                "superpose with bias_per_context=True and norms per context, or store a model "
                "that was trained without changing it."
            )
    return theirs


def _check_numbers(name: str, theirs: Tensor, stored: Tensor | None) -> None:
    if theirs.is_meta or theirs.layout is not torch.strided:
        raise ValueError(
            f"store: '{name}' in the model is {theirs.layout} on {theirs.device}; pass a model "
            "whose tensors are dense and in memory."
        )
    if stored is None:
        return
    if theirs.is_complex() and not stored.is_complex():
        raise ValueError(
            f"store: '{name}' in the model is {theirs.dtype}, but in the network {stored.dtype}; "
            "pass a model of the original classes."
        )
    # What is added to a superposition is in all of its models, and never comes out again.
    if not theirs.isfinite().all():
        raise ValueError(
            f"store: '{name}' in the model holds numbers that are infinite or not a number; pass "
            "a model that has not diverged."
        )
