"""The study on rotating images: its runs, selectors and contexts, records, tables and figures."""

import dataclasses
import json

import pytest
import torch

from experiments import figures
from experiments.methods.method import METHODS
from experiments.runner.record import config_of, start_record, write_record
from experiments.runner.run import select
from experiments.studies.rotating.claims import (
    claims_of_contexts,
    claims_of_forgetting,
    inferred_correctly,
    swing,
)
from experiments.studies.rotating.contexts import TestContexts
from experiments.studies.rotating.prepare import learner_of
from experiments.studies.rotating.presets import FAMILIES, PRESETS, SEEDS
from experiments.studies.rotating.run import RotatingRun
from experiments.studies.rotating.selection import ByAppearance, ByConfidence, SelectingLearner
from experiments.studies.rotating.study import STUDY
from experiments.studies.rotating.summary import clock_beside_inferred, last_turn, result_of
from experiments.tables import fill_tables
from experiments.tests.small import record_of, stop_and_resume
from psp_data import RotatingStream, load
from psp_nn import infer_context

MEASURED = (
    *("numbers", "curve", "inferred_curve", "final", "circle", "inferred_circle"),
    *("reach", "edge", "choices"),
)

KINDS = {
    "standard": {"method": METHODS["standard"], "contexts": 1},
    "windows": {"method": METHODS["Binary"]},
    "fast": {"method": METHODS["Complex"], "contexts": 200},
    "local mix": {"method": METHODS["LocalMix"], "contexts": 200},
    "learned": {"method": METHODS["LearnedComplex"]},
    "appearance": {"method": METHODS["Complex"], "choose": "appearance"},
    "confidence": {"method": METHODS["Binary"], "choose": "confidence"},
}
"""Every way of choosing contexts."""


def small(kind, **changes):
    """Return a run of some turns of the digits in 200 steps each, which takes a second or two."""
    run = RotatingRun(
        **{"dataset": "digits", "width": 32, "turns": 5, "period": 200, "batch": 32},
        **{"learning_rate": 3e-3, "curve_every": 25, "curve_images": 192, "edge_images": 40},
        **{"inferred_every": 200, "inferred_images": 40, **KINDS[kind]},
    )
    return dataclasses.replace(run, **changes)


def tiny(kind, **changes):
    """Return a run of one turn."""
    few = {"curve_images": 40, "inferred_images": 20, "edge_images": 20, "inferred_every": 100}
    return small(kind, **{"turns": 1, "width": 16, **few, **changes})


def test_the_command_leaves_every_record_and_does_not_run_again(tmp_path, capsys):
    STUDY.main(arguments=["smoke", "--out", str(tmp_path)])
    assert "| digits | 3 | LocalMix | fast, local mix |" in capsys.readouterr().out
    folder = tmp_path / "rotating"
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {path.name for path in times} == {f"{run.name}.json" for run in PRESETS["smoke"]}
    STUDY.main(arguments=["smoke", "--out", str(tmp_path)])
    assert times == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_holds_every_measurement_as_counts(kind, tmp_path):
    run = tiny(kind)
    record = json.loads(json.dumps(record_of(STUDY, run, tmp_path), allow_nan=False))
    assert record["status"] == "complete"
    assert record["config"] == config_of(run)
    chooses, infers = run.choose != "clock", 3 <= run.contexts <= 100
    assert record["curve"]["steps"] == list(range(25, 201, 25))
    assert [len(record["curve"][part]) for part in ("correct", "loss")] == [8, 8]
    assert record["final"]["images"] == 360
    sources = ["clock"] * (not chooses) + ["batches", "samples"] * infers
    assert list(record["final"]) == ["images", *sources]
    assert record["circle"]["degrees"] == [10.0 * place for place in range(36)]
    assert len(record["circle"]["correct"]) == 36
    assert ("inferred_circle" in record) == ("inferred_curve" in record) == infers
    if infers:
        assert record["inferred_curve"]["steps"] == [100, 200]
        for source in ("batches", "samples"):
            chosen = record["inferred_circle"][source]["chosen"]
            assert [sum(row) for row in chosen] == [20] * 36
    num_contexts = record["choices"]["used"] if chooses else run.contexts
    assert len(record["reach"]["contexts"]) == min(10, num_contexts)
    assert [len(row) for row in record["reach"]["correct"]] == [min(10, num_contexts)] * 36
    if chooses:
        assert "edge" not in record
        assert len(record["choices"]["contexts"]) == 8
    else:
        assert "choices" not in record
        assert record["edge"]["degrees"] == [36.0 + offset for offset in range(-10, 11)]
        edge = {1: [0], 10: [0, 1], 200: [19, 20]}[run.contexts]
        assert record["edge"]["contexts"] == edge


