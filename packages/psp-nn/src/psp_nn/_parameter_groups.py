"""Parameter groups for optimisers with weight decay."""

from typing import Any

from torch import nn

from psp_nn._context_index import checked_layers


def parameter_groups(net: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Divide the parameters of a superposition into those with weight decay and those without.

    Norms, biases, heads and learned contexts with an entry for each model get no decay. An
    optimiser would apply it at each step to the entries of all models, so that those of models
    that are not trained would wear away. Other vectors, such as shared biases, get none either.

    Args:
        net: The result of `superpose`.
        weight_decay: Decay of all other parameters.

    Returns:
        Two groups, for the first argument of an optimiser: with and without decay.

    Raises:
        ValueError: If nothing in `net` is superposed.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import parameter_groups, superpose
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.LayerNorm(8))
        >>> net = superpose(net, family=BinaryContexts, num_contexts=50, seed=0, base=False)
        >>> optimiser = torch.optim.AdamW(parameter_groups(net, weight_decay=0.1), lr=1e-3)
        >>> [len(group["params"]) for group in optimiser.param_groups]
        [1, 3]
    """
    of_models: set[nn.Parameter] = set()
    for layer in checked_layers("parameter_groups", "net", net):
        state = layer.superposition
        tables = [layer._parameters.get(name) for name in state.per_context]
        of_models.update(table for table in tables if table is not None)
        for name in state.superposed:
            of_models.update(layer.contexts_for(name).parameters())
    with_decay: list[nn.Parameter] = []
    without: list[nn.Parameter] = []
    for parameter in net.parameters():
        decays = parameter.ndim >= 2 and parameter not in of_models
        (with_decay if decays else without).append(parameter)
    return [
        {"params": with_decay, "weight_decay": weight_decay},
        {"params": without, "weight_decay": 0.0},
    ]
