"""The rivals of superposition: each against its paper's definition, resumed, and its bytes."""

import sys
from collections import Counter
from math import ceil

import matplotlib.pyplot as plt
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.func import functional_call

from experiments.methods.adapters import ADAPTER
from experiments.methods.bit_delta import BitDelta, compress, restore
from experiments.methods.comparison import BASED, CONVOLUTIONAL, SEARCH_SEED
from experiments.methods.gating import Gate
from experiments.methods.method import METHODS
from experiments.methods.sup_sup import Supermask
from experiments.runner import price
from experiments.runner.added import floating, num_bytes
from experiments.runner.groups import Group
from experiments.runner.networks import build_mlp, build_resnet18
from experiments.runner.optimiser import rmsprop
from experiments.runner.record import config_of
from experiments.runner.trainer import train
from experiments.studies.incremental.presets import BASE_METHODS
from experiments.studies.incremental.presets import PRESETS as INCREMENTAL
from experiments.studies.incremental.price import ICIFAR
from experiments.studies.incremental.run import IncrementalRun
from experiments.studies.incremental.run import learner_of_config as incremental_learner
from experiments.studies.incremental.study import STUDY as INCREMENTAL_STUDY
from experiments.studies.permuting.presets import PRESETS, SEEDS
from experiments.studies.permuting.price import DIGITS, MNIST
from experiments.studies.permuting.run import PermutingRun, learner_of, learner_of_config
from experiments.studies.permuting.study import STUDY
from experiments.tests.small import ROOT, record_of, skip_without_peft, stop_and_resume
from psp_contexts import BinaryContexts
from psp_data import PermutingStream, load
from psp_nn import Norms, save, superpose_models, use_context

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


@pytest.mark.parametrize("method", ["Binary", "LearnedBinary", "multi-head", "base-Binary"])
@pytest.mark.parametrize("norms", ["shared", "per-context"])
def test_a_file_of_one_more_model_is_larger_by_the_bytes_per_added_model(method, norms, tmp_path):
    def saved(contexts):
        made = METHODS[method].learner(
            lambda seed: build_resnet18(2, 10, seed),
            num_contexts=contexts,
            seed=0,
            learning_rate=1e-3,
            norms=Norms(norms),
        )
        if METHODS[method].base:
            made.end_task(None, 1)
        path = tmp_path / f"{contexts}.safetensors"
        save(made.net, path)
        return num_bytes(floating(load_file(path))), num_bytes(made.added_tensors())

    (three, _), (four, added) = saved(3), saved(4)
    assert four - three == added


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
    for name, value in made.added_tensors().items():
        if "lora_B" in name:
            assert not value.any()
        elif "lora_A" in name:
            assert value.all()
        else:
            assert (value == 1).all()


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


@pytest.mark.parametrize(
    ("study", "name", "comparison"),
    [(STUDY, "", MNIST), (STUDY, "-digits", DIGITS), (INCREMENTAL_STUDY, "", ICIFAR)],
)
def test_learning_rates_are_those_that_the_search_found_best(study, name, comparison):
    records, _ = study.records_of(f"price{name}-search", ROOT / "experiments" / "results")
    if not records:
        pytest.skip("not searched yet")
    for row in price.search_table(records).splitlines()[2:]:
        method, best, _ = row.strip("| ").split(" | ")
        strength = f" ({comparison.strength:g})" if METHODS[method].penalty else ""
        assert best == f"{comparison.rates[method]:g}{strength}", method


def test_the_best_rate_is_that_of_the_highest_accuracy_on_all_tasks():
    def record(method, rate, correct):
        config = {"method": method, "learning_rate": 1e-3, "strength": None, "seed": 100}
        config |= {"later_learning_rate": rate}
        rows, final = [[9], correct], {"images": 10, "correct": correct}
        return {"config": config, "rows": {"images": 10, "correct": rows}, "final": final}

    tried = [("IA3", 0.1, [5, 6]), ("IA3", 0.3, [8, 6]), ("SupSup", None, [4, 4])]
    assert price.search_table([record(*each) for each in tried]).splitlines()[2:] == [
        "| IA3 | 0.3 | 0.1: 55.0, 0.3: 70.0 |",
        "| SupSup | 0.001 | 0.001: 40.0 |",
    ]