def test_the_standard_net_swings_and_contexts_by_windows_hold(tmp_path):
    standard, binary = (
        record_of(STUDY, small(kind, width=64), tmp_path) for kind in ("standard", "windows")
    )
    assert swing(standard) > 30
    assert swing(binary) < 12
    assert max(last_turn(standard)) > 75
    assert min(last_turn(binary)) > 70
    # A context serves its window and the angles near its ends, not the other side of the circle.
    reach = [row[0] for row in binary["reach"]["correct"]]
    assert min(reach[:4]) > 1.5 * max(reach[12:24])
    before, after = zip(*binary["edge"]["correct"], strict=True)
    assert sum(before[:5]) > sum(after[:5])
    assert sum(after[-5:]) > sum(before[-5:])


def test_contexts_selected_by_appearance_return_in_every_turn(tmp_path):
    record = record_of(STUDY, small("appearance", batch=64), tmp_path)
    per_turn = [record["choices"]["contexts"][start : start + 8] for start in range(0, 40, 8)]
    assert per_turn[-1] == per_turn[-2]
    assert len(set(per_turn[-1])) >= 3
    assert sum(last_turn(record)) / 8 > 70


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_ends_bit_identical(kind, tmp_path, monkeypatch):
    run = tiny(kind)
    whole = record_of(STUDY, run, tmp_path)

    resumed = stop_and_resume(STUDY, run, tmp_path, monkeypatch, 0.5)
    assert resumed["resumed_at"] == [100]
    for part in MEASURED:
        assert resumed.get(part) == whole.get(part)


def test_a_selecting_learner_ignores_the_clock():
    run = tiny("appearance")
    stream = RotatingStream(load("digits"), num_contexts=10, num_tasks=1, batch_size=32)
    learner = learner_of(run, stream)
    assert isinstance(learner, SelectingLearner)
    learner.use(7)
    learner.step(*stream.train_batch(0))
    assert learner.context == 0
    assert TestContexts(learner, stream).sources == ("batches", "samples")


def test_confidence_opens_a_context_only_for_batches_of_high_entropy(monkeypatch):
    entropies = iter([0.5] * 3 + [0.9, 1.5] + [0.5] * 3)

    class Inferred:
        def __init__(self):
            self.evidence = -torch.tensor([next(entropies), 2.0, 2.0])

    monkeypatch.setattr(
        "experiments.studies.rotating.selection.infer_context", lambda net, samples: Inferred()
    )
    monkeypatch.setattr(ByConfidence, "PATIENCE", 3)
    selector = ByConfidence(3, torch.nn.Identity())
    contexts = [selector.select(torch.zeros(4, 2)) for _ in range(7)]
    assert contexts == [0, 0, 0, 0, 0, 1, 0]
    assert selector.used == 2
    assert [selector.recognise(torch.zeros(4, 2)) for _ in range(2)] == [0, 0]


def test_appearance_uses_the_nearest_when_all_contexts_are_open():
    selector = ByAppearance(2, pixels=1)
    batch = torch.tensor([[0.0], [1.0]])
    assert [selector.select(batch + far) for far in (0, 50, 90, 10)] == [0, 1, 1, 0]


def test_contexts_are_inferred_as_psp_nn_infers_them():
    run = tiny("windows")
    stream = RotatingStream(load("digits"), num_contexts=10, num_tasks=1, batch_size=32)
    learner = learner_of(run, stream)
    test_contexts = TestContexts(learner, stream)
    samples = stream.test_set_at(40.0)[0][:70]
    contexts = test_contexts.by_source(samples, 40.0)
    assert contexts["clock"] == 1
    expected = [int(infer_context(learner.net, part).context) for part in samples.split(32)]
    lengths = [32, 32, 6]
    spread = [k for k, length in zip(expected, lengths, strict=True) for _ in range(length)]
    assert contexts["batches"].tolist() == spread
    alone = infer_context(learner.net, samples, per_sample=True).context
    assert torch.equal(contexts["samples"], alone)
    labels = stream.images.test_labels[:70]
    mixed = learner.count_correct(samples, labels, alone)
    one_by_one = [
        learner.count_correct(samples[i : i + 1], labels[i : i + 1], int(alone[i]))
        for i in range(70)
    ]
    assert mixed == sum(one_by_one)


