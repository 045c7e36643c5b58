"""Retrieval of one model from among K: aligned models, and trained layers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.retrieval import Retrieval, aligned_models, measure_retrieval
from experiments.methods.method import FAMILIES
from experiments.runner.trainer import train
from experiments.studies.permuting.run import PermutedTestImages, PermutingRun, prepare

OUT_FEATURES = 16
"""Rows of an aligned model, over which the noise is averaged."""

LAYER_INPUTS = 16
"""Number of test images with which a trained layer is read."""


@dataclass(frozen=True)
class AlignedCell:
    """Aligned models of one length in one family."""

    family: str
    dim: int
    models: int
    seed: int
    device: str

    @property
    def name(self) -> str:
        """Stem of the files."""
        return f"aligned-{self.family}-{self.dim}-seed{self.seed}"

    def cost(self) -> float:
        """Estimate the time to draw contexts and store models; a Haar draw takes dim³."""
        haar = self.dim if self.family == "Rotation" else 0
        return self.models * self.dim * (1e-5 + 1e-7 * haar)


@dataclass(frozen=True)
class TrainedCell:
    """Hidden layers of networks that are trained apart, read in every family.

    Attributes:
        families: Names of the families.
        run: A run with one plain network, whose tasks are learned by one network each.
        device: Device to compute on.
    """

    families: tuple[str, ...]
    run: PermutingRun
    device: str

    @property
    def name(self) -> str:
        """Stem of the files."""
        return f"trained-{self.run.width}-seed{self.run.seed}"

    def cost(self) -> float:
        """Estimate the time, in the unit of `AlignedCell`: mostly the training."""
        return self.run.tasks * self.run.steps * self.run.width * 1e-5


def retrieve_aligned(cell: AlignedCell) -> dict[str, list[dict[str, float]]]:
    """Measure the curve over K of models whose weights are all aligned with one rectified input.

    W_k = u_k xᵀ has ρ = 1, the paper's case. A context must do all the work here: without one,
    all K models answer at once.

    Returns:
        `points`: one for each K.
    """
    weights, inputs = aligned_models(
        cell.models, OUT_FEATURES, cell.dim, seed=cell.seed, shared=True, rectified=True
    )
    contexts = FAMILIES[cell.family](cell.dim, cell.models, seed=cell.seed, name="aligned")
    counts = doubling(cell.models, between=True)
    points = measure_retrieval(
        contexts, (weights, inputs), counts, reads=16, expected=True, device=cell.device
    )
    return {"points": [_plain(point) for point in points]}


def retrieve_trained(cell: TrainedCell) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Measure the curves over K of trained hidden layers, whole and as differences from the start.

    Returns:
        By family, then by "whole" and "difference": one point for each K.
    """
    start, weights, inputs = train_apart(cell)
    models, width = weights.shape[:2]
    results = {}
    for family in cell.families:
        contexts = FAMILIES[family](width, models, seed=cell.run.seed, name="trained")
        results[family] = {
            name: [
                _plain(point)
                for point in measure_retrieval(
                    contexts,
                    (stored, inputs),
                    doubling(models),
                    reads=4,
                    expected=True,
                    device=cell.device,
                )
            ]
            for name, stored in (("whole", weights), ("difference", weights - start))
        }
    return results


def train_apart(cell: TrainedCell) -> tuple[Tensor, Tensor, Tensor]:
    """Train one network per permuted task, all from one start, none in superposition.

    Returns:
        Of the layer between the hidden ones: the weights at the start (width, width), trained
        (models, width, width), and inputs on test images (models, LAYER_INPUTS, width).
    """
    weights, inputs = [], []
    for task in range(cell.run.tasks):
        learner, stream, _ = prepare(cell.run, torch.device(cell.device))
        layer = learner.net.get_parameter("2.weight")
        start = layer.detach().clone()
        first = stream.first_step(task)
        train(
            learner,
            stream,
            {"step": first},
            num_steps=first + cell.run.steps,
            every=cell.run.steps,
            observe=lambda done, loss: None,
        )
        weights.append(layer.detach())
        with torch.no_grad():
            samples, _ = PermutedTestImages(stream)(task, LAYER_INPUTS)
            inputs.append(torch.relu(learner.net.get_submodule("0")(samples)))
    return start, torch.stack(weights), torch.stack(inputs)


def doubling(limit: int, *, between: bool = False) -> list[int]:
    """Return 2, 4, 8, … up to and including `limit`; with 3, 6, 12, … `between`."""
    powers = [2**exponent for exponent in range(1, limit.bit_length())]
    halfway = [power * 3 // 2 for power in powers] if between else []
    return sorted({count for count in (*powers, *halfway) if count < limit} | {limit})


def _plain(point: Retrieval) -> dict[str, float]:
    """Convert a point to JSON values for the record."""
    assert point.expected_snr is not None
    return {
        "models": point.num_models,
        "snr": _rounded(point.snr),
        "expected": _rounded(point.expected_snr),
        "rho2": _rounded(point.squared_alignment),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def mean_curve(curves: Sequence[Sequence[dict[str, float]]], field: str) -> list[float]:
    """Average noise powers over seeds: the reciprocal of the mean reciprocal SNR."""
    return [
        len(curves) / sum(1 / point[field] for point in points)
        for points in zip(*curves, strict=True)
    ]
