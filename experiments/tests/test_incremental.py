"""The study on incremental CIFAR: its networks, runs, records, tables, estimates and memory."""

import copy
import dataclasses
import json
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from experiments.methods.method import METHODS
from experiments.runner.files import DamagedFile
from experiments.runner.networks import build_resnet18
from experiments.runner.optimiser import rmsprop
from experiments.runner.record import config_of, read_record
from experiments.runner.settings import RunSettings
from experiments.runner.trainer import train
from experiments.studies.incremental.estimate import (
    announce,
    expected_memory,
    gigabytes,
    memory_of,
)
from experiments.studies.incremental.figures import draw_figure_6
from experiments.studies.incremental.measure import IncrementalMeasurement, TestImages
from experiments.studies.incremental.presets import PRESETS, SEEDS
from experiments.studies.incremental.run import (
    STRENGTHS,
    IncrementalRun,
    learner_of,
)
from experiments.studies.incremental.study import STUDY
from experiments.studies.incremental.summary import (
    batch_table,
    report_tables,
    result_of,
    table_of_runs,
)
from experiments.studies.incremental.tasks import CLASSES_PER_TASK, stream_of
from experiments.tables import fill_tables
from experiments.tests.small import ROOT, record_of, run_all, stop_and_resume
from psp_contexts import (
    BinaryContexts,
    KroneckerRotationContexts,
    SignedPermutationContexts,
)
from psp_data import Images, IncrementalStream
from psp_nn import Superposed, report, use_context
from psp_nn.layers.convolution import SuperposedConv2d
from psp_nn.testing import Shell, put_into_shells

MEASURED = ("numbers", "curve", "rows", "final", "test_batches", "new_statistics")
WIDTH = 2
PAPER = {("standard", "batch"), ("multi-head", "batch"), ("Binary", "batch")}
SMOKE = [(str(run.method), run.norms) for run in PRESETS["smoke"]]
BASE = [variant for variant in SMOKE if variant[0].startswith("base")]
VARIANTS = [variant for variant in SMOKE if variant not in BASE]


def small(method, norms, **changes):
    """Return a run of a few steps on the digits."""
    method = METHODS[method]
    strength = {"SI": 0.3}.get(method.penalty, 30.0) if method.penalty else None
    width = 4 if method.family is KroneckerRotationContexts else WIDTH  # not a prime
    size = {"width": width, "steps": 3, "batch": 16, "curve_every": 2, "fisher_images": 8}
    return IncrementalRun(
        method=method,
        norms=norms,
        strength=strength,
        **{"tasks": "split-digits", **size, **changes},
    )


@pytest.fixture
def two_tasks(monkeypatch):
    """Let each task have five digits."""
    monkeypatch.setitem(CLASSES_PER_TASK, "split-digits", 5)


def learner_and_stream(method, norms, **changes):
    run = small(method, norms, **changes)
    stream = stream_of(run.tasks, run.seed, run.batch, run.steps)
    return learner_of(run, stream, "cpu"), stream


