"""The rivals of superposition: each against its paper's definition, resumed, and its bytes."""

import sys
from math import ceil

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn
from torch.func import functional_call

from experiments.methods.adapters import ADAPTER
from experiments.methods.bit_delta import BitDelta, compress, restore
from experiments.methods.gating import Gate
from experiments.methods.method import METHODS
from experiments.methods.sup_sup import Supermask
from experiments.runner.added import num_bytes
from experiments.runner.networks import build_mlp, build_resnet18
from experiments.runner.optimiser import rmsprop
from experiments.runner.trainer import train
from experiments.studies.permuting import price_figure
from experiments.studies.permuting.presets import PRESETS, SEEDS
from experiments.studies.permuting.price import BASED, DIGITS, MNIST, SEARCH_SEED
from experiments.studies.permuting.price_figure import draw_price, price_table
from experiments.studies.permuting.run import PermutingRun, learner_of
from experiments.studies.permuting.study import STUDY
from experiments.studies.permuting.summary import result_of
from experiments.tests.small import ROOT, record_of, skip_without_peft, stop_and_resume
from psp_contexts import BinaryContexts
from psp_data import PermutingStream, load
from psp_nn import Norms, superpose_models, use_context

RIVALS = [name for name, method in METHODS.items() if method.rival]
ADAPTERS = ["LoRA-4", "IA3"]
WIDTH, TASKS = 16, 3
WEIGHTS = 64 * WIDTH + WIDTH * WIDTH + WIDTH * 10
UNITS = 64 + WIDTH + WIDTH
BIASES = 2 * WIDTH + 10


def small(method, **changes):
    strength = 0.3 if METHODS[method].penalty else None
    recipe = {"dataset": "digits", "tasks": TASKS, "steps": 40, "learning_rate": 3e-3}
    recipe |= {"width": WIDTH, "curve_every": 20, "batch": 32, "strength": strength}
    return PermutingRun(method=METHODS[method], **recipe | changes)


def learner(method, **changes):
    skip_without_peft(method)
    return learner_of(small(method, **changes), classes=10)


def stream(steps=10):
    return PermutingStream(load("digits"), TASKS, seed=0, batch_size=32, steps_per_task=steps)


def trained(method, steps=10, observe=lambda done, loss: None):
    """Return a learner after three tasks, and the state of the network after the first."""
    made = learner(method)
    base = {}

    def keep_base(done, loss):
        if done == steps:
            base.update({n: v.clone() for n, v in made.net.state_dict().items()})
        observe(done, loss)

    tasks = stream(steps)
    train(made, tasks, {}, num_steps=TASKS * steps, every=steps, observe=keep_base)
    return made, base


@pytest.mark.parametrize("method", RIVALS)
def test_a_stopped_rival_ends_with_the_same_record(method, tmp_path, monkeypatch):
    skip_without_peft(method)
    run = small(method)
    whole = record_of(STUDY, run, tmp_path)
    for done in (20, 60, 80):  # in the first task, in a later one, and between two
        folder = tmp_path / str(done)
        folder.mkdir()
        resumed = stop_and_resume(STUDY, run, folder, monkeypatch, done / 120)
        assert resumed["resumed_at"] == [done]
        for part in ("numbers", "bytes_per_added_model", "curve", "rows", "final"):
            assert resumed[part] == whole[part]
    if learner(method).forgets_nothing:
        first, second, third = whole["rows"]["correct"]
        assert third[:1] == second[:1] == first
        assert third[:2] == second


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("single", 4 * (WEIGHTS + BIASES)),
        ("fine-tuned", 4 * (WEIGHTS + BIASES)),
        ("BitDelta", WEIGHTS // 8 + 3 * 4 + 4 * BIASES),
        ("SupSup", WEIGHTS // 8),
        ("LoRA-4", 4 * 4 * (64 + WIDTH + WIDTH + WIDTH + WIDTH + 10)),
        ("IA3", 4 * UNITS),
        ("offline-Binary", 4 * BIASES),
        ("LearnedBinary", 4 * UNITS),
        *((method, 0) for method in ("standard", "Binary", "Rotation", "EWC", "XdG", "XdG-SI")),
        *((method, 0) for method in ("base-Complex", "base-two-sided-SignedPermutation")),
    ],
)
def test_bytes_per_added_model_are_those_of_what_is_saved(method, expected):
    made = learner(method)
    assert num_bytes(made.added_tensors()) == expected


