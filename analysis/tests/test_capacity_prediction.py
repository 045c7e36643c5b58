import copy
import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from analysis.capacity import Retention, predict_retention
from analysis.capacity._amplification import Amplification, gains_of
from analysis.capacity._simulation import Simulation, superposed_weights, update_of
from analysis.capacity._sizes import UpdateSizes
from psp_contexts import (
    BinaryContexts,
    ComplexContexts,
    IdentityContexts,
    KroneckerRotationContexts,
    OnePowerContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
)
from psp_nn import superpose, use_context

FIXED = [
    BinaryContexts,
    ComplexContexts,
    KroneckerRotationContexts,
    OnePowerContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
]
DIM, CONSTRAINTS, OUT = 256, 2, 64


class LinearTasks:
    """A linear layer that learns tasks to the end, one after the other, each in its context."""

    def __init__(self, family, tasks, num_contexts=None):
        generator = torch.Generator().manual_seed(0)
        layer = nn.Linear(DIM, OUT, bias=False, dtype=torch.float64)
        nn.init.zeros_(layer.weight)
        self.net = superpose(
            layer, family=family, num_contexts=num_contexts or tasks, seed=0, base=False
        )
        draw = partial(torch.randn, generator=generator, dtype=torch.float64)
        self.inputs = [torch.linalg.qr(draw(DIM, CONSTRAINTS)).Q.T for _ in range(tasks)]
        self.targets = [nn.functional.normalize(draw(CONSTRAINTS, OUT)) for _ in range(tasks)]

    def learn(self, task):
        stored = self.net.stored()
        with torch.no_grad(), use_context(self.net, task):
            error = self.targets[task] - self.net(self.inputs[task])
            update = error.T @ self.inputs[task]  # the inputs are orthonormal
            stored += self.net.contexts_for().store(update, task)

    def score(self, net, task):
        """One minus the squared error, in units of the target's energy."""
        target = self.targets[task]
        error = (net(self.inputs[task]) - target).square().sum() / target.square().sum()
        return 1 - error.item()

    def states(self, count):
        states = []
        for task in range(count):
            self.learn(task)
            states.append(copy.deepcopy(self.net.state_dict()))
        return states


@pytest.mark.parametrize("family", [BinaryContexts, RotationContexts, SignedPermutationContexts])
def test_the_first_five_tasks_predict_the_forgetting_of_the_next_fifteen(family):
    tasks = LinearTasks(family, 20)
    retention = predict_retention(
        tasks.net, tasks.states(5), tasks.score, num_models=20, seed=0, draws=10
    )
    for task in range(5, 20):
        tasks.learn(task)
    measured = []
    for task in range(20):
        with use_context(tasks.net, task):
            measured.append(1 - tasks.score(tasks.net, task))
    lost = np.array(measured)[::-1]  # the last one was just learned
    expected = 1 - retention.accuracy()
    # Twenty tasks of two constraints in 256 dims: x = n d/p stays below 0.16, where a model's own
    # signal hardly decays, so that nearly all of the error is noise. Two inputs for each task leave
    # a standard error of about 10 % in the ratio.
    slope = (lost @ np.arange(20)) / (expected @ np.arange(20))
    assert slope == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("family", FIXED)
def test_a_prediction_depends_on_its_seed_and_leaves_the_network_alone(family):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(4, 8, 1, groups=2), nn.Flatten(), nn.Linear(24, 3))
    if family is ComplexContexts or family is OnePowerContexts:
        net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    if family is KroneckerRotationContexts:
        net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    net = superpose(net, family=family, num_contexts=4, seed=0, base=False)
    x, states = torch.randn(9, 4, 3), []
    for _ in range(4):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        states.append(copy.deepcopy(net.state_dict()))
    before = copy.deepcopy(net.state_dict())

    def evaluate(net, task):
        return net(x).sum().item()

    first, second, other = (
        predict_retention(net, states, evaluate, num_models=30, seed=seed, draws=2)
        for seed in (0, 0, 1)
    )
    assert first.curves.shape == (8, len(first.further))
    assert np.isfinite(first.curves).all()
    assert (first.curves == second.curves).all()
    assert (first.curves != other.curves).any()
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_thousands_of_models_take_few_tests():
    tasks = LinearTasks(BinaryContexts, 4)
    retention = predict_retention(
        tasks.net, tasks.states(4), tasks.score, num_models=5000, seed=0, draws=1
    )
    assert len(retention.accuracy()) == 5000
    assert len(retention.further) < 50
    assert 4 < retention.capacity(0.05).num_models < 5000


