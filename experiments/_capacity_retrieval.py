"""How well one model is read back from among K: aligned models, and trained layers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.retrieval import Retrieval, aligned_models, measure_retrieval
from experiments._capacity_networks import Training
from experiments.runner import FAMILIES, build_mlp

OUT_FEATURES = 16
"""Rows of an aligned model: noise is averaged over them."""

LAYER_INPUTS = 16
"""With how many test images a trained layer is read."""


@dataclass(frozen=True)
class AlignedCell:
    """Aligned models of one length in one family."""

    family: str
    dim: int
    models: int
    seed: int
    device: str

    def cost(self) -> float:
        """A guess of the time: contexts drawn and models stored; a Haar draw takes dim³."""
        haar = self.dim if self.family == "Rotation" else 0
        return self.models * self.dim * (1e-5 + 1e-7 * haar)


@dataclass(frozen=True)
class TrainedCell:
    """Hidden layers of one width, of networks trained apart, in every family."""

    families: tuple[str, ...]
    width: int
    models: int
    seed: int
    training: Training

    def cost(self) -> float:
        """A guess of the time, in the unit of AlignedCell: mostly the training."""
        return self.models * self.training.steps * self.width * 1e-5


def retrieve_aligned(cell: AlignedCell) -> dict[str, list[dict[str, float]]]:
    """The curve over K for models that all use one input, as it leaves a ReLU, with all weights.

    W_k = u_k xᵀ has ρ = 1: the paper's case, in which a context must do all the work, since
    without one all K models answer at once.

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
    """The curves over K for trained hidden layers, whole and as differences from their start.

    Returns:
        By family, then by "whole" and "difference": one point for each K.
    """
    start, weights, inputs = train_apart(cell)
    results = {}
    for family in cell.families:
        contexts = FAMILIES[family](cell.width, cell.models, seed=cell.seed, name="trained")
        results[family] = {
            name: [
                _plain(point)
                for point in measure_retrieval(
                    contexts,
                    (stored, inputs),
                    doubling(cell.models),
                    reads=4,
                    expected=True,
                    device=cell.training.device,
                )
            ]
            for name, stored in (("whole", weights), ("difference", weights - start))
        }
    return results


def train_apart(cell: TrainedCell) -> tuple[Tensor, Tensor, Tensor]:
    """One network per permuted task, all from one start, none in superposition.

    Returns:
        Of the layer between the hidden ones: the weights at the start (width, width), trained
        (models, width, width), and inputs on test images (models, LAYER_INPUTS, width).
    """
    stream = cell.training.stream(cell.models, cell.seed)
    weights, inputs = [], []
    for task in range(cell.models):
        net = build_mlp(stream.sample_shape[0], cell.width, stream.num_classes, cell.seed)
        net = net.to(cell.training.device)
        layer = net.get_parameter("2.weight")
        start = layer.detach().clone()
        cell.training.learn(net, cell.training.optimiser(net), stream, task)
        weights.append(layer.detach())
        with torch.no_grad():
            samples = stream.test_set(task)[0][:LAYER_INPUTS]
            inputs.append(torch.relu(net[0](samples)))
    return start, torch.stack(weights), torch.stack(inputs)


def doubling(limit: int, *, between: bool = False) -> list[int]:
    """2, 4, 8, … up to and with `limit`; with 3, 6, 12, … `between`."""
    powers = [2**exponent for exponent in range(1, limit.bit_length())]
    halfway = [power * 3 // 2 for power in powers] if between else []
    return sorted({count for count in (*powers, *halfway) if count < limit} | {limit})


def _plain(point: Retrieval) -> dict[str, float]:
    """A point as a record holds it."""
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
    """Over seeds: the reciprocal of the mean reciprocal, so that noise powers are averaged."""
    return [
        len(curves) / sum(1 / point[field] for point in points)
        for points in zip(*curves, strict=True)
    ]
