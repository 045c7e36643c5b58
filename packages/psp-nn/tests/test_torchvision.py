import pytest
import torch
import torchvision
from torch import nn

from psp_contexts import BinaryContexts
from psp_nn import Superposed, superpose, use_context

NETWORKS = [
    "resnet18",
    "vgg11_bn",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "convnext_tiny",
    "vit_b_16",
    "swin_t",
]


def built(name):
    torch.manual_seed(0)
    size = {"image_size": 32} if name == "vit_b_16" else {}
    plain = getattr(torchvision.models, name)(num_classes=10, **size)
    net = superpose(plain, family=BinaryContexts, num_contexts=3, seed=0, base=False).eval()
    for module in net.modules():  # make every layer of an untrained network matter
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.stored())
    return plain, net


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_with_weights_is_superposed(name):
    plain, net = built(name)
    for path, module in plain.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.MultiheadAttention):
            assert isinstance(net.get_submodule(path), Superposed), path
    assert type(net) is type(plain)
    use_context(net, 2)
    net.train()(torch.randn(2, 3, 32, 32)).sum().backward()
    without = [path for path, value in net.named_parameters() if value.grad is None]
    assert not without


@pytest.mark.parametrize("name", NETWORKS)
def test_a_mixed_batch_equals_single_calls(name):
    _, net = built(name)
    x = torch.randn(3, 3, 32, 32)
    context = torch.tensor([2, 0, 2])
    with torch.no_grad():
        with use_context(net, context):
            mixed = net(x)
        for image, k, y in zip(x, context.tolist(), mixed, strict=True):
            with use_context(net, k):
                expected = net(image[None])[0]
            assert (y - expected).norm() < 1e-4 * expected.norm()
            with use_context(net, (k + 1) % 3):
                assert (net(image[None])[0] - expected).norm() > 1e-2 * expected.norm()