def test_the_command_leaves_records_and_does_not_run_them_again(tmp_path):
    command = [sys.executable, "experiments/incremental.py", "smoke", "--out", str(tmp_path)]
    command += ["--width", str(WIDTH), "--steps", "2", "--method", "Binary", "multi-head-SI"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert "3 of 3 runs to do. A few steps of each kind suggest" in done.stdout
    assert "split-digits, ResNet-18 of width 2, 2 steps of 32 images a task (paper:" in done.stdout
    assert "| multi-head-SI (" in done.stdout
    folder = tmp_path / "incremental"
    records = {path: read_record(path) for path in folder.glob("*.json")}
    assert {record["config"]["method"] for record in records.values()} == {
        "Binary",
        "multi-head-SI",
    }
    times = {path: path.stat().st_mtime_ns for path in records}
    runs = [
        dataclasses.replace(run, width=WIDTH, steps=2)
        for run in PRESETS["smoke"]
        if str(run.method) in ("Binary", "multi-head-SI")
    ]
    run_all(STUDY, runs, tmp_path)
    assert times == {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert announce(runs, RunSettings(out=tmp_path)) == "3 of 3 runs are done."


@pytest.mark.parametrize(("method", "norms"), SMOKE)
def test_a_stopped_run_ends_with_the_same_record(method, norms, two_tasks, tmp_path, monkeypatch):
    run = small(method, norms)
    whole = record_of(STUDY, run, tmp_path)
    assert whole["status"] == "complete"
    record = json.loads(json.dumps(whole, allow_nan=False))
    assert record["config"] == config_of(run)
    assert record["curve"]["steps"] == [2, 3, 4, 6]
    assert [len(row) for row in record["rows"]["correct"]] == [1, 2]
    assert len(record["final"]["correct"]) == 2
    compared = record["test_batches"]
    if norms != "batch":
        assert {*compared["correct"], compared["one_class_correct"]} == {compared["correct"][0]}

    resumed = stop_and_resume(STUDY, run, tmp_path, monkeypatch, 4 / 6)
    assert resumed["resumed_at"] == [4]
    for part in MEASURED:
        assert resumed.get(part) == whole.get(part)


@pytest.mark.parametrize("done", [2, 3, 4])
def test_a_run_stopped_around_its_superposition_ends_with_the_same_record(
    done, two_tasks, tmp_path, monkeypatch
):
    layout = {"precision": "bfloat16", "channels_last": True, "later_learning_rate": 3e-4}
    run = small("base-two-sided-Binary", "batch", curve_every=1, **layout)
    whole = record_of(STUDY, run, tmp_path)
    resumed = stop_and_resume(STUDY, run, tmp_path, monkeypatch, done / 6)
    assert resumed["resumed_at"] == [done]
    for part in MEASURED:
        assert resumed.get(part) == whole.get(part)


@pytest.mark.parametrize(("method", "norms"), [*BASE, ("base-two-sided-Binary", "per-context")])
def test_the_network_of_the_first_task_becomes_the_base_of_all(method, norms, two_tasks):
    def plain_logits():
        learner, stream = learner_and_stream(method, norms)
        learner.end_task = lambda stream, done: None  # which would superpose the network
        train(learner, stream, {}, num_steps=3, every=3, observe=lambda done, loss: None)
        assert not learner.is_superposed
        with torch.no_grad():
            return learner.net.eval()(images)

    def logits(context):
        learner.net.eval()
        with torch.no_grad(), use_context(learner.net, context):
            outputs = learner.net(images)
        learner.net.train()
        return outputs

    def observe(done, loss):
        if done == 3:
            first.extend(logits(context) for context in range(2))

    learner, stream = learner_and_stream(method, norms, later_learning_rate=1e-5)
    images, first = stream.test_set(0)[0], []
    train(learner, stream, {}, num_steps=6, every=3, observe=observe)
    plain = plain_logits()
    for outputs in first:
        assert torch.allclose(outputs, plain, atol=1e-4)
    assert [group["lr"] for group in learner.optimiser.param_groups] == [1e-5]
    assert not torch.allclose(logits(1), plain, atol=1e-4)


def test_the_table_of_test_batches_leaves_out_methods_without_batch_statistics():
    compared = {"sizes": [10], "images": 200, "correct": [120], "one_class_size": 100}
    records = [
        {
            "config": config_of(small(method, norms)),
            "test_batches": compared | {"one_class_correct": right},
        }
        for method, norms, right in (("EWC", "shared", 60), ("Binary", "batch", 30))
    ]
    rows = batch_table(records).splitlines()
    assert rows[0] == "| method | BatchNorm | 10 mixed (%) | 100 of one class (%) | n |"
    assert rows[2:] == ["| Binary | batch | 60.0 | 15.0 | 1 |"]


def test_new_statistics_are_those_of_each_task_and_leave_the_network_as_it_was(two_tasks):
    learner, stream = learner_and_stream("Binary", "per-context")
    measurement = IncrementalMeasurement(
        learner, stream, TestImages(stream), small("Binary", "per-context"), row_images=20
    )
    train(learner, stream, {}, num_steps=6, every=6, observe=lambda done, loss: None)
    norm, before = learner.net.bn1, copy.deepcopy(learner.net.state_dict())
    received = []
    norm.register_forward_hook(
        lambda module, inputs, output: received.append((inputs[0], module.running_mean.clone()))
    )
    measurement(6, 0.5)
    assert all(torch.equal(value, before[name]) for name, value in learner.net.state_dict().items())
    assert measurement.log["new_statistics"]["images"] == 3 * 16
    mean = torch.stack([inputs for inputs, _ in received if len(inputs) == 16][:3])
    tested = [statistics for inputs, statistics in received if len(inputs) > 16]
    expected = mean.transpose(1, 2).flatten(2).mean((0, 2))
    assert any(torch.allclose(statistics, expected, atol=1e-5) for statistics in tested)


@pytest.mark.parametrize("norms", ["batch", "shared", "per-context"])
def test_only_stored_statistics_are_estimated_again(norms, two_tasks, tmp_path):
    record = record_of(STUDY, small("standard", norms), tmp_path)
    assert ("new_statistics" in record) == (norms != "batch")
    assert ("task 0, new (%)" in report_tables([record])) == (norms != "batch")
    if norms != "batch":
        assert len(record["new_statistics"]["correct"]) == 2


def test_contexts_keep_an_old_task_where_the_standard_net_loses_it(two_tasks, tmp_path):
    def task_0(method):
        run = small(method, "batch", width=4, steps=20, batch=32, curve_every=20)
        return result_of(record_of(STUDY, run, tmp_path)).tasks[0]

    assert task_0("Binary") > 80 > 50 > task_0("standard")


def test_the_network_is_torchvisions_and_the_superposed_layers_are_the_papers():
    learner, _ = learner_and_stream("Binary", "batch", width=4)
    layers = {layer.name: layer for layer in report(learner.net).layers}
    convolutions = {
        name: module
        for name, module in learner.net.named_modules()
        if isinstance(module, nn.Conv2d)
    }
    assert len(convolutions) == 20
    assert not layers["conv1"].superposed
    assert type(convolutions.pop("conv1")) is nn.Conv2d
    for name, layer in convolutions.items():
        assert layers[name].superposed
        assert type(layer) is SuperposedConv2d
        assert type(layer.contexts_for()) is BinaryContexts
        assert layer.contexts_for().dim == layer.in_channels * layer.kernel_size[0] ** 2
    assert layers["fc"].superposed
    for module in learner.net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert not [*module.parameters(), *module.buffers()]
    assert type(learner.net).__module__ == "torchvision.models.resnet"


def test_permutations_act_on_input_channels():
    learner, _ = learner_and_stream("SignedPermutation", "per-context", width=4)
    for module in learner.net.modules():
        if isinstance(module, SuperposedConv2d):
            assert type(module.contexts_for()) is SignedPermutationContexts
            assert module.contexts_for().dim == module.in_channels


def test_the_wide_network_is_torchvisions_resnet18_but_for_its_first_layer():
    from torchvision.models import resnet18

    ours, theirs = build_resnet18(64, 10, seed=0), resnet18(num_classes=10)

    def shapes(net):
        return {name: value.shape for name, value in net.state_dict().items() if name != "conv1"}

    changed = {name for name, shape in shapes(theirs).items() if shapes(ours)[name] != shape}
    assert changed == {"conv1.weight"}
    assert ours.conv1.weight.shape == (64, 3, 3, 3)
    assert all(value.device.type == "cpu" for value in ours.state_dict().values())
    again = build_resnet18(64, 10, seed=0)
    assert all(map(torch.equal, ours.parameters(), again.parameters()))
    x = torch.zeros(1, 3, 32, 32)
    stages = nn.Sequential(ours.conv1, ours.bn1, ours.maxpool, ours.layer1)
    assert stages(x).shape == (1, 64, 32, 32)


@pytest.mark.parametrize("method", ["multi-head", "multi-head-EWC", "multi-head-SI"])
def test_each_task_has_its_own_head(method):
    learner, stream = learner_and_stream(method, "per-context")
    weight, bias = learner.net.fc.stored(), learner.net.fc.stored("bias")
    before = weight.detach().clone()
    assert len({tuple(head.flatten().tolist()) for head in before}) == stream.num_tasks
    learner.use(2)
    learner.step(*stream.train_batch(8))
    moved = (weight != before).flatten(1).any(1).tolist()
    assert moved == [False, False, True, False, False]

    images, labels = stream.test_set(0)
    with torch.no_grad():
        weight.zero_()
        for task in range(len(bias)):
            bias[task] = torch.tensor([1.0, 0.0] if task % 2 else [0.0, 1.0])
    counts = [learner.count_correct(images, labels, context=task) for task in range(4)]
    zeros, ones = int((labels == 0).sum()), int((labels == 1).sum())
    assert counts == [ones, zeros, ones, zeros]
    mixed = torch.arange(len(labels)) % 2
    assert learner.count_correct(images, labels, mixed) == int((labels != mixed).sum())
    assert learner.net.fc.superposition.selection.index == 2


def test_parameters_stored_include_norms_and_heads():
    def parameters(method, norms):
        learner, stream = learner_and_stream(method, norms, width=4)
        return learner.num_parameters(stream.num_tasks)

    net = build_resnet18(4, 2, seed=0, channels=1)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    units = sum(module.num_features for module in norms)
    weights = sum(value.numel() for value in net.parameters()) - 2 * units
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m is not net.conv1]
    kernels = sum(layer.weight[0].numel() for layer in layers) + net.fc.in_features
    head = sum(value.numel() for value in net.fc.parameters())
    assert parameters("standard", "batch") == {"total": weights, "per_added_model": 0}
    assert parameters("standard", "shared")["total"] == weights + 4 * units
    assert parameters("standard", "per-context")["per_added_model"] == 4 * units
    assert parameters("Binary", "batch") == {
        "total": weights + 5 * kernels,
        "per_added_model": kernels,
    }
    assert parameters("Binary", "per-context")["per_added_model"] == kernels + 4 * units
    channels = sum(layer.in_channels for layer in layers) + net.fc.in_features
    permuted = parameters("SignedPermutation", "per-context")
    assert permuted["per_added_model"] == channels + 4 * units
    assert parameters("multi-head", "batch") == {
        "total": weights + 4 * head,
        "per_added_model": head,
    }
    # EWC stores three values for each trained one, heads and affine included.
    ewc = parameters("multi-head-EWC", "per-context")["per_added_model"]
    assert ewc == 3 * head + (3 * 2 + 2) * units
    assert parameters("single", "shared")["per_added_model"] == weights + 4 * units


def test_batch_statistics_depend_on_the_test_batch_and_those_of_a_context_do_not():
    images = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for norms, alike in (("batch", False), ("per-context", True)):
        learner, _ = learner_and_stream("Binary", norms)
        net = learner.net.eval()
        with torch.no_grad(), use_context(net, 1):
            assert torch.allclose(net(images)[:8], net(images[:8]), atol=1e-5) == alike


def test_the_presets_are_complete():
    def variants(name):
        return {(str(run.method), run.norms, run.seed) for run in PRESETS[name]}

    names = [
        "paper",
        "medium",
        "wide",
        "cpu",
        "split-cifar100",
        "search",
        "base",
        "base-search",
        "smoke",
    ]
    assert list(PRESETS) == names
    for run in PRESETS["paper"]:
        assert (run.tasks, run.width, run.steps, run.batch) == ("icifar", 64, 20_000, 128)
        assert (run.learning_rate, run.precision, run.test_batch) == (1e-3, "float32", 1000)
        assert "steps" not in run.name
    assert variants("paper") == {(*variant, 0) for variant in PAPER}
    assert len(VARIANTS) == 14
    assert PAPER < set(VARIANTS)
    for name in ("cpu", "split-cifar100"):
        assert variants(name) == {(*variant, seed) for variant in VARIANTS for seed in SEEDS}
    for run in PRESETS["cpu"] + PRESETS["search"]:
        assert run.tasks == "icifar"
        assert run.name.startswith("icifar-cpu-")
    assert not variants("search") & variants("cpu")
    searched = {(str(run.method), run.norms) for run in PRESETS["search"]}
    assert searched == {variant for variant in VARIANTS if variant[0].endswith(("EWC", "SI"))}
    assert {run.tasks for run in PRESETS["smoke"]} == {"split-digits"}


def test_names_of_runs_between_the_cpu_and_the_paper_are_pinned():
    recipe = "precisionbfloat16-channelslastTrue"
    medium = f"steps2000-{recipe}"
    assert [run.name for run in PRESETS["medium"]] == [
        f"icifar-standard-batch-width32-seed0-curveevery250-curveimages1000-{medium}",
        f"icifar-multi-head-batch-width32-seed0-curveevery250-curveimages1000-{medium}",
        f"icifar-Binary-batch-width32-seed0-curveevery250-curveimages1000-{medium}",
        f"icifar-Binary-batch-width32-seed1-curveevery250-curveimages1000-{medium}",
        *(
            f"icifar-base-{family}-batch-width32-seed0-curveevery250-curveimages1000"
            f"-laterlearningrate0.0003-{medium}"
            for family in ("Binary", "SignedPermutation")
        ),
    ]
    assert [run.name for run in PRESETS["wide"]] == [
        f"icifar-{method}-batch-width64-seed0-curveevery250-curveimages1000-steps1000-{recipe}"
        for method in ("Binary", "standard")
    ]


def test_the_strengths_are_those_that_the_search_found_best():
    records, _ = STUDY.records_of("search", ROOT / "experiments" / "results")
    for method, strength in STRENGTHS.items():
        searched = [record for record in records if record["config"]["method"] == method]
        best = max(searched, key=lambda record: result_of(record).all)
        assert best["config"]["strength"] == strength


def test_the_later_rates_are_those_that_the_search_found_best():
    results = ROOT / "experiments" / "results"
    records = [
        record
        for preset in ("base-search", "search")
        for record in STUDY.records_of(preset, results)[0]
        if record["config"]["strength"] in (None, STRENGTHS.get(record["config"]["method"]))
    ]
    for run in PRESETS["base"]:
        searched = [
            record
            for record in records
            if record["config"]["method"] == str(run.method)
            and (run.method.base or record["config"]["norms"] == run.norms)
        ]
        if run.method.family is not KroneckerRotationContexts:
            best = max(searched, key=lambda record: result_of(record).all)
            assert best["config"].get("later_learning_rate") == run.later_learning_rate


def test_norms_and_strengths_have_defaults_by_method():
    def defaults(method):
        run = IncrementalRun(method=METHODS[method])
        return run.norms, run.strength

    assert defaults("Binary") == ("per-context", None)
    assert defaults("multi-head-SI") == ("shared", 30.0)
    assert IncrementalRun(strength=3.0).strength is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": METHODS["KroneckerRotation"], "width": 31}, "dim=31 is prime"),
        ({"method": METHODS["multi-head-OnlineEWC"]}, "no searched strength; give --strength"),
        ({"method": METHODS["single"], "later_learning_rate": 1e-4}, "has no effect on single"),
        ({"method": METHODS["EWC"], "norms": "batch"}, "use norms shared or per-context"),
    ],
)
def test_bad_values_are_refused_before_any_work(change, message):
    with pytest.raises(ValueError, match=message):
        IncrementalRun(**change)


