"""Retrieval of one model from among K: aligned models, and trained layers."""

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, nn

from analysis.networks import LayerRetrieval, network_retrieval
from analysis.retrieval import Retrieval, aligned_models, measure_retrieval
from experiments.methods.method import FAMILIES
from experiments.runner.trainer import train
from experiments.studies.permuting.run import PermutedTestImages, PermutingRun, prepare
from psp_contexts import Contexts
from psp_nn import store, superpose

OUT_FEATURES = 16
"""Rows of an aligned model, over which the noise is averaged."""

LAYER = "2"
"""Name of the trained layer that is read: the one between the hidden layers."""

READS = 4
"""Largest number of trained models to read."""

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
    start, models, samples = train_apart(cell)
    starts = {"whole": copy.deepcopy(start), "difference": start}
    nn.init.zeros_(starts["whole"].get_parameter(f"{LAYER}.weight"))
    return {
        family: {
            name: _store_and_read(cell, family, base, models, samples)
            for name, base in starts.items()
        }
        for family in cell.families
    }


def _store_and_read(
    cell: TrainedCell, family: str, base: nn.Module, models: list[nn.Module], samples: list[Tensor]
) -> list[dict[str, float]]:
    """Store one layer of growing numbers of models over a base, and read some of them each time.

    Each model keeps its other layers to itself, so that the layer receives what it was trained on.
    """

    def contexts(dim: int, num_contexts: int, *, seed: int, name: str) -> Contexts:
        return FAMILIES[family](dim, num_contexts, seed=seed, name="trained")

    linear = [name for name, module in base.named_modules() if isinstance(module, nn.Linear)]
    net = superpose(
        base,
        family=contexts,
        num_contexts=len(models),
        seed=cell.run.seed,
        base=True,
        two_sided=False,
        include=LAYER,
        own=[name for name in linear if name != LAYER],
        bias_per_context=True,
    )
    points = []
    for stored, count in itertools.pairwise([0, *doubling(len(models))]):
        for k in range(stored, count):
            store(net, k, models[k])
        reads = torch.linspace(0, count - 1, min(READS, count)).round().long().tolist()
        layers = [network_retrieval(net, models[:count], samples[k], read=k)[0] for k in reads]
        points.append(_mean_point(count, layers))
    return points


def _mean_point(count: int, layers: list[LayerRetrieval]) -> dict[str, float]:
    """Average powers over the models read, as the record holds them."""
    signal, noise, expected, rho2 = (
        fmean(getattr(layer, name) for layer in layers)
        for name in ("signal", "noise", "expected_noise", "squared_alignment")
    )
    return {
        "models": count,
        "snr": _rounded(signal / noise),
        "expected": _rounded(signal / expected),
        "rho2": _rounded(rho2),
    }


def train_apart(cell: TrainedCell) -> tuple[nn.Module, list[nn.Module], list[Tensor]]:
    """Train one network per permuted task, all from one start, none in superposition.

    Returns:
        The network at the start, the trained ones, and LAYER_INPUTS test images for each.
    """
    models, samples = [], []
    for task in range(cell.run.tasks):
        learner, stream, _ = prepare(cell.run, torch.device(cell.device))
        start = copy.deepcopy(learner.net)
        first = stream.first_step(task)
        train(
            learner,
            stream,
            {"step": first},
            num_steps=first + cell.run.steps,
            every=cell.run.steps,
            observe=lambda done, loss: None,
        )
        models.append(learner.net)
        samples.append(PermutedTestImages(stream)(task, LAYER_INPUTS)[0])
    return start, models, samples


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
