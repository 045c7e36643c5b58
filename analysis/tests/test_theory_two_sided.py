"""Contexts on both sides of a difference: every choice of them, and a trained network."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from analysis.theory import profile_costs, second_moment, transmitted_moment
from psp_contexts import (
    BinaryContexts,
    IdentityContexts,
    PermutationContexts,
    SignedPermutationContexts,
)
from psp_nn import store, superpose, use_context


def orders(size):
    permutations = torch.tensor(list(itertools.permutations(range(size))))
    return torch.eye(size, dtype=torch.float64)[permutations]


def signs(size):
    choices = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=size)))
    return torch.diag_embed(choices.double())


@pytest.mark.parametrize(
    ("family", "matrices"),
    [
        (IdentityContexts, torch.eye(3, dtype=torch.float64)[None]),
        (BinaryContexts, signs(3)),
        (PermutationContexts, orders(3)),
        (SignedPermutationContexts, (signs(3)[:, None] @ orders(3)).flatten(0, 1)),
    ],
)
@pytest.mark.parametrize("out", [1, 2, 4])
@pytest.mark.parametrize("two_sided", [True, False])
def test_the_moment_is_the_mean_over_every_choice_of_contexts(family, matrices, out, two_sided):
    generator = torch.Generator().manual_seed(0)
    difference = torch.randn(out, 3, generator=generator, dtype=torch.float64) + 0.5
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64) + 0.5
    readout = torch.randn(5, out, generator=generator, dtype=torch.float64) + 0.5
    permutations = orders(out) if two_sided else torch.eye(out, dtype=torch.float64)[None]
    values = torch.einsum("no,poi,ij,ujk,nk->pun", readout, permutations, difference, matrices, x)
    expected = values.square().mean((0, 1))
    actual = transmitted_moment(family, difference, x, readout, two_sided=two_sided)
    torch.testing.assert_close(actual, expected)


def test_profiles_cost_what_they_make_of_the_moments():
    generator = torch.Generator().manual_seed(0)
    difference = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    x = torch.randn(8, generator=generator, dtype=torch.float64)
    readout = torch.randn(6, generator=generator, dtype=torch.float64)
    readout -= readout.mean()
    difference -= difference.mean(0)
    costs = profile_costs(difference, x, readout)
    power = second_moment(BinaryContexts, difference, x).sum()
    rotated = second_moment(SignedPermutationContexts, difference, x).sum()
    torch.testing.assert_close(costs.columns, power / rotated)
    one_sided, two_sided = (
        transmitted_moment(SignedPermutationContexts, difference, x, readout, two_sided=sides)
        for sides in (False, True)
    )
    # Centred rows and readouts lose one degree of freedom.
    torch.testing.assert_close(costs.rows, one_sided / two_sided * 6 / 5)


@pytest.mark.usefixtures("without_shape_annotations")
def test_a_readout_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"one entry for each of the 4 rows.*shape \(3,\)"):
        transmitted_moment(
            BinaryContexts, torch.ones(4, 2), torch.ones(2), torch.ones(3), two_sided=True
        )


def trained(net, x, labels, steps, rate):
    optimiser = torch.optim.RMSprop(net.parameters(), lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        F.cross_entropy(net(x), labels).backward()
        optimiser.step()
    return net


def logit_noise(base, models, x, two_sided):
    """Return the mean power that stored models add to the logits of an empty context."""
    noise = []
    for seed in range(8):
        net = superpose(
            base,
            family=BinaryContexts,
            num_contexts=len(models) + 1,
            seed=seed,
            base=True,
            two_sided=two_sided,
            bias_per_context=True,
            include="0",
        )
        for k, model in enumerate(models):
            store(net, k, model)
        with use_context(net, len(models)), torch.no_grad():
            noise.append((net(x) - base(x)).square().sum(1).mean())
    return torch.stack(noise).mean()


def test_permuted_outputs_lower_the_noise_of_models_from_a_trained_base():
    torch.manual_seed(0)
    centres = torch.rand(10, 64)
    labels = torch.arange(400) % 10
    x = (centres[labels] + 0.3 * torch.randn(400, 64)).relu()
    base = trained(
        nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)), x, labels, 100, 1e-3
    )
    models = []
    for task in range(4):
        model = copy.deepcopy(base)
        model[2].requires_grad_(False)  # the difference is one layer's
        models.append(trained(model, x, labels[torch.arange(400) - 1 - task], 30, 1e-4))
    one_sided, two_sided = (logit_noise(base, models, x, sides) for sides in (False, "0"))
    predicted = {}
    hidden = base[0](x)
    readout = base[2].weight[None] * (hidden > 0)[:, None]  # gradients of the logits
    for sides in (False, True):
        predicted[sides] = sum(
            transmitted_moment(
                BinaryContexts,
                (model[0].weight - base[0].weight).detach(),
                x[:, None],
                readout.detach(),
                two_sided=sides,
            )
            .sum(1)
            .mean()
            for model in models
        )
    assert two_sided < 0.2 * one_sided
    assert float(one_sided / predicted[False]) == pytest.approx(1, rel=0.3)
    assert float(two_sided / predicted[True]) == pytest.approx(1, rel=0.3)