def retention(curve, matrix):
    curve = np.array(curve, dtype=float)
    curves, sizes = np.stack([curve, curve]), np.ones(len(curve))
    growth = np.ones((len(curve), 1))
    return Retention(tuple(range(len(curve))), curves, np.array(matrix), sizes, growth)


def test_lost_is_measured_as_far_as_models_were_trained():
    measured = [[0.9, np.nan], [0.7, 0.9]]
    prediction = retention([0.9, 0.8, 0.7, 0.6], measured)
    assert prediction.lost() == pytest.approx([0, 0.1, 0.1, 0.15])


def test_capacity_is_the_last_count_within_the_tolerance():
    prediction = retention([0.9, 0.9, 0.75, 0.6], [[0.9]])
    assert prediction.capacity(0.06).num_models == 3
    assert prediction.capacity(0.0).num_models == 2
    assert prediction.capacity(0.5).at_limit
    observed = retention([0.9, 0.9, 0.9], [[0.9, np.nan], [0.1, 0.9]])
    assert observed.capacity(0.1).observed
    assert observed.capacity(0.1).num_models == 1


def test_models_meet_updates_in_proportion_to_the_one_after_their_own():
    curve = np.array([1.0, 0.8, 0.6])  # a fifth is lost for every update of the size of the first
    sizes = np.array([4.0, 2.0, 1.0])
    curves, growth = np.stack([curve, curve]), np.ones((3, 2))
    prediction = Retention((0, 1, 2), curves, np.array([[1.0]]), sizes, growth)
    # The first model has met updates of 4 and 2, the first of which was as large as its next one.
    assert prediction.accuracy() == pytest.approx([1, 0.8, 0.7])
    mean, spread = prediction.mean_accuracy()
    assert mean == pytest.approx([1, (0.8 + 1) / 2, (0.7 + 0.8 + 1) / 3])
    assert spread == pytest.approx([0, 0, 0])


def test_updates_disturb_a_model_less_that_later_ones_have_amplified():
    curve = np.linspace(1, 0, 4)
    sizes, growth = np.ones(4), np.array([[1.0], [1.0], [2.0], [2.0]])
    prediction = Retention((0, 1, 2, 3), np.stack([curve, curve]), np.eye(1), sizes, growth)
    # The second update doubles what was stored and adds its own: a quarter of the energy, as has
    # the third. The first was doubled with the model.
    assert prediction.accuracy() == pytest.approx([1, 1 - 1 / 3, 1 - 1.25 / 3, 1 - 1.5 / 3])


@pytest.mark.parametrize("exponent", [0.0, -1.0, -2.0])
@pytest.mark.parametrize("growth", [0.01, 0.5])
def test_the_exponent_of_sizes_is_fitted_where_the_weights_grow(exponent, growth):
    net = superpose(nn.Linear(64, 64), family=BinaryContexts, num_contexts=9, seed=0, base=False)
    weights = superposed_weights(net)
    (name,) = weights
    generator, total = torch.Generator().manual_seed(0), 1.0
    states, updates = [{name: torch.ones(64, 64) / 64}], []
    for _ in range(7):
        update = torch.randn(64, 64, generator=generator)
        # At right angles to what is stored: energies add up.
        update -= (update * states[-1][name]).sum() / total * states[-1][name]
        update *= math.sqrt(growth * total**exponent) / update.norm()
        updates.append({name: update})
        states.append({name: states[-1][name] + update})
        total += growth * total**exponent
    sizes = UpdateSizes(weights, states, updates, num_models=30)
    if growth == 0.5:
        assert sizes.exponent == pytest.approx(exponent, abs=0.2)
        assert sizes.energies[7, 0] == pytest.approx(growth * total**exponent, rel=0.05)
    else:  # seven updates do not show it
        assert sizes.exponent == pytest.approx(-1, abs=0.1)
    steps = sizes.energies[:, 0]
    norms = 1 + np.concatenate([[0.0], steps.cumsum()])[:30]
    np.testing.assert_allclose(norms[8:] ** sizes.exponent, sizes.relative[8:], rtol=0.05)


