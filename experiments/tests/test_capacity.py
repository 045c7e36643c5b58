"""The study of capacity: its parts on small cases, and its smallest preset."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from statistics import geometric_mean

import pytest
import torch

from experiments.runner.checkpoint import Checkpoint
from experiments.runner.files import DamagedFile
from experiments.runner.record import read_record
from experiments.studies.capacity.config import PRESETS, SMOKE, CapacityConfig
from experiments.studies.capacity.measure import measure
from experiments.studies.capacity.predict import PredictConfig
from experiments.studies.capacity.prediction import Plan, train_and_predict
from experiments.studies.capacity.retrieval import (
    AlignedCell,
    TrainedCell,
    doubling,
    retrieve_aligned,
    retrieve_trained,
)
from experiments.studies.capacity.study import STUDY
from experiments.studies.capacity.summary import (
    accuracy_curves,
    aligned_capacities,
    growth,
    network_capacities,
    network_table,
    predicted_curve,
    report,
)
from experiments.studies.permuting.run import prepare
from experiments.tests.small import ROOT


def test_the_smallest_study_leaves_a_record_and_figures_and_prints_its_tables(tmp_path):
    command = [sys.executable, "experiments/capacity.py", "smoke", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    record = read_record(tmp_path / "capacity-smoke.json")
    assert record["status"] == "complete"
    assert report(record) in done.stdout
    assert {run["family"] for run in record["networks"]} == set(SMOKE.trained)
    for part in ("networks", "retrieval"):
        for ending in ("png", "svg"):
            path = tmp_path / f"capacity-smoke-{part}.{ending}"
            assert path.stat().st_size > 5000
            assert str(path) in done.stdout


def test_the_same_config_gives_the_same_results_in_any_number_of_processes(tmp_path):
    config = dataclasses.replace(SMOKE, families=("Rotation",), widths=(8,))
    one, two = (
        measure(dataclasses.replace(config, jobs=jobs, out=tmp_path / str(jobs))) for jobs in (1, 2)
    )
    for part in ("aligned", "trained", "networks", "predicted"):
        assert one[part] == two[part]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"families": ("binary",)}, r"unknown families 'binary'; choose from .*Binary"),
        ({"families": ()}, "families must be different values, at least one"),
        ({"widths": (64, 64)}, "widths must be different values"),
        ({"seeds": (2, 2)}, "seeds must be one number or one for each of the 3 widths"),
        ({"models": 1}, "models must be at least 2, not 1"),
        ({"observed": 2}, "observed must be at least 3, not 2"),
        ({"observed": 51}, "observed=51 is more than tasks=50"),
        ({"tolerance": (float("nan"),)}, "tolerance must be points between 0 and 100"),
        ({"untrained": ("None",)}, "unknown untrained 'None'; choose from"),
        ({"families": ("KroneckerRotation",), "widths": (31,)}, "dim=31 is prime"),
    ],
)
def test_bad_values_are_refused_before_any_work(change, message):
    with pytest.raises(ValueError, match=message):
        CapacityConfig(**change)


def test_other_studies_have_other_names_and_other_machines_the_same():
    assert CapacityConfig().name == "capacity-digits"
    assert {preset.name for preset in PRESETS.values()} == {
        f"capacity-{name}" for name in ("smoke", "mnist", "ten-seeds")
    }
    assert (
        dataclasses.replace(CapacityConfig(), jobs=7, out=Path("elsewhere")).name
        == "capacity-digits"
    )
    assert dataclasses.replace(CapacityConfig(), tasks=7).name != CapacityConfig().name


def test_a_batch_larger_than_the_images_is_refused_before_any_work(tmp_path):
    with pytest.raises(SystemExit, match="batch=2000 is more than the 1437 training images"):
        STUDY.main(arguments=["smoke", "--batch", "2000", "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_networks_are_kept_with_contexts_and_lost_without(tmp_path):
    config = dataclasses.replace(
        SMOKE,
        families=("Binary", "Identity"),
        widths=(64,),
        tasks=8,
        steps=40,
        test_images=200,
        out=tmp_path,
    )
    kept, lost = measure(config)["networks"]
    for result in (kept, lost):
        assert [len(row) for row in result["correct"]] == list(range(1, 9))
        assert result["test_images"] == 200
    assert min(kept["correct"][-1]) > 0.7 * 200
    assert lost["correct"][-1][-1] > 0.7 * 200 > 0.5 * 200 > lost["correct"][-1][0]


def test_aligned_models_follow_the_closed_form():
    for family in ("Rotation", "Binary", "Permutation", "OnePower"):
        points = retrieve_aligned(AlignedCell(family, 64, 32, seed=0, device="cpu"))["points"]
        assert [point["models"] for point in points] == doubling(32, between=True)
        assert all(point["rho2"] == pytest.approx(1, abs=1e-4) for point in points)
        # One draw of contexts, so the noise of a few models is far from its mean; over the curve
        # and 16 outputs each, half or double would be.
        ratios = [point["snr"] / point["expected"] for point in points]
        assert 0.5 < geometric_mean(ratios) < 2


def test_differences_from_a_start_are_read_back_far_better_than_whole_weights():
    # Design: full weights trained apart cannot be superposed afterwards, differences can.
    (run,) = dataclasses.replace(SMOKE, widths=(64,), steps=40).runs("Identity", 64, tasks=6)
    cell = TrainedCell(("Binary",), run, device="cpu")
    curves = retrieve_trained(cell)["Binary"]
    assert curves["whole"][-1]["snr"] < 2
    assert curves["difference"][-1]["snr"] > 2 * curves["whole"][-1]["snr"]


def test_a_run_is_not_continued_under_another_plan(tmp_path):
    (run,) = dataclasses.replace(SMOKE, steps=40).runs("Binary", 8, tasks=4)
    arguments = {"folder": tmp_path, "device": "cpu"}
    first = train_and_predict(run, plan=Plan(3, 20, (5.0,)), **arguments)
    assert first["predicted"]["models"][-1] == 20
    assert "states" not in first
    log, (learner, _, _) = {"states": [{}]}, prepare(run, torch.device("cpu"))
    description = {"experiment": f"capacity with {Plan(3, 20, (5.0,))}", **first["config"]}
    Checkpoint(tmp_path / f"{run.name}.checkpoint", description=json.dumps(description)).save(
        {"learner": learner.state_dict(), "log": log | {"step": 40}}
    )
    with pytest.raises(DamagedFile, match="checkpoint of a run with other settings"):
        train_and_predict(run, plan=Plan(4, 20, (5.0,)), **arguments)


def test_counts_double_with_a_step_between():
    assert doubling(2) == [2]
    assert doubling(10) == [2, 4, 8, 10]
    assert doubling(16, between=True) == [2, 3, 4, 6, 8, 12, 16]


def a_record():
    """Two seeds, two widths: 10 of 10 right when learned, one more wrong with every two tasks."""

    def run(width, seed, patience):
        rows = [[10 - (i - j) // patience for j in range(i + 1)] for i in range(8)]
        return {"family": "Binary", "width": width, "seed": seed, "test_images": 10} | {
            "correct": rows
        }

    return {
        "config": {
            "families": ["Binary"],
            "untrained": [],
            "widths": [64, 128],
            "dims": [16],
            "tasks": 8,
            "seeds": [2],
            "target_snr": 4.0,
        },
        "networks": [
            run(w, s, p) for w, s, p in [(64, 0, 2), (64, 1, 2), (128, 0, 4), (128, 1, 4)]
        ],
        "aligned": [
            {
                "family": "Binary",
                "dim": 16,
                "seed": 0,
                "points": [
                    {"models": 2, "snr": 16.0, "expected": 15.0, "rho2": 1.0},
                    {"models": 4, "snr": 5.0, "expected": 5.0, "rho2": 1.0},
                    {"models": 8, "snr": 2.0, "expected": 2.5, "rho2": 1.0},
                ],
            }
        ],
    }


def test_the_largest_number_of_networks_is_read_off_the_curves():
    record = a_record()
    learned, now = accuracy_curves(record["networks"][0])
    assert learned == [1.0] * 8
    assert now[:5] == pytest.approx([1.0, 1.0, 29 / 30, 0.95, 0.92])
    capacities = network_capacities(record, "Binary", points=5.0)
    assert [each.num_models for each in capacities[64]] == [4, 4]
    assert [each.num_models for each in capacities[128]] == [8, 8]
    assert all(each.at_limit for each in capacities[128])
    assert growth(capacities).exponent is None  # the wider net was never filled
    assert "| Binary | 4 ± 0.0 | ≥ 8" in network_table(record, 5.0).replace("  ", " ")


def test_the_prediction_stands_in_brackets_behind_the_measured_number():
    record = a_record()
    record["predicted"] = [
        {
            "family": "Binary",
            "width": width,
            "capacity": {"5": {"models": models, "at_limit": limit}},
        }
        for width, models, limit in [(64, 3, False), (64, 6, False), (128, 8, True)]
    ]
    row = network_table(record, 5.0).splitlines()[-1].replace("  ", " ")
    assert row.startswith("| Binary | 4 ± 0.0 (4.5) | ≥ 8 (≥ 8)")


def test_the_predicted_mean_is_interpolated_between_the_tested_numbers():
    run = {"models": [1, 2, 4], "accuracy": [0.9, 0.8, 0.6], "spread": [0.0, 0.1, 0.1]}
    accuracy, spread = predicted_curve(run)
    assert accuracy == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert spread == pytest.approx([0.0, 0.1, 0.1, 0.1])


def test_five_networks_predict_a_hundred(tmp_path, capsys):
    arguments = ["predict", "--width", "32", "--models", "100", "--steps", "40", "--batch", "64"]
    STUDY.main(arguments=[*arguments, "--learning-rate", "1e-3", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    (path,) = tmp_path.glob("predict-digits-*.json")
    record = read_record(path)
    (run,) = record["predicted"]
    assert "| Binary, 32 units |" in printed
    assert path.with_suffix(".png").stat().st_size > 5000
    assert run["models"][-1] == 100
    assert len(run["measured"]) == 5
    # A hundred networks of 32 units: far from all fit, and none is worse than chance.
    assert run["capacity"]["5"]["models"] < 50
    assert 0.05 < run["retained"][-1] < run["retained"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": ("Identity",)}, "unknown family 'Identity'; choose from"),
        ({"models": 4}, "models=4 must be at least observed=5"),
        ({"observed": 2}, "observed must be at least 3, not 2"),
        ({"tolerance": (0.0,)}, "tolerance must be"),
    ],
)
def test_bad_values_of_a_prediction_are_refused_before_any_work(change, message):
    with pytest.raises(ValueError, match=message):
        PredictConfig(**change)


def test_the_largest_number_of_aligned_models_is_read_off_the_curves():
    ((each,),) = aligned_capacities(a_record(), "Binary").values()
    assert (each.num_models, each.fails_at) == (4, 8)
