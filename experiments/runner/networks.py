"""The paper's networks."""

from itertools import pairwise

import torch
from torch import nn


def build_mlp(
    inputs: int, width: int, classes: int, seed: int, hidden_layers: int = 2
) -> nn.Sequential:
    """The paper's net: equal hidden layers, ReLU, Xavier-normal weights, zero biases.

    Args:
        inputs: Length of a sample.
        width: Units in each hidden layer.
        classes: How many logits.
        seed: Of the weights.
        hidden_layers: How many there are.

    Example:
        >>> from experiments.runner import build_mlp
        >>> [tuple(weight.shape) for weight in build_mlp(784, 256, 10, seed=0).parameters()]
        [(256, 784), (256,), (256, 256), (256,), (10, 256), (10,)]
    """
    sizes = [inputs, *[width] * hidden_layers]
    net = nn.Sequential()
    for size, larger in pairwise(sizes):
        net.extend([nn.Linear(size, larger), nn.ReLU()])
    net.append(nn.Linear(sizes[-1], classes))
    generator = torch.Generator().manual_seed(seed)
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
    return net