def test_the_presets_are_complete():
    assert set(PRESETS) == {"figure-4", "figure-5", "smoke"}
    for name in ("figure-4", "figure-5"):
        for run in PRESETS[name]:
            recipe = (run.turns, run.period, run.batch, run.width, run.learning_rate)
            assert recipe == (50, 1000, 128, 256, 1e-4)
            assert (run.precision, run.curve_every) == ("float32", 125)

    def kinds(name):
        runs = PRESETS[name]
        kinds = {(r.dataset, r.hidden_layers, str(r.method), r.contexts, r.choose) for r in runs}
        assert len(runs) == len(SEEDS) * len(kinds)
        return kinds

    def windows(dataset):
        methods = map(str, FAMILIES)
        return {(dataset, 2, m, 1 if m == "standard" else 10, "clock") for m in methods}

    assert kinds("figure-4") == {
        *windows("mnist"),
        *windows("fashion_mnist"),
        ("fashion_mnist", 9, "standard", 1, "clock"),
        ("fashion_mnist", 9, "Binary", 10, "clock"),
    }
    assert kinds("figure-5") == {
        *windows("fashion_mnist"),
        ("fashion_mnist", 2, "Complex", 1000, "clock"),
        ("fashion_mnist", 2, "LocalMix", 1000, "clock"),
        ("fashion_mnist", 2, "LearnedBinary", 10, "clock"),
        ("fashion_mnist", 2, "LearnedComplex", 10, "clock"),
        ("fashion_mnist", 2, "Complex", 10, "appearance"),
        ("fashion_mnist", 2, "Complex", 10, "confidence"),
    }


def test_presets_share_their_runs():
    shared = set(PRESETS["figure-4"]) & set(PRESETS["figure-5"])
    assert len(shared) == len(FAMILIES) * len(SEEDS)


def test_a_preset_can_be_run_in_part():
    part = select(PRESETS["figure-5"], {"method": (METHODS["Complex"],), "seed": (1,)})
    assert [run.name for run in part] == [
        "fashion_mnist-Complex-10-2x256-seed1",
        "fashion_mnist-Complex-1000-2x256-seed1",
        "fashion_mnist-Complex-10-appearance-2x256-seed1",
        "fashion_mnist-Complex-10-confidence-2x256-seed1",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": METHODS["EWC"]}, r"unknown method 'EWC'; choose from standard, .*Binary"),
        ({"contexts": 1001}, "contexts=1001 exceeds the 1000 steps of a turn"),
        ({"inferred_every": 130}, "inferred_every=130 must be a multiple of curve_every=125"),
        ({"method": METHODS["KroneckerRotation"], "width": 31}, "dim=31 is prime"),
        ({"method": METHODS["standard"], "choose": "appearance"}, "but standard has 1"),
        ({"contexts": 1000, "choose": "confidence"}, "needs a method with 3 to 100 contexts"),
        ({"choose": "appearance", "batch": 1}, "batch must be at least 2"),
    ],
)
def test_bad_values_are_refused_before_any_work(change, message):
    with pytest.raises(ValueError, match=message):
        RotatingRun(**change)


def a_record(run):
    """Return a record; the standard net falls by 60 points in every turn, *fast* by 20."""
    steps = list(range(500, 50_001, 500))
    low = {1: 100, 10: 400}.get(run.contexts, 300)
    correct = [400 if step % 1000 == 0 else low for step in steps]
    infers = 3 <= run.contexts <= 100
    degrees = [10.0 * place for place in range(36)]
    table = {"contexts": [0, 1], "correct": [[400, 300]] * 36}
    one_by_one = {"correct": [150] * 36, "chosen": [[250] + [0] * 9] * 36}
    record = start_record("rotating", run) | {
        "numbers": {"total": 1000, "per_added_model": 10},
        "curve": {"every": 125, "images": 500, "steps": steps, "correct": correct},
        "final": {"images": 10_000, "clock" if run.choose == "clock" else "batches": 8000},
        "circle": {"images": 500, "degrees": degrees, "correct": [low] * 36},
        "reach": {"images": 250, "degrees": degrees, **table},
    }
    if run.choose == "clock":
        contexts, around = [0] if run.contexts == 1 else [0, 1], [36.0 + d for d in range(-10, 11)]
        edge = [[800, 700][: len(contexts)]] * 21
        record["edge"] = {"images": 1000, "degrees": around} | {
            "contexts": contexts,
            "correct": edge,
        }
    if infers:
        record["final"] |= {"batches": 7000, "samples": 6000}
        inferred = {"images": 250, "steps": [25_000, 50_000], "batches": [120, 130]}
        record["inferred_curve"] = {**inferred, "samples": [100, 110]}
        record["inferred_circle"] = {"images": 250, "degrees": degrees} | {
            "batches": one_by_one,
            "samples": one_by_one,
        }
    return record