def test_updates_that_have_grown_are_not_taken_to_grow_without_limit():
    net = superpose(nn.Linear(8, 8), family=BinaryContexts, num_contexts=9, seed=0, base=False)
    weights = superposed_weights(net)
    (name,) = weights
    updates = [{name: 3.0**k * torch.ones(8, 8)} for k in range(4)]
    states = [{name: torch.full((8, 8), (3.0**k + 1) / 2)} for k in range(5)]
    sizes = UpdateSizes(weights, states, updates, num_models=5000)
    assert sizes.exponent == 0
    assert np.isfinite(sizes.relative).all()


def test_a_frozen_layer_stays_as_it_is():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 3, bias=False))
    net = superpose(net, family=BinaryContexts, num_contexts=4, seed=0, base=False)
    frozen, x, states = net[0].stored().clone(), torch.randn(9, 8), []
    for _ in range(4):
        with torch.no_grad():
            net[1].stored().add_(0.1 * torch.randn(3, 8))
        states.append(copy.deepcopy(net.state_dict()))

    def evaluate(net, task):
        assert torch.equal(net[0].stored(), frozen)
        return net(x).sum().item()

    retention = predict_retention(net, states, evaluate, num_models=20, seed=0, draws=2)
    assert np.isfinite(retention.curves).all()
    assert retention.curves.std() > 0


def test_networks_whose_weights_all_stay_lose_nothing():
    net = superpose(nn.Linear(8, 3), family=BinaryContexts, num_contexts=4, seed=0, base=False)
    states = [copy.deepcopy(net.state_dict()) for _ in range(4)]
    retention = predict_retention(net, states, lambda net, task: 0.9, num_models=20, seed=0)
    assert retention.lost() == pytest.approx(0, abs=1e-12)
    assert retention.capacity(0.01).at_limit


def test_a_base_counts_among_the_weights_that_updates_are_added_to():
    torch.manual_seed(0)
    net = superpose(nn.Linear(32, 8), family=BinaryContexts, num_contexts=5, seed=0, base=True)
    weights, step = superposed_weights(net), 0.1 * torch.randn(8, 32)
    states = [{"weight": k * step} for k in range(1, 6)]
    sizes = UpdateSizes(weights, states, [{"weight": step}] * 4, num_models=20)
    total = (net.base().square().sum() + states[0]["weight"].square().sum()).item()
    assert sizes.relative[0] ** (1 / sizes.exponent) == pytest.approx(total)


def amplified(count, rate, mixing, noise=0.0):
    """States of a layer of 4 outputs that W → (1 + a + A) W + ΔW leaves, with a, A ∝ ‖W‖⁻⁴."""
    net = superpose(nn.Linear(256, 4), family=BinaryContexts, num_contexts=9, seed=0, base=False)
    weights, generator = superposed_weights(net), torch.Generator().manual_seed(0)
    states = [torch.randn(4, 256, generator=generator) / 16]
    for _ in range(count - 1):
        matrix = (rate * torch.eye(4) + mixing()) / states[-1].square().sum() ** 2
        update = noise * torch.randn(4, 256, generator=generator)
        states.append(states[-1] + matrix @ states[-1] + update)
    return weights, [{"weight": state} for state in states]


def amplification(weights, states, energies):
    gains = [gains_of(weights, *pair) for pair in itertools.pairwise(states)]
    return Amplification(weights, states, gains, energies)


