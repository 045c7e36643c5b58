"""Room for more models in a superposition."""

from operator import index

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._context_index import checked_layers
from psp_nn.layers.layer import Layer
from psp_nn.layers.resize import resize_contexts
from psp_nn.layers.superposed import base_name, contexts_name, output_contexts_name


@torch.no_grad()
def grow(net: nn.Module, num_contexts: int) -> None:
    """Make room for more models, in place, without changing one bit of those that are there.

    Contexts are drawn from seed, layer and index, so that those of the present models stay as
    they are. The tables of norms and biases per context get entries for the new models: copies of
    those of the base or, without a base, of the first model. Learned contexts get new rows. The
    weights stay as they are: a new context reads as the base plus noise or, without a base, as
    noise.

    Files and state dicts from before fit the larger network. They set the models that they hold,
    and leave the norms and biases of the others.

    Parameters stay the same objects, so that an optimiser keeps training them. But its state for
    a table with more entries has the old shape, and torch raises an error in its next step: make
    a new optimiser. Without tables, with one shared bias and no norms per context, or without
    momentum or other state, it works on.

    Args:
        net: The superposition, changed in place.
        num_contexts: Number of models to make room for, more than now.

    Raises:
        ValueError: If `num_contexts` is not larger than now, or a family draws other contexts for
            another count; nothing changes then.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import grow, superpose, use_context
        >>> layer = torch.nn.Linear(4, 2)
        >>> net = superpose(layer, family=BinaryContexts, num_contexts=50, seed=0, base=False)
        >>> before = net(torch.ones(4))
        >>> grow(net, 51)
        >>> torch.equal(net(torch.ones(4)), before)
        True
        >>> _ = use_context(net, 50)
    """
    layers = checked_layers("grow", "net", net)
    present = max(layer.superposition.num_contexts for layer in layers)
    if index(num_contexts) <= present:
        raise ValueError(
            f"grow: num_contexts must be more than the {present} that net has, but is "
            f"{num_contexts}; models cannot be taken away from the end."
        )
    grown = _grown_contexts(layers, index(num_contexts))
    done: set[int] = set()  # tied tables are one tensor
    for layer in layers:
        state = layer.superposition
        for name in state.superposed:
            for child in (contexts_name(name), output_contexts_name(name)):
                if child in layer._modules:
                    layer._modules[child] = grown[layer._modules[child]]
        for name in state.per_context:
            table = layer.table(name)
            assert table is not None
            if id(table) not in done:
                base = layer._buffers.get(base_name(name))
                entry = table[0] if base is None else base
                done.add(id(table))
                _extend(table, entry.expand(index(num_contexts) - len(table), *entry.shape))
    for layer in layers:
        layer.superposition.num_contexts = index(num_contexts)
        layer.select(layer.superposition.selection)


def _grown_contexts(layers: list[Layer], num_contexts: int) -> dict[nn.Module | None, Contexts]:
    """Return larger contexts in place of all that the layers have."""
    grown: dict[nn.Module | None, Contexts] = {}
    for layer in layers:
        for name in layer.superposition.superposed:
            for contexts in (layer.contexts_for(name), layer.output_contexts_for(name)):
                if contexts is None or contexts in grown:
                    continue
                per_model = contexts.num_contexts // layer.superposition.num_contexts
                try:
                    grown[contexts] = resize_contexts(contexts, num_contexts * per_model)
                except ValueError as error:
                    error.add_note(f"grow: '{name}' of layer '{layer.superposition.name}'.")
                    raise
    for old, new in grown.items():
        assert old is not None
        for name, parameter in old.named_parameters():
            start = new.get_parameter(name)
            _extend(parameter, start[len(parameter) :])
            new.register_parameter(name, parameter)
    return grown


def _extend(table: Tensor, rows: Tensor) -> None:
    """Add rows to a tensor, which stays the same object: an optimiser refers to it."""
    if len(rows):
        table.data = torch.cat([table.data, rows.to(table)])
        table.grad = None  # it has the old shape
