import copy
from functools import partial

import pytest
import torch
from torch import nn

from psp_contexts import (
    BinaryContexts,
    ComplexContexts,
    LocalMixContexts,
    OnePowerContexts,
    RotationContexts,
)
from psp_nn import learn_contexts, superpose, use_context

X = torch.randn(64, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGET = X[:, :4].sin()


def train(net, parameters, k, steps=150):
    optimiser = torch.optim.Adam(parameters, lr=0.03)
    losses = []
    use_context(net, k)
    for _ in range(steps):
        loss = (net(X) - TARGET).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    "family", [BinaryContexts, ComplexContexts, OnePowerContexts, LocalMixContexts]
)
def test_learned_contexts_start_at_the_fixed_ones(family, mlp):
    net = superpose(mlp, family=family, num_contexts=5, seed=0, base=False).double()
    fixed = copy.deepcopy(net)
    learn_contexts(net)
    for k in (4, 1, torch.arange(64) % 5):
        use_context(net, k)
        use_context(fixed, k)
        torch.testing.assert_close(net(X), fixed(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", [BinaryContexts, ComplexContexts])
def test_a_new_model_is_learned_on_frozen_weights_and_leaves_the_others_alone(family, mlp):
    net = superpose(mlp, family=family, num_contexts=5, seed=0, base=False, bias_per_context=True)
    trainable = learn_contexts(net)
    weights = {name: value.clone() for name, value in net.named_parameters() if "weight" in name}
    before = []
    for k in range(4):
        use_context(net, k)
        before.append(net(X))
    losses = train(net, trainable, 4)
    assert losses[-1] < 0.7 * losses[0]
    for k in range(4):
        use_context(net, k)
        assert torch.equal(net(X), before[k])
    after = dict(net.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in weights.items())


def test_weights_and_contexts_are_learned_together(mlp):
    family = partial(BinaryContexts, learned=True)
    net = superpose(mlp, family=family, num_contexts=3, seed=0, base=False)
    before = net[0].contexts.learned_numbers.clone()
    losses = train(net, net.parameters(), 2)
    assert losses[-1] < losses[0] / 5
    changed = (net[0].contexts.learned_numbers != before).any(1)
    assert changed.tolist() == [False, False, True]


def test_contexts_that_are_not_diagonal_are_refused_by_the_layers_name(mlp):
    with pytest.raises(ValueError, match="layer '0' has RotationContexts, not diagonal ones"):
        learn_contexts(superpose(mlp, family=RotationContexts, num_contexts=2, seed=0, base=False))
    with pytest.raises(ValueError, match="nothing in this Linear is superposed"):
        learn_contexts(nn.Linear(2, 2))