def test_the_growth_of_weights_is_foreseen_from_the_first_updates():
    weights, states = amplified(30, 0.5, lambda: 0.0, noise=0.01)
    energies = np.full((30, 1), 4 * 256 * 0.01**2)
    growth = amplification(weights, states[:5], energies).growth
    assert growth[0] == 1
    # All states together: each holds those before it, amplified, and noise at right angles.
    true = [(state["weight"] * states[0]["weight"]).sum().item() for state in states]
    np.testing.assert_allclose(growth[:, 0], np.array(true) / true[0], rtol=0.03)
    assert growth[-1] > 1.2


def test_weights_that_decay_do_so_at_a_steady_rate_and_never_vanish():
    net = superpose(nn.Linear(64, 9), family=BinaryContexts, num_contexts=9, seed=0, base=False)
    weights, start = superposed_weights(net), torch.randn(9, 64)
    states = [{"weight": 0.9**k * start} for k in range(4)]
    growth = amplification(weights, states, np.zeros((2000, 1))).growth
    assert growth[:20, 0] == pytest.approx(0.9 ** np.arange(20), rel=1e-3)
    assert growth[-1] > 0


def test_mixing_is_what_all_updates_have_in_common():
    generator = torch.Generator().manual_seed(0)
    common = torch.tensor([[0.0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0], [-1, 0, 0, 0]])
    weights, states = amplified(6, 0.0, lambda: 0.1 * common, noise=0.002)
    common_part = amplification(weights, states, np.zeros((20, 1)))
    mixing = common_part.mixing["weight"] * states[-1]["weight"].square().sum() ** 2
    torch.testing.assert_close(mixing, 0.1 * common, atol=0.03, rtol=0)
    total = common_part.mixed["weight"][5] * common_part.mixing["weight"]
    change = torch.linalg.lstsq(states[0]["weight"].mT, states[5]["weight"].mT).solution.mT
    torch.testing.assert_close(total, change - torch.eye(4), atol=0.03, rtol=0)
    # Where every update mixes in its own way, little is left.
    own = [0.1 * torch.randn(4, 4, generator=generator) for _ in range(5)]
    weights, states = amplified(6, 0.0, iter(own).__next__)
    mixing = amplification(weights, states, np.zeros((20, 1))).mixing["weight"]
    assert (mixing * states[-1]["weight"].square().sum() ** 2).norm() < 0.3 * own[0].norm()


def test_a_base_and_outputs_with_contexts_are_not_amplified():
    for settings in ({"base": True, "two_sided": False}, {"base": True}):
        net = superpose(nn.Linear(32, 4), family=BinaryContexts, num_contexts=5, seed=0, **settings)
        weights, step = superposed_weights(net), 0.1 * torch.randn(4, 32)
        states = [{"weight": k * step} for k in range(1, 6)]
        common_part = amplification(weights, states, np.ones((20, 1)))
        assert (common_part.growth == 1).all()
        assert common_part.mixing == {}


def test_a_negative_tolerance_is_refused():
    with pytest.raises(ValueError, match=r"tolerance=-1 must be at least 0; pass 0\.01"):
        retention([0.9, 0.8], [[0.9]]).capacity(-1)


def test_too_few_states_are_refused():
    tasks = LinearTasks(BinaryContexts, 3)
    states = tasks.states(3)
    with pytest.raises(ValueError, match="after at least 3 models"):
        predict_retention(tasks.net, states[:2], tasks.score, num_models=9, seed=0)
    with pytest.raises(ValueError, match="at least as many models as states"):
        predict_retention(tasks.net, states, tasks.score, num_models=2, seed=0)


def test_networks_whose_updates_are_no_independent_noise_are_refused():
    shared = LinearTasks(IdentityContexts, 3)
    with pytest.raises(ValueError, match="another family than IdentityContexts"):
        predict_retention(shared.net, shared.states(3), shared.score, num_models=9, seed=0)
    learned = LinearTasks(partial(BinaryContexts, learned=True), 3)
    with pytest.raises(ValueError, match="are learned, and go where training leads"):
        predict_retention(learned.net, learned.states(3), learned.score, num_models=9, seed=0)
    plain = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="nothing in net is superposed"):
        predict_retention(plain, [plain.state_dict()] * 3, learned.score, num_models=9, seed=0)


