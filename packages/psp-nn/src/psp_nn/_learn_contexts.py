"""Training contexts along with the weights, or in place of them."""

from torch import nn

from psp_contexts import Contexts, DiagonalContexts
from psp_nn._use_context import checked_layers


def learn_contexts(net: nn.Module) -> list[nn.Parameter]:
    """Make the contexts of a superposition trainable, from where they are.

    A step with context k in use changes the numbers of model k alone, unless the family shares
    numbers between models. So a new model can be trained on frozen weights, with an optimiser of
    what this returns and an index that has not been used: the others stay as they are. To train
    weights and contexts together, give an optimiser all of `net.parameters()`. Contexts that are
    to be learned from the start can be had from `superpose`, too, with
    `family=functools.partial(BinaryContexts, learned=True)`.

    Args:
        net: What `superpose` returned, changed in place; it computes what it did before.

    Returns:
        Everything that belongs to single models: the numbers of the contexts, and the biases and
        norms per context.

    Raises:
        TypeError: If `net` is no network.
        ValueError: If nothing in `net` is superposed, or its contexts are not diagonal.

    Source:
        The paper's section 5 leaves differentiable contexts open.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import learn_contexts, superpose, use_context
        >>> layer = torch.nn.Linear(4, 2)
        >>> layer = superpose(layer, family=BinaryContexts, num_contexts=3, seed=0)
        >>> (numbers,) = learn_contexts(layer)
        >>> _ = use_context(layer, 2)
        >>> layer(torch.ones(4)).sum().backward()
        >>> numbers.grad.abs().sum(1).nonzero().flatten().tolist()
        [2]
    """
    layers = checked_layers("learn_contexts", "net", net)
    learned: dict[Contexts, DiagonalContexts] = {}  # tied weights keep sharing theirs
    for layer in layers:
        for name in layer.superposition.superposed:
            contexts = layer.contexts_for(name)
            if not isinstance(contexts, DiagonalContexts):
                raise ValueError(
                    f"learn_contexts: in net, the contexts of layer '{layer.superposition.name}' "
                    f"are {type(contexts).__name__}, which are not diagonal; superpose with "
                    "BinaryContexts or another diagonal family."
                )
            if contexts not in learned:
                options = {key: value for key, value in contexts.spec().items() if key != "family"}
                learned[contexts] = (
                    contexts
                    if contexts.learned
                    else type(contexts)(**{**options, "learned": True}).to(
                        layer.stored(name).device
                    )
                )
    own: dict[nn.Parameter, None] = {}
    for layer in layers:
        for name in layer.superposition.superposed:
            layer.replace_contexts(name, learned[layer.contexts_for(name)])
            own.update(dict.fromkeys(layer.contexts_for(name).parameters()))
        for name in layer.superposition.per_context:
            table = layer._parameters.get(name)
            if table is not None:
                own[table] = None
        layer.select(layer.superposition.selection)
    return list(own)