def test_missing_runs_of_the_papers_size_are_marked_in_their_table(tmp_path):
    text = fill_tables("<!-- table: incremental/paper run-or-not -->\n<!-- end -->", tmp_path)
    for method in ("standard", "multi-head", "Binary"):
        assert f"| {method} | batch | not run: needs a GPU |" in text
    assert "ResNet-18 of width 64, 20,000 steps of 128 images a task (the paper's size)" in text
    runs = PRESETS["paper"]
    rows = {"images": 10, "correct": [[9], [8, 10]]}
    record = {"config": config_of(runs[0]), "rows": rows} | {
        "final": {"images": [100, 20], "correct": [82, 19]},
        "numbers": {"total": 1000, "per_added_model": 10},
    }
    text = table_of_runs(runs, [record])
    assert "| standard | batch | 82.0 | 95.0 | 88.5 | 95.0 | 10.0 | 1,000 | 10 | 1 |" in text
    assert text.count("not run: needs a GPU") == 2


def test_the_figure_shows_every_kind_of_batch_norm(two_tasks, tmp_path):
    variants = [("Binary", "batch"), ("multi-head", "per-context"), ("single", "shared")]
    runs = [small(method, norms, steps=2) for method, norms in variants]
    runs.append(dataclasses.replace(runs[0], seed=1))
    records = [record_of(STUDY, run, tmp_path) for run in runs]
    files = draw_figure_6(records, tmp_path / "figure")
    assert [path.name for path in files] == ["figure.png", "figure.svg"]
    drawn = files[1].read_text()
    for text in ("BatchNorm of the batch", "BatchNorm shared", "BatchNorm per context"):
        assert f"<!-- {text}" in drawn
    assert drawn.count("<!-- single -->") == 3
    assert "ResNet-18 of width 2, 2 steps of 16 images a task (paper: 64" in drawn
    assert draw_figure_6([], tmp_path / "nothing") == []


