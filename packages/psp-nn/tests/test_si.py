import pytest
import torch
from torch import nn
from torch.nn import functional as F

from psp_nn import SynapticIntelligence, superpose


def test_the_path_integral_adds_up_to_the_decrease_of_the_loss(family, mlp):
    net = superpose(mlp, family=family, num_contexts=3, seed=0, base=False)
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
    decrease = losses[0] - F.mse_loss(net(x), target).item()
    assert decrease > 0.05
    path = sum(value.sum().item() for value in intelligence.path_integral.values())
    assert path == pytest.approx(decrease, rel=0.01)


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


def trained(steps=3):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    intelligence = SynapticIntelligence(net, strength=0.5)
    for step in range(steps):
        train(net, intelligence)
        if step == 1:
            intelligence.consolidate()
    return net, intelligence


def train(net, intelligence):
    net.zero_grad()
    net(torch.ones(2, 3)).square().sum().backward()
    with intelligence.step():
        torch.optim.SGD(net.parameters(), lr=0.1).step()


def test_a_penalty_resumes_exactly_from_a_file_in_the_middle_of_a_task(tmp_path):
    net, intelligence = trained()
    torch.save([net.state_dict(), intelligence.state_dict()], tmp_path / "state")
    other, resumed = trained(0)
    parameters, state = torch.load(tmp_path / "state", weights_only=True)
    other.load_state_dict(parameters)
    resumed.load_state_dict(state)
    for pair in ((net, intelligence), (other, resumed)):
        train(*pair)
        pair[1].consolidate()
        train(*pair)
    torch.testing.assert_close(resumed.penalty(), intelligence.penalty(), rtol=0, atol=0)
    assert intelligence.penalty() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(least=0.0), "the state has .*'least'.*, but must have"),
        (lambda s: s["start"].pop("0.bias"), r"only the network has '0.bias' in state\['start'\]"),
        (
            lambda s: s["importance"].update({"0.bias": torch.ones(5)}),
            r"'0.bias' in state\['importance'\]",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(change, message):
    _, intelligence = trained()
    before, state = intelligence.state_dict(), intelligence.state_dict()
    change(state)
    with pytest.raises(ValueError, match=message):
        intelligence.load_state_dict(state)
    torch.testing.assert_close(intelligence.state_dict(), before, rtol=0, atol=0)


def test_a_step_that_fails_leaves_the_gradients_of_the_loss():
    net, intelligence = trained()
    net.zero_grad()
    net(torch.ones(2, 3)).sum().backward()
    before = [value.grad.clone() for value in net.parameters()]
    path = intelligence.state_dict()["path_integral"]
    with pytest.raises(ZeroDivisionError), intelligence.step():
        raise ZeroDivisionError
    torch.testing.assert_close([value.grad for value in net.parameters()], before)
    torch.testing.assert_close(intelligence.path_integral, path)


def test_a_parameter_that_requires_gradients_later_is_refused_by_name(mlp):
    mlp[0].requires_grad_(False)
    intelligence = SynapticIntelligence(mlp, strength=1.0)
    mlp[0].requires_grad_(True)
    with pytest.raises(ValueError, match=r"'0\.weight' requires gradients, but did not"):
        intelligence.penalty()


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("argument", ["strength", "damping"])
def test_a_strength_or_damping_out_of_range_is_refused(argument, value):
    with pytest.raises(ValueError, match=f"{argument} must be finite and .*, but is {value}"):
        SynapticIntelligence(nn.Linear(3, 2), **{"strength": 1.0, argument: value})


def test_a_damping_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"damping must be finite and positive, but is 0\.0"):
        SynapticIntelligence(nn.Linear(3, 2), strength=1.0, damping=0.0)
