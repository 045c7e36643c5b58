import pytest
import torch
from torch import nn
from torch.nn import functional as F

from psp_nn import SynapticIntelligence, superpose


def test_the_path_integral_adds_up_to_the_decrease_of_the_loss(family, mlp):
    net = superpose(mlp, contexts=family, num_contexts=3, seed=0)
    optimiser = torch.optim.SGD(net.parameters(), lr=2e-3)
    intelligence = SynapticIntelligence(net, strength=1.0)
    x = torch.randn(20, 12, dtype=torch.float64)
    target = torch.randn(20, 4, dtype=torch.float64)
    losses = []
    for _ in range(300):
        loss = F.mse_loss(net(x), target)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        with intelligence.step():
            optimiser.step()
    fallen = losses[0] - F.mse_loss(net(x), target).item()
    assert fallen > 0.05
    path = sum(value.sum().item() for value in intelligence.path_integral.values())
    assert path == pytest.approx(fallen, rel=0.01)


def test_the_penalty_is_the_quadratic_worked_out_by_hand():
    net = nn.Linear(1, 1, bias=False).double()
    net.weight.data.fill_(1.0)
    intelligence = SynapticIntelligence(net, strength=0.5, damping=0.25)
    net.weight.grad = torch.full((1, 1), 3.0, dtype=torch.float64)
    with intelligence.step():
        net.weight.data.fill_(0.5)  # ω = 3 · 0.5
    torch.testing.assert_close(intelligence.path_integral["weight"].item(), 1.5)
    intelligence.consolidate()  # Ω = 1.5 / (0.5² + 0.25) = 3
    assert intelligence.penalty() == 0
    net.weight.data.fill_(2.5)
    torch.testing.assert_close(intelligence.penalty().item(), 0.5 * 3 * 4.0)
    intelligence.penalty().backward()  # the gradient of the loss was 3, and 2 c Ω Δ = 6 is added
    torch.testing.assert_close(net.weight.grad.item(), 9.0)
    net.weight.grad.fill_(3.0)
    with intelligence.step():
        torch.testing.assert_close(net.weight.grad.item(), 9.0)
        net.weight.data.sub_(1.0)
    torch.testing.assert_close(intelligence.path_integral["weight"].item(), 3.0)


def test_parameters_without_gradients_are_left_alone(mlp):
    mlp[0].requires_grad_(False)
    intelligence = SynapticIntelligence(mlp, strength=1.0)
    mlp[2](torch.randn(1, 16, dtype=torch.float64)).sum().backward()
    with intelligence.step():
        pass
    intelligence.consolidate()
    assert "0.weight" not in intelligence.importance