def blank(name, classes, train=20, test=10):
    """Return a set of black images, some of each class."""
    labels = torch.arange(classes)
    pixels = [torch.zeros(classes * n, 3, 32, 32, dtype=torch.uint8) for n in (train, test)]
    return Images(name, pixels[0], labels.repeat(train), pixels[1], labels.repeat(test))


def test_a_copy_that_lacks_classes_is_refused(monkeypatch):
    monkeypatch.setattr("psp_data._presets.load", lambda name, *_: blank(name, 10))
    monkeypatch.setattr("experiments.studies.incremental.tasks.load_images", lambda name: None)
    with pytest.raises(DamagedFile, match="this copy of cifar100 has no images of the classes"):
        stream_of("icifar", seed=0, batch=8, steps=1)


def test_all_hundred_classes_are_split_if_present(monkeypatch):
    monkeypatch.setattr(
        "experiments.studies.incremental.tasks.load_images", lambda name: blank(name, 100)
    )
    stream = stream_of("split-cifar100", seed=0, batch=8, steps=1)
    assert stream.num_tasks == 20
    assert stream.classes(19) == (95, 96, 97, 98, 99)


def test_few_test_images_are_evenly_spaced():
    _, stream = learner_and_stream("standard", "shared")
    tests = TestImages(stream)
    images, labels = tests(1, 10)
    every, all_labels = stream.test_set(1)
    assert len(labels) == 10
    assert torch.equal(images[5], every[5 * len(every) // 10])
    assert labels[5] == all_labels[5 * len(every) // 10]


def assert_all_on(learner, device):
    """Return weights, gradients, the optimiser's state, and cached operators of the contexts."""
    values = [*learner.net.parameters(), *learner.net.buffers()]
    values += [value.grad for value in learner.net.parameters() if value.grad is not None]
    for state in learner.optimiser.state.values():
        values += [value for name, value in state.items() if name != "step"]  # a count
    for layer in learner.net.modules():
        if isinstance(layer, Superposed):
            values += [
                tensor
                for cached in layer.superposition.operators.values()
                for tensor in cached.operator.tensors
            ]
    assert {value.device.type for value in values} == {device}


@pytest.mark.parametrize("run", PRESETS["paper"], ids=lambda run: str(run.method))
def test_the_papers_size_trains_on_a_gpu_of_16_gb(run, monkeypatch, capsys):
    """Use fake tensors of full size, which have a device and no data."""
    images = blank("blank", 10)
    stream = IncrementalStream([(images, range(10))] * 5, batch_size=8, steps_per_task=1)
    # `Module.to` swaps the tensors of parameters, and torch does not swap fake ones. So layers are
    # created on their device; psp-nn tests that real ones follow `.to()`.
    monkeypatch.setattr(nn.Module, "to", lambda net, *args, **options: net)

    # build_resnet18 starts on the meta device, whose tensors are not fake.
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            learner = learner_of(run, stream, "cuda")
            samples = torch.empty(run.batch, 3, 32, 32)
            labels = torch.empty(run.batch, dtype=torch.int64)
        learner.net.train()
        learner.use(4)
        memory = memory_of(learner, samples, labels)
        put_into_shells(learner.net)
        learner.optimiser = rmsprop(learner.net.parameters(), lr=run.learning_rate)
        for state in learner.optimiser.state.values():
            state["step"] = Shell(state["step"])  # torch groups tensors by device
        loss = learner.step(Shell(samples), Shell(labels))
        assert (loss.shape, loss.device.type, loss.dtype) == ((), "cuda", torch.float32)
        assert_all_on(learner, "cuda")
    monkeypatch.undo()
    sets = [blank("cifar10", 10, 5000, 1000), blank("cifar100", 100, 500, 100)]
    expected = expected_memory(run, stream, sets)
    assert {part: expected[part] for part in memory} == memory
    with capsys.disabled():
        print(f"\n{run.name}: {gigabytes(expected)} on the device, {expected}")
    assert 1e9 < sum(expected.values()) < 16e9
