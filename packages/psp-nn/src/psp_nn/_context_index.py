"""Contexts given by an index or by the name of their model."""

from operator import index

from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from psp_nn.layers.layer import Layer


def unwrapped(net: nn.Module) -> nn.Module:
    """Return the network inside torch.compile, DataParallel, DDP and AveragedModel wrappers."""
    while True:
        if type(net).__name__ == "OptimizedModule":
            net = net.get_submodule("_orig_mod")
        elif isinstance(net, DataParallel | DistributedDataParallel | AveragedModel):
            net = net.get_submodule("module")
        else:
            return net


def superposed_layers(net: nn.Module) -> list[Layer]:
    """Return all superposed layers of a network, in its order."""
    return [module for module in net.modules() if isinstance(module, Layer)]


def is_part(net: nn.Module) -> bool:
    """Return True if a module is part of the network that `superpose` returned."""
    path, layer = next((path, m) for path, m in net.named_modules() if isinstance(m, Layer))
    return not path.endswith(layer.superposition.name)


def checked_layers(caller: str, argument: str, net: nn.Module) -> list[Layer]:
    """Return all superposed layers of an argument.

    Raises:
        ValueError: If it has none.
    """
    layers = superposed_layers(net)
    if not layers:
        raise ValueError(
            f"{caller}: nothing in this {type(net).__name__} is superposed; call superpose first "
            f"and pass its result as {argument}."
        )
    return layers


def num_contexts_of(layers: list[Layer]) -> int:
    """Return the number of models in a network."""
    return min(layer.superposition.num_contexts for layer in layers)


def one_context(caller: str, layers: list[Layer], context: int | str | Tensor) -> int:
    """Return the index of one context.

    Raises:
        IndexError: If there is no such context.
        TypeError: If a batch of contexts is given.
        ValueError: If no model has that name.
    """
    if isinstance(context, Tensor) and context.dim():
        raise TypeError(f"{caller} needs one context, but got shape {tuple(context.shape)}.")
    position = context_named(layers, context) if isinstance(context, str) else index(context)
    check_range(position, position, num_contexts_of(layers))
    return position


def context_named(layers: list[Layer], name: str) -> int:
    """Return the context of the model with a name.

    Raises:
        ValueError: If no model has that name.
    """
    names = layers[0].superposition.models.names
    if name not in names:
        known = ", ".join(map(repr, list(names)[:10])) + (", …" if len(names) > 10 else "")
        raise ValueError(
            f"context={name!r} is the name of no model; the names are {known or 'none yet'}, and "
            "name_context gives another one."
        )
    return names[name]


def check_range(low: int, high: int, num_contexts: int) -> None:
    """Raise an IndexError if contexts from `low` to `high` are not all in range."""
    if low >= 0 and high < num_contexts:
        return
    context = low if low < 0 else high
    remedy = (
        "negative indices do not count from the end."
        if context < 0
        else f"superpose the network with num_contexts={context + 1} or more to use it, or grow it."
    )
    raise IndexError(
        f"context={context} is not one of the {num_contexts} contexts 0..{num_contexts - 1}; "
        f"{remedy}"
    )