@pytest.mark.parametrize("base", [False, True])
@pytest.mark.parametrize(
    "layer",
    [nn.Linear(6, 4), nn.Conv2d(4, 6, 3, groups=2), nn.LSTM(4, 3), nn.MultiheadAttention(6, 3)],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("family", [BinaryContexts, PermutationContexts, SignedPermutationContexts])
def test_an_update_is_read_as_its_model_sees_it(family, layer, base):
    torch.manual_seed(0)
    net = superpose(copy.deepcopy(layer), family=family, num_contexts=3, seed=0, base=base)
    weights = superposed_weights(net)
    before, updates = copy.deepcopy(net.state_dict()), {}
    for name, sides in weights.items():
        updates[name] = torch.randn_like(sides.weight.layer.stored(sides.weight.key))
        sides.weight.layer.add_to_model(sides.weight.key, 1, updates[name])
    seen = update_of(weights, before, net.state_dict(), 1, dict.fromkeys(weights, 0.0))
    torch.testing.assert_close(seen, updates)


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("family", FIXED)
def test_unused_contexts_leave_the_shared_part_and_turn_the_rest_into_noise(family, two_sided):
    torch.manual_seed(0)
    net = superpose(
        nn.Linear(9, 6), family=family, num_contexts=3, seed=0, base=True, two_sided=two_sided
    )
    (sides,) = superposed_weights(net).values()
    unused, update = sides.unused(200, (0,)), torch.randn_like(net.stored())
    torch.testing.assert_close(unused.retrieve(unused.store(update, 7), 7), update)
    reads = torch.stack([unused.retrieve(unused.store(update, k), 0) for k in range(1, 200)])
    shared = sides.shared_part(update)
    torch.testing.assert_close(
        sides.shared_part(reads[0]), shared.expand_as(sides.shared_part(reads[0]))
    )
    rest = (reads - shared).abs()
    assert (reads.mean(0) - shared).abs().square().mean() < 3 / 199 * rest.square().mean()


def test_the_first_five_models_over_a_trained_base_predict_the_next_fifteen():
    torch.manual_seed(0)
    count, dim, tasks = 300, 32, 20
    labels = torch.arange(2 * count) % 6
    x = torch.randn(6, dim)[labels] + 1.2 * torch.randn(2 * count, dim)
    orders = [torch.randperm(dim) for _ in range(tasks)]
    net = nn.Sequential(nn.Linear(dim, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU())
    net.append(nn.Linear(48, 6))

    def learn(order, steps):
        optimiser = torch.optim.RMSprop(net.parameters(), lr=2e-3)
        for _ in range(steps):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(x[:count, order]), labels[:count]).backward()
            optimiser.step()

    def score(net, task):
        right = net(x[count:, orders[task]]).argmax(-1) == labels[count:]
        return right.double().mean().item()

    learn(torch.arange(dim), 40)
    net = superpose(net, family=BinaryContexts, num_contexts=tasks, seed=0, base=True)
    assert net[0].output_contexts_for() is not None
    states, learned, kept = [], [], []
    for task in range(tasks):
        use_context(net, task)
        learn(orders[task], 20)
        learned.append(score(net, task))
        states.append(copy.deepcopy(net.state_dict()))
    for task in range(tasks):
        with use_context(net, task):
            kept.append(score(net, task))
    retention = predict_retention(net, states[:5], score, num_models=tasks, seed=0)
    lost = np.mean(learned) - np.mean(kept)
    assert lost > 0.05
    assert 1 / 1.5 < retention.lost()[-1] / lost < 1.5


def test_what_permutations_leave_in_place_drifts_as_the_model_met_it():
    torch.manual_seed(0)
    net = superpose(nn.Linear(9, 3), family=PermutationContexts, num_contexts=5, seed=0, base=False)
    weights = superposed_weights(net)
    rows = torch.randn(5, 3, 1).expand(-1, -1, 9)
    simulation = Simulation(weights, [{"weight": row.clone()} for row in rows], 100)
    noise, points = {"weight": torch.zeros(3, 9)}, simulation.further.index
    # Model, further models; the state whose means it meets, and how far they have drifted on.
    cases = [(0, 2, 2, 1), (0, 4, 4, 1), (1, 4, 4, 4 / 3), (4, 1, 3, 1), (4, 4, 1, 4 / 3)]
    for model, further, other, lag in cases:
        with torch.no_grad():
            simulation.apply(model, points(further), noise)
        expected = rows[model] + lag**0.25 * (rows[other] - rows[model])
        torch.testing.assert_close(net.stored(), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("zero", ["never", "first", "always"])
def test_a_head_that_starts_at_zero_or_stays_there_is_predicted(zero, dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3, bias=False)).to(dtype)
    net = superpose(net, family=BinaryContexts, num_contexts=5, seed=0, base=False)
    x, states = torch.randn(9, 16, dtype=dtype), []
    for model in range(5):
        with torch.no_grad():
            net[0].stored().add_(0.1 * torch.randn_like(net[0].stored()))
            net[2].stored().add_(0.1 * torch.randn_like(net[2].stored()))
            if zero == "always" or (zero == "first" and model == 0):
                net[2].stored().zero_()
        states.append(copy.deepcopy(net.state_dict()))

    def evaluate(net, task):
        return net(x).float().sum().item()

    retention = predict_retention(net, states, evaluate, num_models=50, seed=0, draws=2)
    assert np.isfinite(retention.curves).all()
    assert np.isfinite(retention.growth).all()
    assert 0.2 < retention.growth.min() <= retention.growth.max() < 5
    assert np.isfinite(retention.lost()).all()


def test_gains_that_fade_are_not_taken_to_grow_without_end():
    net = superpose(nn.Linear(64, 9), family=BinaryContexts, num_contexts=9, seed=0, base=False)
    weights, states = superposed_weights(net), [{"weight": torch.ones(9, 64)}]
    for gain in (0.15, 0.1, 0.05, -0.05):
        states.append({"weight": (1 + gain) * states[-1]["weight"]})
    assert amplification(weights, states, np.ones((200, 1))).growth.max() < 2


@pytest.mark.parametrize(
    "layer",
    [nn.ConvTranspose1d(4, 64, 3), nn.Conv1d(64, 4, 3), nn.Embedding(8, 64), nn.LSTM(64, 2)],
    ids=lambda layer: type(layer).__name__,
)
def test_only_linear_layers_mix_their_outputs(layer):
    net = superpose(copy.deepcopy(layer), family=BinaryContexts, num_contexts=4, seed=0, base=False)
    weights = superposed_weights(net)
    states = [
        {name: torch.randn_like(net.state_dict()[name]) for name in weights} for _ in range(4)
    ]
    assert amplification(weights, states, np.ones((9, len(weights)))).mixing == {}


def test_weights_that_decay_are_tested_as_far_as_noise_outgrows_them():
    curve = [0.9, 0.8, 0.7, 0.6]
    prediction = retention(curve, [[0.9]])
    decayed = Retention(
        (0, 1, 2, 3, 6),
        np.array([[*curve, 0.1]] * 2),
        prediction.matrix,
        prediction.sizes,
        np.array([[1.0], [1.0], [0.7], [0.5]]),
    )
    # After three updates: 1 + 1/0.49 + 1/0.25 times the energy of one, cut off at the last test.
    assert decayed.accuracy()[-1] == pytest.approx(0.1)
    assert decayed.accuracy().shape == (4,)
    assert decayed.lost()[-1] > 0.3

    class Decaying(LinearTasks):
        def learn(self, task):
            with torch.no_grad():
                self.net.stored().mul_(0.8)
            super().learn(task)

    tasks = Decaying(BinaryContexts, 5)
    further = predict_retention(
        tasks.net, tasks.states(5), tasks.score, num_models=9, seed=0, draws=1
    ).further
    assert further[-1] > 8
    assert 8 in further
