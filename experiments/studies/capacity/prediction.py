"""Prediction of how many networks fit, from the first few."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from analysis.capacity import Retention, predict_retention
from experiments.runner.trainer import train
from experiments.studies.permuting.run import PermutedTestImages, PermutingRun, prepare


@dataclass(frozen=True)
class PredictionCell:
    """Networks that are trained in superposition, and more of them that are predicted.

    Attributes:
        run: The networks to train, one for each task.
        models: Number of networks to predict for.
        test_images: Largest number of test images for each task.
        tolerance: Points of mean accuracy that the other models may cost.
        device: Device to compute on.
    """

    run: PermutingRun
    models: int
    test_images: int
    tolerance: tuple[float, ...]
    device: str

    @property
    def name(self) -> str:
        """Stem of the files."""
        return f"predicted-{self.models}-{self.run.name}"

    def cost(self) -> float:
        """Estimate the time, in the unit of the run: a simulation takes about as long again."""
        return 2 * self.run.cost()


def predict(cell: PredictionCell) -> dict[str, Any]:
    """Train the networks of a cell, and predict the rest.

    Returns:
        For the numbers of models K in `models`, fractions: `accuracy`, the mean of all K, its
        `spread`, and `retained`, the accuracy of the oldest. The `measured` accuracy matrix.
        `capacity`: for each tolerance, in points, `models` with its interval `low` to `high`,
        `at_limit` and `observed`.
    """
    retention = _retention(cell)
    capacities = {points: retention.capacity(points / 100) for points in cell.tolerance}
    accuracy, spread = retention.mean_accuracy()
    tested = list(retention.further)
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


def _retention(cell: PredictionCell) -> Retention:
    learner, stream, _ = prepare(cell.run, torch.device(cell.device))
    images = PermutedTestImages(stream)
    count = min(cell.test_images, len(stream.images.test_labels))
    log: dict[str, Any] = {"step": 0}
    states = []
    for task in range(cell.run.tasks):
        train(
            learner,
            stream,
            log,
            num_steps=(task + 1) * cell.run.steps,
            every=cell.run.steps,
            observe=lambda done, loss: None,
        )
        states.append(copy.deepcopy(learner.net.state_dict()))

    def evaluate(net: nn.Module, task: int) -> float:
        samples, labels = images(task, count)
        return int((net(samples).argmax(-1) == labels).sum()) / count

    learner.net.eval()
    return predict_retention(
        learner.net, states, evaluate, num_models=cell.models, seed=cell.run.seed
    )


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 5) for value in values]