def test_the_presets_on_the_price_are_complete():
    recipe = {(r.dataset, r.tasks, r.steps, r.batch, r.width) for r in PRESETS["price"]}
    assert recipe == {("mnist", 50, 1000, 128, 256)}
    methods = {str(run.method) for run in PRESETS["price"]}
    assert {*RIVALS, *map(str, BASED)} < methods
    assert len(PRESETS["price"]) == len(SEEDS) * len(methods)
    assert set(PRESETS["figure-3"]) < set(PRESETS["price"])
    assert {run.dataset for run in PRESETS["price-digits"]} == {"digits"}
    searches = [PRESETS["price-search"], PRESETS["price-digits-search"]]
    for runs, rivals in [*((runs, RIVALS) for runs in searches), (ICIFAR.search(), CONVOLUTIONAL)]:
        assert {run.seed for run in runs} == {SEARCH_SEED}
        searched = {str(run.method) for run in runs}
        assert {*map(str, rivals)} - {"offline-SignedPermutation"} <= searched


@pytest.mark.parametrize("name", ["price", "price-split-cifar100"])
def test_the_presets_on_the_price_on_cifar_have_every_method_once(name):
    variants = Counter((run.method, run.norms) for run in INCREMENTAL[name])
    assert set(variants.values()) == {len(SEEDS)}
    assert {(method, "batch") for method in (*CONVOLUTIONAL, *BASE_METHODS)} < set(variants)
    assert {norms for _, norms in variants} == {"batch", "shared", "per-context"}


def test_the_price_is_drawn_and_tabled_from_records(tmp_path, monkeypatch):
    methods = ("Binary", "LearnedBinary", "single", "XdG", "base-Binary", "SupSup")
    runs = [small(m, seed=seed) for m in methods for seed in (0, 1)]
    records = [record_of(STUDY, run, tmp_path) for run in runs]
    table = price.price_table(records, learner_of_config)
    rows = [row.split(" | ") for row in table.splitlines()[2:]]
    assert {row[0] for row in rows[:3]} == {"| Binary", "| XdG", "| base-Binary"}
    assert [row[:2] for row in rows[3:]] == [
        ["| SupSup", f"{WEIGHTS // 8}"],
        ["| LearnedBinary", f"{4 * UNITS}"],
        ["| single", f"{4 * (WEIGHTS + BIASES):,}"],
    ]
    for record in records:  # as before there was the field
        record.pop("bytes_per_added_model")
    assert price.price_table(records, learner_of_config) == table
    figures = []
    monkeypatch.setattr(price, "save_figure", lambda figure, _: figures.append(figure))
    price.draw_price(records, tmp_path, learner_of_config, "Digits")
    free, paid = figures[0].axes
    assert {text.get_text() for text in free.texts} == {"Binary", "XdG", "base-Binary"}
    assert {text.get_text() for text in paid.texts} == {"SupSup", "LearnedBinary", "single"}
    assert paid.get_xscale() == "log"
    plt.close(figures[0])
    assert price.draw_price([], tmp_path, learner_of_config, "Digits") == []


def test_norms_are_named_beside_a_method_on_cifar():
    shared = {"method": "Binary", "strength": None}
    labels = [price.label_of(Group({**shared, "norms": n}, ())) for n in ("batch", "per-context")]
    assert labels == ["Binary", "Binary, norms per-context"]
    assert price.label_of(Group(shared, ())) == "Binary"


@pytest.mark.parametrize("norms", ["batch", "shared", "per-context"])
def test_old_records_on_cifar_have_their_bytes_recounted_without_images(norms):
    run = IncrementalRun(method=METHODS["multi-head"], norms=norms, tasks="split-cifar100", width=4)
    units = sum(m.num_features for m in build_resnet18(4, 10, 0).modules() if hasattr(m, "eps"))
    rows = 4 * 4 * units if norms == "per-context" else 0
    made = incremental_learner(config_of(run))
    assert num_bytes(made.added_tensors()) == 4 * (32 * 5 + 5) + rows


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
