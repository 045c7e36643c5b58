"""The study on permuted images: its command line, its records, and resumed runs."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from experiments.methods.comparison import WITHOUT_PEFT
from experiments.methods.method import METHODS, Method, named
from experiments.runner.checkpoint import Checkpoint
from experiments.runner.command_line import parse_runs
from experiments.runner.files import DamagedFile
from experiments.runner.networks import build_mlp
from experiments.runner.record import config_of, read_record, start_record, write_record
from experiments.studies.permuting.paper import TABLE_RECIPE
from experiments.studies.permuting.presets import ALL, PAPER, PENALISED, PRESETS, SEEDS
from experiments.studies.permuting.published import PROTOCOLS, published_table
from experiments.studies.permuting.run import STRENGTHS, PermutingRun
from experiments.studies.permuting.study import STUDY
from experiments.studies.permuting.summary import paper_table, result_of, table
from experiments.tests.small import ROOT, record_of, run_all, skip_without_peft, stop_and_resume

SMOKE = PRESETS["smoke"]
MEASURED = ("numbers", "curve", "rows", "final")
SINGLE_HEAD = [name for name, method in METHODS.items() if not method.heads]


def small(method, **changes):
    """Return a run of three tasks of the digits, which takes a second or less."""
    strength = {"EWC": 30.0, "OnlineEWC": 30.0, "SI": 0.3}.get(method)
    recipe = {"dataset": "digits", "tasks": 3, "steps": 60, "learning_rate": 3e-3, "width": 32}
    recipe |= {"curve_every": 20, "fisher_images": 20, "strength": strength}
    return PermutingRun(method=METHODS[method], **recipe | changes)


def parse(*arguments):
    return parse_runs(PermutingRun, PRESETS, arguments=arguments)[0]


def test_every_method_leaves_a_record_and_is_not_run_again(tmp_path):
    command = [sys.executable, "experiments/permuting.py", "smoke", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    folder = tmp_path / "permuting"
    records = {path.name: read_record(path) for path in folder.iterdir()}
    assert {record["config"]["method"] for record in records.values()} == {
        str(method) for method in (*ALL, *WITHOUT_PEFT)
    }
    assert len(records) == len(SMOKE)
    assert "| 2×16 | Binary |" in done.stdout
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    run_all(STUDY, SMOKE, tmp_path)
    assert times == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.parametrize("method", SINGLE_HEAD)
def test_a_record_holds_the_whole_accuracy_matrix(method, tmp_path):
    skip_without_peft(method)
    run = small(method, steps=5, curve_every=2)
    record = json.loads(json.dumps(record_of(STUDY, run, tmp_path), allow_nan=False))
    assert record["status"] == "complete"
    assert record["config"] == config_of(run)
    assert record["curve"]["steps"] == [2, 4, 5, 6, 8, 10, 12, 14, 15]
    for part in ("steps", "correct", "loss"):
        assert len(record["curve"][part]) == 9
    assert [len(row) for row in record["rows"]["correct"]] == [1, 2, 3]
    assert record["rows"]["images"] == 360  # the whole test set, less than 10,000 for 3 tasks
    assert record["final"] == {"images": 360, "correct": record["rows"]["correct"][-1]}
    assert set(record["seconds_of"]) == {"training", "observing", "checkpoints"}
    assert {"torch", "commit", "device", "peak_memory_mb"} <= set(record["environment"])
    assert record["environment"]["deterministic"]
    assert record["resumed_at"] == []
    assert record["commits"] == [record["environment"]["commit"]]


def test_contexts_and_separate_nets_forget_less_than_the_standard_net(tmp_path):
    def final(method):
        record = record_of(STUDY, small(method, steps=120), tmp_path)
        return [right / record["final"]["images"] for right in record["final"]["correct"]]

    standard, binary, single = (final(method) for method in ("standard", "Binary", "single"))
    assert min(single) > 0.8
    assert standard[-1] > 0.8 > standard[0]
    assert sum(single) > sum(binary) > sum(standard) + 0.2


@pytest.mark.parametrize(
    "method", ["Binary", "Complex", "LearnedBinary", "EWC", "OnlineEWC", "SI", "single"]
)
@pytest.mark.parametrize("stopped_after", [70, 130])
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    method, stopped_after, tmp_path, monkeypatch
):
    run = small(method)
    whole = record_of(STUDY, run, tmp_path)
    commits = iter(["one", "another"])
    monkeypatch.setattr("experiments.runner.trainer.current_commit", lambda: next(commits))
    fraction = stopped_after // 20 * 20 / 180
    resumed = stop_and_resume(STUDY, run, tmp_path, monkeypatch, fraction)
    assert resumed["resumed_at"] == [stopped_after // 20 * 20]
    assert resumed["commits"] == ["one", "another"]
    for part in MEASURED:
        assert resumed[part] == whole[part]


def test_a_run_does_not_continue_from_the_checkpoint_of_another_one(tmp_path):
    run = small("Binary")
    path = tmp_path / f"{run.name}.checkpoint"
    Checkpoint(path, description="other steps").save({"step": 1})
    with pytest.raises(DamagedFile, match="checkpoint of a run with other settings, other steps"):
        record_of(STUDY, run, tmp_path)


def test_a_killed_command_continues_when_it_is_given_again(tmp_path):
    options = "--method SI --width 64 --dataset digits --tasks 8 --steps 100".split()
    options += ["--checkpoint-seconds", "0", "--curve-every", "10"]
    (run,) = runs = parse(*options)
    folder = tmp_path / "killed" / "permuting"
    command = [sys.executable, "experiments/permuting.py", *options, "--out", str(folder.parent)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    checkpoint = folder / f"{run.name}.checkpoint"
    try:
        deadline = time.monotonic() + 60
        while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert checkpoint.exists()
    (resumed,) = run_all(STUDY, runs, folder.parent)
    (whole,) = run_all(STUDY, runs, tmp_path / "whole")
    assert len(resumed["resumed_at"]) == 1
    for part in MEASURED:
        assert resumed[part] == whole[part]
    assert [path.name for path in folder.iterdir()] == [f"{run.name}.json"]


def test_the_presets_are_complete():
    figures = {"figure-2", "figure-3", "table", "price", "price-digits"}
    others = {"search", "ten-tasks", "many-tasks", "learning-rate", "three-layers", "smoke"}
    others |= {"price-search", "price-digits-search", "published", "published-search"}
    assert set(PRESETS) == figures | others
    for name, preset in PRESETS.items():
        if not name.startswith(("smoke", "price", "published")):
            for run in preset:
                recipe = (run.dataset, run.steps, run.batch, run.hidden_layers)
                tasks = {"ten-tasks": (10,), "many-tasks": (100, 250)}.get(name, (50,))
                layers = 3 if name == "three-layers" else 2
                assert run.tasks in tasks
                assert recipe == ("mnist", 1000, 128, layers)
                assert run.learning_rate == (1e-3 if name == "learning-rate" else 1e-4)
                if run.precision == "bfloat16":  # the widest, and those that show its effect
                    precise = dataclasses.replace(run, precision="float32")
                    assert run.width > 512 or precise in preset

    def cells(name):
        return {(run.method, run.width, run.seed) for run in PRESETS[name]}

    assert cells("figure-2") == {
        (method, width, seed)
        for method in named("standard", "Binary")
        for width in (128, 256, 512, 1024, 2048)
        for seed in SEEDS
    }
    assert cells("figure-3") == {(method, 256, seed) for method in ALL for seed in SEEDS}
    assert cells("table") == {
        *((method, width, seed) for method in ALL for width in (256, 512) for seed in SEEDS),
        *((method, 2000, seed) for method in PAPER for seed in SEEDS),
        *((method, 2000, 0) for method in (*PENALISED, *named("single"))),
        *((method, 2000, 1) for method in PENALISED),
    }
    assert not cells("search") & cells("table")


def test_the_wide_penalties_of_the_table_have_the_strengths_best_after_ten_tasks_too():
    records, _ = STUDY.records_of("ten-tasks", ROOT / "experiments" / "results")
    wide_runs = [run for run in PRESETS["table"] if run.width == 2000]
    shown = {(str(run.method), run.strength, run.seed) for run in wide_runs}
    for method in STRENGTHS:
        wide = {"method": method, "width": 2000}
        searched = [record for record in records if wide.items() <= record["config"].items()]
        best = max(searched, key=lambda record: result_of(record).last)["config"]
        # No seed both chooses and is reported.
        assert best["seed"] == 0
        assert {(method, STRENGTHS[method], 0), (method, best["strength"], 1)} <= shown


def test_a_preset_shares_its_runs_with_others_and_can_be_run_in_part():
    assert set(PRESETS["figure-3"]) < set(PRESETS["table"])
    chosen = "table --method SI Binary --width 256 --precision float32 --seed 1"
    assert [run.name for run in parse(*chosen.split())] == [
        "mnist-Binary-2x256-seed1",
        f"mnist-SI-strength{STRENGTHS['SI']:g}-2x256-seed1",
    ]


def test_the_strengths_are_those_that_the_search_found_best():
    records, _ = STUDY.records_of("search", ROOT / "experiments" / "results")
    for method, strength in STRENGTHS.items():
        searched = [record for record in records if record["config"]["method"] == method]
        best = max(searched, key=lambda record: result_of(record).last)
        assert best["config"]["strength"] == strength


def test_options_choose_from_a_preset_or_replace_what_its_runs_share():
    runs = parse("smoke", "--method", "SI", "Binary", "--steps", "40", "--precision", "float32")
    assert [(str(run.method), run.steps, run.strength) for run in runs] == [
        ("Binary", 40, None),
        ("SI", 40, STRENGTHS["SI"]),
    ]
    assert {run.compile for run in parse("smoke", "--compile")} == {True}
    assert {run.strength for run in parse("search", "--method", "SI", "--strength", "0.1")} == {0.1}


def test_without_a_preset_every_combination_is_run():
    runs = parse("--method", "SI", "Binary", "--strength", "2", "3", "--width", "32", "64")
    assert [(str(run.method), run.width, run.strength) for run in runs] == [
        *(("SI", 32, 2.0), ("SI", 32, 3.0), ("SI", 64, 2.0), ("SI", 64, 3.0)),
        *(("Binary", 32, None), ("Binary", 64, None)),
    ]
    assert parse() == (PermutingRun(),)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--method binary", "unknown method 'binary'; choose from standard, Binary"),
        ("--method multi-head", "unknown method 'multi-head'; choose from standard, Binary"),
        ("--checkpoint-seconds -1", "checkpoint_seconds must not be negative, but is -1"),
        ("--method KroneckerRotation --width 31", "dim=31 is prime"),
        ("--address tcp://127.0.0.1:1", "is for backend=dask, not loky"),
        ("--backend dask", "needs the address of a cluster"),
        ("figure-2 --width 9", "the preset has no run with width=9; leave the preset out"),
    ],
)
def test_bad_values_end_the_command_before_any_work(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(*arguments.split())
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_cluster_without_its_package_is_refused(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SystemExit):
        parse("--backend", "dask", "--address", "tcp://127.0.0.1:1")
    assert "needs the package distributed, which is not installed" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["Binary", "Complex"])
def test_bfloat16_learns_as_well(method, tmp_path):
    precise, rough = (
        record_of(STUDY, small(method, precision=precision), tmp_path)
        for precision in ("float32", "bfloat16")
    )
    for one, other in zip(precise["final"]["correct"], rough["final"]["correct"], strict=True):
        assert abs(one - other) < 20
    assert rough["curve"]["loss"] != precise["curve"]["loss"]


def test_a_compiled_run_gives_the_same_result(tmp_path, monkeypatch):
    # The compiler's front end alone: compiling the graph would take a minute and test torch.
    compile_ = torch.compile
    monkeypatch.setattr("torch.compile", lambda net: compile_(net, backend="aot_eager"))
    plain, compiled = (
        record_of(STUDY, small("Binary", compile=chosen), tmp_path) for chosen in (False, True)
    )
    torch.compiler.reset()
    assert compiled["final"]["correct"] == pytest.approx(plain["final"]["correct"], abs=4)
    assert compiled["curve"]["loss"] == pytest.approx(plain["curve"]["loss"], rel=0.02)


def test_the_record_of_another_run_is_neither_used_nor_overwritten(tmp_path):
    run = SMOKE[0]
    path = tmp_path / "permuting" / f"{run.name}.json"
    write_record(path, start_record("permuting", dataclasses.replace(run, learning_rate=1e-3)))
    before = path.read_bytes()
    with pytest.raises(DamagedFile, match=r"holds the record of another run .* move it away"):
        run_all(STUDY, [run], tmp_path)
    assert path.read_bytes() == before


def test_different_runs_have_different_names():
    run = PermutingRun(method=Method(penalty="SI"), strength=0.1)
    near = dataclasses.replace(run, strength=0.1000000001)
    also = dataclasses.replace(run, learning_rate=1.00000001e-4)
    assert len({run.name, near.name, also.name}) == 3


def test_the_papers_results_stand_only_beside_runs_with_its_recipe(tmp_path):
    record = record_of(STUDY, small("Binary"), tmp_path)

    def like_the_paper(**changed):
        return [record | {"config": record["config"] | TABLE_RECIPE | changed}]

    assert "| 97.6 |" in table(like_the_paper())
    (row,) = paper_table(like_the_paper()).splitlines()[2:]
    assert row.startswith("| Binary | ")
    assert "| 97.6 |" in row
    others = {"dataset": "digits", "width": 256, "tasks": 10, "hidden_layers": 3}
    for name, value in (others | {"learning_rate": 1e-3}).items():
        assert "97.6" not in table(like_the_paper(**{name: value}))
        assert not paper_table(like_the_paper(**{name: value})).splitlines()[2:]


def test_parameters_stored_are_those_of_table_1():
    def counts(method, tasks=50):
        learner = METHODS[method].learner(
            lambda seed: build_mlp(784, 256, 10, seed),
            num_contexts=tasks,
            seed=0,
            learning_rate=1e-4,
            strength=1.0,
        )
        return learner.num_parameters(tasks)

    weights, units = 784 * 256 + 256 * 256 + 256 * 10, 784 + 256 + 256
    net = weights + 256 + 256 + 10
    assert counts("standard") == {"total": net, "per_added_model": 0}
    assert counts("single") == {"total": 50 * net, "per_added_model": net}
    for method in ("Binary", "LearnedBinary"):
        assert counts(method) == {"total": net + 50 * units, "per_added_model": units}
    assert counts("Complex") == {"total": 2 * net + 50 * units, "per_added_model": units}
    assert counts("OnePower")["per_added_model"] == 3
    assert counts("EWC") == {"total": 3 * net, "per_added_model": 0}


@pytest.mark.skipif(os.cpu_count() == 1, reason="two workers want two cores")
@pytest.mark.filterwarnings("ignore")  # the cluster's own, when it is shut down
def test_the_grid_runs_on_a_dask_cluster_of_two_workers(tmp_path):
    distributed = pytest.importorskip("distributed")
    runs = parse("smoke", "--method", "Binary", "EWC", "single")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        on_cluster = run_all(STUDY, runs, tmp_path / "cluster", backend="dask", address=address)
    locally = run_all(STUDY, runs, tmp_path / "local")
    for ours, theirs in zip(locally, on_cluster, strict=True):
        for part in MEASURED:
            assert ours[part] == theirs[part]


def test_padded_unit_pixels_and_adam_make_another_run_that_resumes(tmp_path, monkeypatch):
    run = small("SI", optimiser="Adam", pixels="unit", padding=1)
    plain = small("SI")
    assert run.name == f"{plain.name}-optimiserAdam-pixelsunit-padding1"
    learner, stream, _ = STUDY.prepare(run, torch.device("cpu"))
    assert type(learner.optimiser) is torch.optim.Adam
    samples, _ = stream.test_set(0)
    assert samples.shape[1] == run.inputs == learner.net[0].in_features == 100
    assert (samples.min(), samples.max()) == (0, 1)
    assert not samples.view(-1, 10, 10)[:, 0].any()
    whole = record_of(STUDY, run, tmp_path)
    resumed = stop_and_resume(STUDY, run, tmp_path, monkeypatch, 80 / 180)
    for part in MEASURED:
        assert resumed[part] == whole[part]


def test_published_values_stand_beside_runs_of_their_protocol_alone(tmp_path):
    record = record_of(STUDY, small("SI"), tmp_path)
    name, protocol = next(iter(PROTOCOLS.items()))
    config = record["config"] | protocol
    (row,) = published_table([record | {"config": config}]).splitlines()[2:]
    assert row.startswith(f"| {name} | SI (0.3) | ")
    assert row.endswith(" | 97.2 | 1 |")
    assert not published_table([record | {"config": config | {"padding": 1}}]).splitlines()[2:]
    assert {(run.tasks, run.batch, run.optimiser) for run in PRESETS["published"]} == {
        (10, 256, "Adam")
    }
    assert not {run.name for run in PRESETS["published-search"]} & {
        run.name for run in PRESETS["published"]
    }