def test_norms_and_heads_of_a_model_are_bytes():
    def added(method, norms):
        made = METHODS[method].learner(
            lambda seed: build_resnet18(4, 10, seed),
            num_contexts=3,
            seed=0,
            learning_rate=1e-3,
            norms=norms,
        )
        return num_bytes(made.added_tensors())

    units = sum(m.num_features for m in build_resnet18(4, 10, 0).modules() if hasattr(m, "eps"))
    assert added("Binary", Norms.PER_CONTEXT) == 4 * 4 * units
    assert added("multi-head", Norms.SHARED) == 4 * (32 * 10 + 10)


@pytest.mark.parametrize("method", ADAPTERS)
def test_an_adapter_is_its_papers_change_of_the_weights(method):
    made, base = trained(method)
    plain = build_mlp(64, WIDTH, 10, seed=0)
    dense = {}
    for name, value in plain.named_parameters():
        layer, part = name.split(".")
        stored = base[f"{layer}.base_layer.{part}"]
        adapted = made.net[int(layer)]
        assert torch.equal(adapted.base_layer.get_parameter(part), stored)  # the base is frozen
        if part == "weight" and method == "IA3":
            stored = stored * adapted.ia3_l[ADAPTER]
        elif part == "weight":
            stored = stored + adapted.lora_B[ADAPTER].weight @ adapted.lora_A[ADAPTER].weight
            assert adapted.scaling[ADAPTER] == 1
        assert stored.shape == value.shape
        dense[name] = stored
    samples, _ = stream().test_set(2)
    expected = functional_call(plain, dense, samples)
    torch.testing.assert_close(made.net(samples), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ADAPTERS)
def test_an_adapter_starts_as_the_network_of_the_first_task(method):
    made, base = trained(method)
    samples, _ = stream().test_set(1)
    made.begin_task(2)
    plain = build_mlp(64, WIDTH, 10, seed=0)
    dense = {name: base[name.replace(".", ".base_layer.")] for name in plain.state_dict()}
    assert torch.equal(made.net(samples), functional_call(plain, dense, samples))
    assert {n for n, v in made.net.named_parameters() if v.requires_grad} == set(
        made.added_tensors()
    )


def test_bit_delta_keeps_signs_and_mean_absolute_differences():
    generator = torch.Generator().manual_seed(0)
    base = {"a.weight": torch.randn(5, 7, generator=generator), "a.bias": torch.zeros(5)}
    tuned = {
        name: value + torch.randn(value.shape, generator=generator) for name, value in base.items()
    }
    saved = compress(base, tuned)
    difference = tuned["a.weight"] - base["a.weight"]
    expected = base["a.weight"] + difference.abs().mean() * difference.sign()
    assert torch.equal(restore(base, saved)["a.weight"], expected)
    assert torch.equal(restore(base, saved)["a.bias"], tuned["a.bias"])
    assert num_bytes(saved) == ceil(35 / 8) + 4 + 4 * 5


def test_distilled_scales_bring_the_logits_nearer_to_those_of_the_fine_tuned_network(monkeypatch):
    tuned, errors = [], []
    keep = BitDelta.keep

    def watch(made, tasks, done):
        network = {name: value.clone() for name, value in made.net.state_dict().items()}
        samples, _ = tasks.test_set(tasks.task(done - 1))
        target = functional_call(made.net, network, samples)
        plain = functional_call(made.net, restore(made.base, compress(made.base, network)), samples)
        keep(made, tasks, done)
        errors.append([(logits - target).square().mean() for logits in (plain, made.net(samples))])
        tuned.append(network)

    monkeypatch.setattr(BitDelta, "keep", watch)
    made, _ = trained("BitDelta", steps=60)
    assert len(errors) == TASKS - 1
    for plain, distilled in errors:
        assert distilled < plain
    for name, value in made.net.state_dict().items():
        change = value - made.base[name]
        if value.ndim > 1:  # one magnitude, and the signs of the fine-tuned network
            torch.testing.assert_close(change.abs(), change.abs().mean().expand_as(change))
            assert torch.equal(change > 0, tuned[-1][name] >= made.base[name])
        else:
            assert torch.equal(value, tuned[-1][name])


def test_a_supermask_passes_the_gradient_of_the_masked_weight():
    mask = Supermask(torch.Size([2, 3]))
    with torch.no_grad():
        mask.scores.copy_(torch.tensor([[0.1, -0.1, 0.0], [-2.0, 3.0, -0.01]]))
    weight = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    masked = mask(weight)
    assert masked.tolist() == [[1, 0, 3], [0, 5, 0]]
    (2 * masked).sum().backward()
    assert torch.equal(mask.scores.grad, 2 * weight)