def test_figures_tables_and_claims_come_from_records_alone(tmp_path, capsys):
    runs = {run for name in ("figure-4", "figure-5") for run in PRESETS[name]}
    for run in runs:
        if run.seed < 2:
            write_record(tmp_path / "rotating" / f"{run.name}.json", a_record(run))
    figures.main(tmp_path, tmp_path / "out")
    text = capsys.readouterr().out
    assert "rotating-figure-4: 14 of 42 runs are missing: mnist-standard-2x256-seed2" in text
    drawn = {"figure-4", "figure-4-circle", "figure-5", "figure-5-circle", "figure-5-edge"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"rotating-{name}.{ending}" for name in drawn for ending in ("png", "svg")
    }

    def table(preset, name):
        return fill_tables(f"<!-- table: rotating/{preset} {name} -->\n<!-- end -->", tmp_path)

    row = "| fashion_mnist | 3 | Binary | 10 windows | 80.00 ± 0.00 | 80.00 ± 0.00 | 80.00 ± 0.00"
    assert row in table("figure-4", "accuracy")
    row = "| Complex | 10 by appearance | – | 70.00 ± 0.00 | 60.00 ± 0.00 | – | 80.00"
    assert row in table("figure-5", "inferred")
    text = table("figure-4", "forgetting")
    swing = "swing within a turn 60.0 ± 0.0 points; in the last turn from 20.0"
    assert f"| MNIST: the standard net oscillates with the turn. | {swing}" in text
    assert f"| Fashion-MNIST, 10 layers: the standard net oscillates with the turn. | {swing}" in (
        text
    )
    swing = "swing within a turn 0.0 ± 0.0 points | 2 of 2 seeds"
    assert f"| Fashion-MNIST: with Binary contexts it does not. | {swing}" in text
    text = table("figure-5", "contexts")
    assert "| *Local mix* improves on *fast*. | 0° over the last turn 70.0 ± 0.0 against 70.0" in (
        text
    )
    assert "context right in 11.1 ± 0.0 %" in text  # context 0 at 4 of 36 angles


def test_claims_are_counted_seed_by_seed():
    fast, mixed = (
        RotatingRun(method=METHODS[name], contexts=1000) for name in ("Complex", "LocalMix")
    )
    records = [
        a_record(dataclasses.replace(run, seed=seed)) for run in (fast, mixed) for seed in SEEDS
    ]
    records[0]["curve"]["correct"] = [0] * 100
    (claim,) = claims_of_contexts(records)
    assert claim.text == "*Local mix* improves on *fast*."
    assert claim.holds == "1 of 3 seeds"
    assert claims_of_forgetting(records) == []


def test_a_result_by_another_source_has_no_curve():
    record = a_record(RotatingRun())
    own, samples = result_of(record), result_of(record, "samples")
    assert (own.final, own.turn, own.circle) == (80.0, 80.0, 80.0)
    assert (samples.final, samples.turn, samples.lowest, samples.circle) == (60.0, None, None, 60.0)
    assert inferred_correctly(record, "samples") == pytest.approx(100 * 4 / 36)


def test_the_clock_beside_inferred_contexts_is_of_the_same_images():
    # Two contexts of half a turn each, four angles, ten images: `circle` has other images.
    reach = {"images": 10, "degrees": [0.0, 90.0, 180.0, 270.0], "contexts": [0, 1]}
    reach |= {"correct": [[9, 1], [8, 2], [3, 7], [4, 6]]}
    record = {"config": {"period": 100, "contexts": 2}, "reach": reach}
    assert clock_beside_inferred(record) == pytest.approx(100 * (9 + 8 + 7 + 6) / 40)
    assert clock_beside_inferred(record | {"config": {"period": 100, "contexts": 20}}) is None
