"""Making contexts trainable, together with the weights or alone."""

from torch import nn

from psp_contexts import Contexts, DiagonalContexts
from psp_nn._context_index import checked_layers


def learn_contexts(net: nn.Module) -> list[nn.Parameter]:
    """Make the contexts of a superposition trainable, starting at their present values.

    A training step with context k changes the parameters of model k alone, unless the family
    shares parameters between models. So a new model can be trained on frozen weights: give the
    optimiser what this function returns, and select an unused context. The other models do not
    change. To train weights and contexts together, give the optimiser all of `net.parameters()`.
    To learn contexts from the start, pass `family=functools.partial(BinaryContexts,
    learned=True)` to `superpose`.

    Args:
        net: The result of `superpose`, changed in place. Its outputs do not change.

    Returns:
        All parameters that belong to single models: those of the contexts, and the biases and
        norms per context.

    Raises:
        ValueError: If nothing in `net` is superposed, or its contexts are not diagonal.

    Source:
        The paper's section 5 leaves differentiable contexts open.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import learn_contexts, superpose, use_context
        >>> layer = torch.nn.Linear(4, 2)
        >>> layer = superpose(layer, family=BinaryContexts, num_contexts=3, seed=0, base=False)
        >>> (signs,) = learn_contexts(layer)
        >>> _ = use_context(layer, 2)
        >>> layer(torch.ones(4)).sum().backward()
        >>> signs.grad.abs().sum(1).nonzero().flatten().tolist()
        [2]
    """
    layers = checked_layers("learn_contexts", "net", net)
    learned: dict[Contexts, DiagonalContexts] = {}  # tied weights keep sharing their contexts
    for layer in layers:
        for name in layer.superposition.superposed:
            contexts = layer.contexts_for(name)
            if not isinstance(contexts, DiagonalContexts):
                kind, path = type(contexts).__name__, layer.superposition.name
                raise ValueError(f"learn_contexts: layer '{path}' has {kind}, not diagonal ones.")
            if contexts not in learned:
                learned[contexts] = _learned(contexts).to(layer.stored(name).device)
    trainable: dict[nn.Parameter, None] = {}
    for layer in layers:
        for name in layer.superposition.superposed:
            layer.replace_contexts(name, learned[layer.contexts_for(name)])
            trainable.update(dict.fromkeys(layer.contexts_for(name).parameters()))
        for name in layer.superposition.per_context:
            table = layer._parameters.get(name)
            if table is not None:
                trainable[table] = None
        layer.select(layer.superposition.selection)
    return list(trainable)


def _learned(contexts: DiagonalContexts) -> DiagonalContexts:
    """Return trainable contexts with the values of the given ones."""
    if contexts.learned:
        return contexts
    options = {key: value for key, value in contexts.spec().items() if key != "family"}
    return type(contexts)(**{**options, "learned": True})