def test_sup_sup_trains_masks_over_fixed_signed_constants():
    made, base = trained("SupSup")
    initial = build_mlp(64, WIDTH, 10, seed=0)
    dense = {}
    for name, value in initial.named_parameters():
        layer, part = name.split(".")
        if part == "bias":
            dense[name] = torch.zeros_like(value)
            continue
        parametrization = made.net[int(layer)].parametrizations.weight
        fixed = value.sign() * (2 / value.shape[1]) ** 0.5
        assert torch.equal(parametrization.original, fixed)
        scores = parametrization[0].scores
        assert 0.3 < (scores >= 0).float().mean() < 0.7
        assert not torch.equal(scores, base[f"{layer}.parametrizations.weight.0.scores"])
        dense[name] = torch.where(scores >= 0, fixed, 0.0)
    samples, _ = stream().test_set(2)
    expected = functional_call(initial, dense, samples)
    torch.testing.assert_close(made.net(samples), expected)


def test_gates_switch_four_in_five_units_off_and_their_weights_stay():
    made = learner("XdG", width=400)
    gates = [module for module in made.net if isinstance(module, Gate)]
    assert [gate.open.shape for gate in gates] == [(TASKS, 400)] * 2
    assert 0.17 < torch.cat([gate.open for gate in gates]).mean() < 0.23
    assert not torch.equal(gates[0].open[0], gates[0].open[1])
    before = [layer.weight.clone() for layer in made.net if isinstance(layer, nn.Linear)]
    made.use(1)
    made.step(*stream().train_batch(10))
    after = [layer.weight for layer in made.net if isinstance(layer, nn.Linear)]
    first, second = (gate.open[1].bool() for gate in gates)
    moved = [old != new for old, new in zip(before, after, strict=True)]
    assert not moved[0][~first].any()
    assert moved[0][first].any(1).float().mean() > 0.8  # the others are dead in this batch
    assert not moved[1][~second].any()
    assert not moved[1][:, ~first].any()
    assert not moved[2][:, ~second].any()


def test_a_mixed_batch_of_gated_samples_counts_as_single_contexts_do():
    made, _ = trained("XdG")
    samples, labels = stream().test_set(0)
    context = torch.arange(len(labels)) % TASKS
    parts = [
        made.count_correct(samples[context == k], labels[context == k], k) for k in range(TASKS)
    ]
    assert made.count_correct(samples, labels, context) == sum(parts)
    gates = [module for module in made.net if isinstance(module, Gate)]
    assert {gate.context for gate in gates} == {TASKS - 1}


def test_gates_need_an_mlp():
    with pytest.raises(TypeError, match="gates the units of a Sequential, not of ResNet"):
        METHODS["XdG"].learner(
            lambda seed: build_resnet18(2, 10, seed), num_contexts=2, seed=0, learning_rate=1e-3
        )


def test_networks_superposed_offline_are_those_fine_tuned_apart():
    apart = []

    def observe(done, loss):
        apart.append(build_mlp(64, WIDTH, 10, seed=0))
        apart[-1].load_state_dict(made.net.state_dict())

    made = learner("offline-Binary")
    train(made, stream(), {}, num_steps=TASKS * 10, every=10, observe=observe)
    together = superpose_models(apart, family=BinaryContexts, seed=0, base=apart[0]).net
    for (name, ours), theirs in zip(
        made.state_dict()["together"].items(), together.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, msg=name)
    alone, _ = trained("fine-tuned")
    for ours, theirs in zip(made.net.parameters(), alone.net.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    samples, labels = stream().test_set(1)
    with torch.no_grad(), use_context(together, 1):
        expected = int((together(samples).argmax(-1) == labels).sum())
    assert made.count_correct(samples, labels, 1) == expected


@pytest.mark.parametrize("method", ["fine-tuned", "BitDelta", "offline-Binary", *ADAPTERS])
def test_later_tasks_start_with_a_learning_rate_and_an_optimiser_of_their_own(method):
    made = learner(method, later_learning_rate=1e-5)
    optimisers = []
    train(
        made,
        stream(),
        {},
        num_steps=TASKS * 10,
        every=10,
        observe=lambda done, loss: optimisers.append(made.optimiser),
    )
    rates = [{group["lr"] for group in optimiser.param_groups} for optimiser in optimisers]
    assert rates == [{3e-3}, {1e-5}, {1e-5}]
    assert len(set(map(id, optimisers))) == TASKS


def test_a_missing_peft_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match="LoRA-4 needs the package peft, which is not installed"):
        learner_of(small("LoRA-4"), classes=10)


