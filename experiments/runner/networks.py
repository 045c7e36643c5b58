"""The paper's networks."""

from itertools import pairwise

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet


def build_mlp(
    inputs: int, width: int, classes: int, seed: int, hidden_layers: int = 2
) -> nn.Sequential:
    """Build the paper's net: equal hidden layers, ReLU, Xavier-normal weights, zero biases.

    Args:
        inputs: Length of a sample.
        width: Units in each hidden layer.
        classes: Number of logits.
        seed: Seed of the weights.
        hidden_layers: Number of hidden layers.

    Example:
        >>> from experiments.runner.networks import build_mlp
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


def build_resnet18(width: int, classes: int, seed: int, channels: int = 3) -> ResNet:
    """Build torchvision's ResNet-18 for small images, with any width.

    As is usual for CIFAR, the first convolution is 3×3 with stride 1, without pooling after it.

    Args:
        width: Channels of the first stage, 64 in the paper; the later ones have 2, 4 and 8 times
            as many.
        classes: Number of logits.
        seed: Seed of the weights.
        channels: Channels of an image.

    Example:
        >>> from experiments.runner.networks import build_resnet18
        >>> for width in (64, 8):
        ...     net = build_resnet18(width, classes=10, seed=0)
        ...     print(net.fc, sum(value.numel() for value in net.parameters()))
        Linear(in_features=512, out_features=10, bias=True) 11173962
        Linear(in_features=64, out_features=10, bias=True) 176402
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with torch.device("meta"):  # every layer with weights is replaced below
            net = ResNet(BasicBlock, [2, 2, 2, 2])
        net.inplanes = width  # the state of torchvision's _make_layer
        net.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        net.bn1 = nn.BatchNorm2d(width)
        net.maxpool = nn.Identity()
        net.layer1 = net._make_layer(BasicBlock, width, 2)
        net.layer2 = net._make_layer(BasicBlock, 2 * width, 2, stride=2)
        net.layer3 = net._make_layer(BasicBlock, 4 * width, 2, stride=2)
        net.layer4 = net._make_layer(BasicBlock, 8 * width, 2, stride=2)
        net.fc = nn.Linear(8 * width, classes)
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):  # torchvision's initialisation
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return net
