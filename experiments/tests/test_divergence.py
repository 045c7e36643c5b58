"""A loss that is not finite ends its run, not the grid, and the error names its source."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from experiments.methods.method import METHODS, named
from experiments.runner.diverged import Diverged, find_fault
from experiments.runner.groups import groups_of
from experiments.runner.learner import Learner
from experiments.runner.optimiser import rmsprop
from experiments.runner.record import config_of, read_record
from experiments.runner.run import sweep
from experiments.runner.trainer import train
from experiments.studies import load_study
from experiments.studies.permuting.run import PermutingRun
from experiments.studies.permuting.study import STUDY
from experiments.tests.small import run_all
from psp_data import PermutingStream, load

pytestmark = pytest.mark.reliability


class Spoils(nn.Module):
    """A layer whose output is not finite from the n-th call on."""

    def __init__(self, calls, value):
        super().__init__()
        self.calls = calls
        self.value = value

    def forward(self, x):
        self.calls -= 1
        return x * self.value if self.calls <= 0 else x


def trained(net, **options):
    stream = PermutingStream(load("digits"), num_tasks=2, seed=0, batch_size=8, steps_per_task=10)
    learner = Learner(net, rmsprop(net.parameters(), lr=1e-3), **options)
    log = {}
    train(learner, stream, log, num_steps=20, every=5, observe=lambda done, loss: None)
    return log


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_layer_and_the_step_are_named(value):
    net = nn.Sequential(nn.Linear(64, 8), Spoils(7, value), nn.ReLU(), nn.Linear(8, 10))
    with pytest.raises(Diverged, match=r"diverged in step 7: layer 1 \(Spoils\): its output holds"):
        trained(net)
    assert all(parameter.isfinite().all() for parameter in net.parameters())


def test_a_parameter_is_named():
    net = nn.Sequential(nn.Linear(64, 8), nn.Linear(8, 10))
    net[1].bias.data[3] = math.nan
    with pytest.raises(Diverged, match=r"step 1: layer 1 \(Linear\): its parameter bias holds nan"):
        trained(net)


def test_a_parameter_that_only_the_last_step_spoils_is_named():
    net = nn.Sequential(nn.Linear(64, 10))
    steps = []

    class Spoiling(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            steps.append(1)
            if len(steps) == 20:
                net[0].weight.data[0, 0] = math.inf

    stream = PermutingStream(load("digits"), num_tasks=2, seed=0, batch_size=8, steps_per_task=10)
    learner = Learner(net, Spoiling(net.parameters(), lr=1e-3))
    with pytest.raises(Diverged, match=r"step 20: layer 0 \(Linear\): its parameter weight holds"):
        train(learner, stream, {}, num_steps=20, every=5, observe=lambda done, loss: None)


def test_a_finite_run_is_left_alone():
    assert trained(nn.Sequential(nn.Linear(64, 10)))["step"] == 20


def test_numbers_whose_sum_is_not_finite_are_left_alone():
    net = nn.Linear(2, 4)
    nn.init.constant_(net.weight, 3e38)
    assert find_fault(net, torch.tensor(1.0)) is None


@pytest.mark.parametrize("name", ["permuting", "rotating", "incremental"])
def test_every_experiment_reports_the_runs_that_diverged(name):
    study = load_study(name)
    run = replace(study.presets["smoke"][0], method=METHODS["Binary"], width=16, seed=2)
    record = {"config": config_of(run), "status": "diverged"}
    record |= {"diverged": {"step": 7, "fault": "layer 1"}}
    assert "Binary 16, seed 2, diverged in step 7: layer 1." in study.report([record])


@pytest.mark.parametrize("method", ["standard", "Binary", "Complex", "EWC", "OnlineEWC", "SI"])
def test_a_diverged_run_leaves_a_record_and_the_grid_continues(method, tmp_path):
    recipe = {"dataset": "digits", "width": 16, "tasks": 2, "steps": 300, "curve_every": 50}
    wild = sweep(PermutingRun, method=METHODS[method], learning_rate=1e30, **recipe)
    (record,) = run_all(STUDY, wild, tmp_path)
    assert record["status"] == "diverged"
    assert 1 <= record["diverged"]["step"] <= 600
    assert "layer" in record["diverged"]["fault"]
    assert record["curve"]["steps"] == sorted(record["curve"]["steps"])
    (path,) = tmp_path.rglob("*.json")
    assert read_record(path) == record
    assert groups_of([record]) == []
    assert not list(path.parent.glob("*.checkpoint"))
    records = run_all(STUDY, sweep(PermutingRun, method=named("standard"), **recipe), tmp_path)
    assert [record["status"] for record in records] == ["complete"]
    text = STUDY.report([record, *records])
    assert f"{method} 16, seed 0, diverged in step {record['diverged']['step']}: layer" in text