@pytest.mark.parametrize(("name", "comparison"), [("", MNIST), ("-digits", DIGITS)])
def test_learning_rates_are_those_that_the_search_found_best(name, comparison):
    records, _ = STUDY.records_of(f"price{name}-search", ROOT / "experiments" / "results")
    best = {}
    for record in records:
        config, accuracy = record["config"], result_of(record).all
        if accuracy > best.get(config["method"], (0, None))[0]:
            best[config["method"]] = (accuracy, config)
    for method, (_, config) in best.items():
        based = METHODS[method].has_base
        rate = config["later_learning_rate"] if based else config["learning_rate"]
        assert comparison.rates[method] == rate, method
        if METHODS[method].penalty:
            assert config["strength"] == comparison.strength


def test_the_presets_on_the_price_are_complete():
    recipe = {(r.dataset, r.tasks, r.steps, r.batch, r.width) for r in PRESETS["price"]}
    assert recipe == {("mnist", 50, 1000, 128, 256)}
    methods = {str(run.method) for run in PRESETS["price"]}
    assert {*RIVALS, *map(str, BASED)} < methods
    assert len(PRESETS["price"]) == len(SEEDS) * len(methods)
    assert set(PRESETS["figure-3"]) < set(PRESETS["price"])
    for name in ("price-search", "price-digits-search"):
        assert {run.seed for run in PRESETS[name]} == {SEARCH_SEED}
        searched = {str(run.method) for run in PRESETS[name]}
        assert {*RIVALS} - {"offline-SignedPermutation"} <= searched
    assert {run.dataset for run in PRESETS["price-digits"]} == {"digits"}


def test_the_price_is_drawn_and_tabled_from_records(tmp_path, monkeypatch):
    methods = ("Binary", "LearnedBinary", "single", "XdG", "base-Binary", "SupSup")
    runs = [small(m, seed=seed) for m in methods for seed in (0, 1)]
    records = [record_of(STUDY, run, tmp_path) for run in runs]
    rows = [row.split(" | ") for row in price_table(records).splitlines()[2:]]
    assert {row[0] for row in rows[:3]} == {"| Binary", "| XdG", "| base-Binary"}
    assert [row[:2] for row in rows[3:]] == [
        ["| SupSup", f"{WEIGHTS // 8}"],
        ["| LearnedBinary", f"{4 * UNITS}"],
        ["| single", f"{4 * (WEIGHTS + BIASES):,}"],
    ]
    for record in records:  # as before there was the field
        record.pop("bytes_per_added_model")
    assert [row.split(" | ") for row in price_table(records).splitlines()[2:]] == rows
    figures = []
    monkeypatch.setattr(price_figure, "save_figure", lambda figure, _: figures.append(figure))
    draw_price(records, tmp_path)
    free, paid = figures[0].axes
    assert {text.get_text() for text in free.texts} == {"Binary", "XdG", "base-Binary"}
    assert {text.get_text() for text in paid.texts} == {"SupSup", "LearnedBinary", "single"}
    assert paid.get_xscale() == "log"
    plt.close(figures[0])
    assert draw_price([], tmp_path) == []


class Pixels:
    """A stream of vectors, as one of images."""

    def __init__(self, vectors):
        self._vectors = vectors

    def __getattr__(self, name):
        return getattr(self._vectors, name)

    def train_batch(self, step):
        samples, labels = self._vectors.train_batch(step)
        return samples.view(-1, 1, 8, 8), labels


@pytest.mark.parametrize("method", [name for name in RIVALS if not name.startswith("XdG")])
def test_a_rival_runs_on_a_resnet_too(method):
    skip_without_peft(method)
    made = METHODS[method].learner(
        lambda seed: build_resnet18(2, 10, seed, channels=1),
        num_contexts=TASKS,
        seed=0,
        learning_rate=1e-3,
        norms=Norms.BATCH,
        exclude=("conv1",),
    )
    images, losses = Pixels(stream(4)), []
    train(
        made,
        images,
        {},
        num_steps=TASKS * 4,
        every=4,
        observe=lambda done, loss: losses.append(loss),
    )
    samples, labels = images.test_set(2)
    assert 0 < made.count_correct(samples.view(-1, 1, 8, 8), labels, 2) < len(labels)
    assert len(losses) == TASKS


def test_the_optimiser_leaves_frozen_weights_alone():
    frozen, free = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    frozen.requires_grad_(False)
    optimiser = rmsprop([frozen, free], lr=0.1)
    (frozen * free).sum().backward()
    optimiser.step()
    assert frozen.tolist() == [1, 1]
    assert free.tolist() != [1, 1]
