"""Prediction of how many networks fit, from the first few of a run."""

import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analysis.capacity import Retention, predict_retention
from experiments.methods.accuracies import Accuracies
from experiments.methods.method import METHODS
from experiments.runner.device import Device
from experiments.runner.diverged import Diverged
from experiments.runner.learner import Learner
from experiments.runner.record import Record
from experiments.runner.training import run_to_record
from experiments.studies.permuting.run import PermutingRun, prepare
from psp_data import PermutingStream


@dataclass(frozen=True)
class Plan:
    """Size of a prediction.

    Attributes:
        observed: Number of networks to learn from.
        models: Number of networks to predict for.
        tolerance: Points of mean accuracy that the other models may cost.
    """

    observed: int
    models: int
    tolerance: tuple[float, ...]


class Predicting:
    """Measures the accuracies of a run, and after its first few tasks predicts the others.

    Args:
        learner: The learner.
        accuracies: Its accuracies.
        run: The run.
        plan: Size of the prediction.

    Attributes:
        log: That of the accuracies, with `predicted` in the end, and until then the `states` of the
            network. For the numbers of models K in `models`, `predicted` holds fractions:
            `accuracy`, the mean of all K; its `spread`; `retained`, the accuracy of the oldest.
            It also holds `measured`, the accuracy matrix, and `capacity`: for each tolerance, in
            points, the number of `models`, its interval `low` to `high`, `at_limit`, `observed`.
        num_steps: Number of steps of the run.
        every: Number of steps between two measurements.
    """

    def __init__(
        self, learner: Learner, accuracies: Accuracies, run: PermutingRun, plan: Plan
    ) -> None:
        self.log = accuracies.log
        self.num_steps, self.every = accuracies.num_steps, accuracies.every
        self._learner, self._accuracies, self._run, self._plan = learner, accuracies, run, plan

    def __call__(self, done: int, loss: float) -> str:
        """Measure what is due after `done` steps; return the current accuracies in words."""
        words = self._accuracies(done, loss)
        learned, within = divmod(done, self._run.steps)
        if within == 0 and learned <= self._plan.observed:
            states = self.log.setdefault("states", [])
            states.append(copy.deepcopy(self._learner.net.state_dict()))
            if learned == self._plan.observed:
                self.log["predicted"] = self._predict(self.log.pop("states"))
        return words

    def _predict(self, states: list[dict[str, Any]]) -> dict[str, Any]:
        images: int = self.log["rows"]["images"]

        def evaluate(net: nn.Module, task: int) -> float:
            return self._accuracies.count(task, images) / images

        retention = predict_retention(
            self._learner.net,
            states,
            evaluate,
            num_models=self._plan.models,
            seed=self._run.seed,
        )
        return _plain(retention, self._plan.tolerance)


def train_and_predict(run: PermutingRun, *, plan: Plan, folder: Path, device: Device) -> Record:
    """Train a run to its record, which also holds `predicted` unless it has no contexts.

    Raises:
        Diverged: If the network diverged.
    """
    predicts = run.method != METHODS["standard"]
    record = run_to_record(
        run,
        experiment=f"capacity with {plan}",  # so that no checkpoint of another plan continues
        prepare=partial(_prepare, plan=plan) if predicts else prepare,
        folder=folder,
        device=device,
        checkpoint_seconds=10.0,
    )
    if record["status"] == "diverged":
        raise Diverged(record["diverged"]["fault"], record["diverged"]["step"])
    return record


def _prepare(
    run: PermutingRun, device: torch.device, plan: Plan
) -> tuple[Learner, PermutingStream, Predicting]:
    learner, stream, accuracies = prepare(run, device)
    return learner, stream, Predicting(learner, accuracies, run, plan)


def _plain(retention: Retention, tolerance: tuple[float, ...]) -> dict[str, Any]:
    """Convert a prediction to JSON values for the record."""
    capacities = {points: retention.capacity(points / 100) for points in tolerance}
    accuracy, spread = retention.mean_accuracy()
    tested = [count for count in retention.further if count < len(accuracy)]
    return {
        "models": [count + 1 for count in tested],
        "accuracy": _rounded(accuracy[tested]),
        "spread": _rounded(spread[tested]),
        "retained": _rounded(retention.accuracy()[tested]),
        "measured": [_rounded(row[: k + 1]) for k, row in enumerate(retention.matrix)],
        "capacity": {
            f"{points:g}": {
                "models": capacity.num_models,
                "low": capacity.interval[0],
                "high": capacity.interval[1],
                "at_limit": capacity.at_limit,
                "observed": capacity.observed,
            }
            for points, capacity in capacities.items()
        },
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 5) for value in values]
