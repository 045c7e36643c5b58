import torch
from torch import nn
from torch.nn import functional as F

from psp_contexts import BinaryContexts
from psp_nn import retrieve, superpose, use_context
from psp_nn.layers.linear import SuperposedLinear


class Scaled(nn.Linear):
    def forward(self, x, scale=2.0):
        return scale * F.linear(x, self.weight / self.weight.norm(), self.bias)


class Renamed(nn.Linear):
    pass


class Pair(nn.Linear):
    def forward(self, x, other):
        return F.linear(x + other, self.weight)


def built(layer):
    return superpose(layer, family=BinaryContexts, num_contexts=4, seed=0, base=False)


def test_a_subclass_keeps_its_own_forward_pass():
    plain = Scaled(4, 3)
    layer = built(plain)
    assert isinstance(layer, Scaled)
    assert isinstance(layer, SuperposedLinear)
    x, context = torch.randn(5, 4), torch.tensor([3, 0, 0, 1, 3])
    with use_context(layer, context):
        mixed = layer(x, scale=3.0)
    for k in range(4):
        use_context(layer, k)
        torch.testing.assert_close(mixed[context == k], layer(x, scale=3.0)[context == k])
        torch.testing.assert_close(retrieve(layer, k)(x, scale=3.0), layer(x, scale=3.0))
    assert type(retrieve(layer, 0)) is Scaled


def test_a_subclass_without_its_own_forward_uses_that_of_its_base():
    assert type(built(Renamed(4, 3))).forward is SuperposedLinear.forward


def test_a_forward_pass_of_several_tensors_mixes_contexts():
    layer = built(nn.Sequential(Pair(4, 3)))[0]
    x, z = torch.randn(2, 2, 4)
    with use_context(layer, torch.tensor([0, 1])):
        mixed = layer(x, z)
    use_context(layer, 1)
    torch.testing.assert_close(mixed[1], layer(x, z)[1])


def test_a_subclass_takes_its_input_by_name():
    layer = built(nn.Sequential(Scaled(4, 3)))[0]
    x = torch.randn(2, 4)
    torch.testing.assert_close(layer(scale=3.0, x=x), layer(x, 3.0))
    with use_context(layer, torch.tensor([0, 1])):
        torch.testing.assert_close(layer(scale=3.0, x=x), layer(x, 3.0))
