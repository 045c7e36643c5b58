"""One output layer for every task: the usual remedy for output interference."""

from collections.abc import Callable

import torch
from torch import nn

from psp_nn.layers.linear_per_context import LinearPerContext


def name_of_head(net: nn.Module) -> str:
    """Return the name of the last linear layer.

    Example:
        >>> import torch
        >>> from experiments.methods.multi_head import name_of_head
        >>> name_of_head(torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Linear(2, 2)))
        '1'
    """
    names: list[str] = [name for name, m in net.named_modules() if isinstance(m, nn.Linear)]
    return names[-1]


@torch.no_grad()
def draw_heads(net: nn.Module, build: Callable[[int], nn.Module]) -> None:
    """Start every head of a superposition as that of the network built for its task.

    Args:
        net: What `superpose(…, own=…)` returned, changed in place.
        build: Builds the network of a task.

    Example:
        >>> import torch
        >>> from experiments.methods.multi_head import draw_heads
        >>> from psp_contexts import IdentityContexts
        >>> from psp_nn import superpose
        >>> nets = [torch.nn.Sequential(torch.nn.Linear(4, 2)) for _ in range(3)]
        >>> options = {"num_contexts": 3, "seed": 0, "base": False, "include": (), "own": "0"}
        >>> net = superpose(nets[0], family=IdentityContexts, **options)
        >>> draw_heads(net, nets.__getitem__)
        >>> torch.equal(net[0].stored()[2], nets[2][0].weight)
        True
    """
    name = name_of_head(net)
    head = net.get_submodule(name)
    assert isinstance(head, LinearPerContext)
    for task in range(head.superposition.num_contexts):
        for key, value in build(task).get_submodule(name).named_parameters():
            head.set_entry(key, task, value)
