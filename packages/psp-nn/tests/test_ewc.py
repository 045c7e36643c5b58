import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from psp_contexts import ComplexContexts
from psp_nn import ElasticWeightConsolidation, fisher_diagonal, superpose


# A deadline would time the machine's other work, not the code.
@settings(deadline=None, derandomize=True, database=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_the_fisher_information_is_that_of_a_softmax_model(seed):
    torch.manual_seed(seed)
    net = nn.Linear(3, 4).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    p = net(x).softmax(-1)
    # The scores of logits are e_y - p, so that their Fisher information is diag(p) - p pᵀ.
    logits_information = p * (1 - p)
    fisher = fisher_diagonal(net, [x[:2], x[2:]], chunk=2)
    torch.testing.assert_close(fisher["bias"], logits_information.mean(0).detach())
    expected = (logits_information[:, :, None] * x[:, None, :].square()).mean(0)
    torch.testing.assert_close(fisher["weight"], expected.detach())


def test_the_penalty_is_the_quadratic_worked_out_by_hand():
    net = nn.Linear(1, 2, bias=False).double()
    net.weight.data.zero_()
    ewc = ElasticWeightConsolidation(net, strength=6.0)
    assert ewc.penalty() == 0
    ewc.consolidate([torch.tensor([[2.0]], dtype=torch.float64)])  # F = x² p (1 - p) = 1
    net.weight.data.copy_(torch.tensor([[3.0], [3.0]]))
    torch.testing.assert_close(ewc.penalty().item(), 6 / 2 * (9.0 + 9.0))
    ewc.consolidate([torch.tensor([[4.0]], dtype=torch.float64)])  # equal logits again: F = 4
    torch.testing.assert_close(ewc.penalty().item(), 6 / 2 * (9.0 + 9.0))
    net.weight.data.copy_(torch.tensor([[5.0], [0.0]]))
    expected = 6 / 2 * (1 * 25.0 + 4 * 4.0 + 4 * 9.0)
    torch.testing.assert_close(ewc.penalty().item(), expected)
    ewc.penalty().backward()
    torch.testing.assert_close(
        net.weight.grad, 6 * torch.tensor([[5.0 + 8.0], [-12.0]], dtype=torch.float64)
    )


def test_the_online_penalty_is_centred_at_the_parameters_after_the_last_task():
    net = nn.Linear(1, 2, bias=False).double()
    net.weight.data.zero_()
    ewc = ElasticWeightConsolidation(net, strength=6.0, online=True)
    ewc.consolidate([torch.tensor([[2.0]], dtype=torch.float64)])  # F = x² p (1 - p) = 1
    net.weight.data.copy_(torch.tensor([[3.0], [3.0]]))
    torch.testing.assert_close(ewc.penalty().item(), 6 / 2 * (9.0 + 9.0))
    ewc.consolidate([torch.tensor([[4.0]], dtype=torch.float64)])  # equal logits again: F = 4
    assert ewc.penalty() == 0
    net.weight.data.copy_(torch.tensor([[5.0], [0.0]]))
    torch.testing.assert_close(ewc.penalty().item(), 6 / 2 * (5 * 4.0 + 5 * 9.0))


def test_superposed_and_complex_networks_are_penalised(family, mlp):
    net = superpose(mlp, family=family, num_contexts=3, seed=0, base=False)
    ewc = ElasticWeightConsolidation(net, strength=1.0)
    ewc.consolidate([torch.randn(4, 12, dtype=torch.float64)])
    assert ewc.penalty() == 0
    with torch.no_grad():
        for value in net.parameters():
            value.add_(0.1)
    penalty = ewc.penalty()
    assert penalty > 0
    penalty.backward()
    assert all(value.grad is not None for value in net.parameters())


def test_the_fisher_information_of_a_complex_weight_is_that_of_its_parts():
    layer = superpose(
        nn.Linear(2, 3, bias=False).double(),
        family=ComplexContexts,
        num_contexts=1,
        seed=0,
        base=False,
    )
    x = torch.randn(1, 2, dtype=torch.float64)
    p = layer(x).softmax(-1).detach()[0]
    fisher = fisher_diagonal(layer, [x])["weight"]
    torch.testing.assert_close(fisher, (p * (1 - p))[:, None] * x.square())


def consolidated(tasks=2):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    ewc = ElasticWeightConsolidation(net, strength=2.0)
    for _ in range(tasks):
        ewc.consolidate([torch.randn(5, 3)])
        with torch.no_grad():
            for value in net.parameters():
                value.add_(0.1 * torch.randn(value.shape))
    return net, ewc


@pytest.mark.parametrize("tasks", [0, 2])
def test_a_penalty_resumes_exactly_from_a_state_in_a_file(tmp_path, tasks):
    net, ewc = consolidated(tasks)
    torch.save(ewc.state_dict(), tmp_path / "state")
    resumed = ElasticWeightConsolidation(net, strength=2.0)
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    x = torch.randn(5, 3)
    for penalty in (ewc, resumed):
        penalty.consolidate([x])
    net[0].weight.data.add_(1.0)
    torch.testing.assert_close(resumed.penalty(), ewc.penalty(), rtol=0, atol=0)


def test_a_state_is_a_copy_and_follows_the_dtype_of_the_network():
    net, ewc = consolidated()
    before, state = ewc.penalty(), ewc.state_dict()
    for values in (state["importance"], state["centre"]):
        for value in values.values():
            value.zero_()
    torch.testing.assert_close(ewc.penalty(), before, rtol=0, atol=0)
    state = ewc.state_dict()
    net.double()
    ewc.load_state_dict(state)
    assert ewc.penalty().dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("centre"), r"the state has .*, but must have .*'centre'"),
        (lambda s: s["importance"].update(other=torch.ones(1)), "only the state has 'other'"),
        (
            lambda s: s["centre"].pop("0.bias"),
            r"only the network has '0.bias' in state\['centre'\]",
        ),
        (
            lambda s: s["importance"].update({"0.bias": torch.ones(5)}),
            r"'0.bias' in state\['importance'\] is torch.float32 of shape \(5,\), but .* \(4,\)",
        ),
        (
            lambda s: s["centre"].update({"0.bias": torch.ones(4, dtype=torch.complex64)}),
            r"'0.bias' in state\['centre'\] is torch.complex64 .*, but in .* torch.float32",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(change, message):
    _, ewc = consolidated()
    before, state = ewc.penalty(), ewc.state_dict()
    change(state)
    with pytest.raises(ValueError, match=message):
        ewc.load_state_dict(state)
    torch.testing.assert_close(ewc.penalty(), before, rtol=0, atol=0)


def test_information_that_is_not_finite_is_refused():
    ewc = ElasticWeightConsolidation(nn.Linear(3, 2), strength=1.0)
    with pytest.raises(ValueError, match="Fisher information of 'weight' is not finite"):
        ewc.consolidate([torch.full((2, 3), torch.nan)])
    assert ewc.penalty() == 0


@pytest.mark.parametrize("online", [False, True])
def test_the_state_of_the_other_kind_is_refused(online):
    net = nn.Linear(3, 2)
    state = ElasticWeightConsolidation(net, strength=1.0, online=online).state_dict()
    other = ElasticWeightConsolidation(net, strength=1.0, online=not online)
    with pytest.raises(ValueError, match=rf"state\['online'\] is {online}"):
        other.load_state_dict(state)


@pytest.mark.parametrize("strength", [-1.0, float("nan"), float("inf")])
def test_a_strength_that_is_negative_or_not_finite_is_refused(strength):
    with pytest.raises(ValueError, match="strength must be finite and at least 0, but is"):
        ElasticWeightConsolidation(nn.Linear(3, 2), strength=strength)
