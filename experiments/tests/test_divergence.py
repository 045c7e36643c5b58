"""A loss that is not finite ends its run, not the grid, and says where it came from."""

import math
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from experiments import incremental, permuting, rotating
from experiments.methods import PENALTIES
from experiments.permuting import Config
from experiments.runner import Learner, read_record, rmsprop, train
from experiments.runner.diverged import Diverged, fault_of
from experiments.runner.groups import read_runs
from psp_data import PermutingStream, load

pytestmark = pytest.mark.reliability


class Spoils(nn.Module):
    """Its output is not finite from the n-th call on."""

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
    assert fault_of(net, torch.tensor(1.0)) is None


def test_every_experiment_says_which_runs_diverged():
    for experiment in (permuting, rotating, incremental):
        run = replace(experiment.PRESETS["smoke"].runs()[0], method="Binary", width=16, seed=2)
        record = {"config": asdict(run), "status": "diverged"}
        record |= {"diverged": {"step": 7, "fault": "layer 1"}}
        assert "Binary 16, seed 2, diverged in step 7: layer 1." in experiment.report([record])


@pytest.mark.parametrize("method", ["standard", "Binary", "Complex", *PENALTIES])
def test_the_record_says_so_and_the_grid_goes_on(method, tmp_path, capsys):
    options = {"dataset": "digits", "width": (16,), "tasks": 2, "steps": 300, "curve_every": 50}
    wild = Config(method=(method,), out=tmp_path, learning_rate=1e30, **options)
    (record,) = permuting.run(wild)
    assert record["status"] == "diverged"
    assert 1 <= record["diverged"]["step"] <= 600
    assert "layer" in record["diverged"]["fault"]
    assert record["curve"]["steps"] == sorted(record["curve"]["steps"])
    (path,) = tmp_path.rglob("*.json")
    assert read_record(path) == record
    assert read_runs(path.parent, "permuting") == []
    assert not list(path.parent.glob("*.checkpoint"))
    records = permuting.run(Config(method=("standard",), out=tmp_path, **options))
    assert [each["status"] for each in records] == ["complete"]
    text = permuting.report([record, *records])
    assert f"{method} 16, seed 0, diverged in step {record['diverged']['step']}: layer" in text
