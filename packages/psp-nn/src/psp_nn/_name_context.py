"""Names for the models of a superposition."""

from torch import Tensor, nn

from psp_nn._context_index import checked_layers, one_context


def name_context(net: nn.Module, context: int | str | Tensor, name: str) -> None:
    """Name the model in a context, so that the name stands for the index.

    `use_context`, `store`, `retrieve`, `remove`, `save` and `load` take names. `save` and the
    state dict keep them.

    Args:
        net: The superposition.
        context: Index of the model, or its present name, which is then replaced.
        name: The new name.

    Raises:
        IndexError, TypeError: As in `use_context`.
        ValueError: If nothing in `net` is superposed, or another model has that name.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import name_context, superpose, use_context
        >>> layer = torch.nn.Linear(4, 2)
        >>> net = superpose(layer, family=BinaryContexts, num_contexts=50, seed=0, base=False)
        >>> name_context(net, 7, "customer-7")
        >>> _ = use_context(net, "customer-7")
        >>> net.superposition.selection.index
        7
    """
    layers = checked_layers("name_context", "net", net)
    k = one_context("name_context", layers, context)
    record = layers[0].superposition.models
    if record.names.get(name, k) != k:
        raise ValueError(
            f"name_context: context {record.names[name]} has the name {name!r} already; give it "
            "another name first."
        )
    record.names = {other: j for other, j in record.names.items() if j != k}
    record.names[str.__str__(name)] = k  # not an int, which would read as an index
