"""Learner, stream and measurement of a run on rotating images."""

from typing import Any

import torch
from torch import nn

from experiments.runner.images import load_images
from experiments.runner.learner import Learner
from experiments.runner.networks import build_mlp
from experiments.studies.rotating.measure import RotatingMeasurement
from experiments.studies.rotating.run import RotatingRun
from experiments.studies.rotating.selection import (
    ByAppearance,
    ByConfidence,
    SelectingLearner,
    Selector,
)
from psp_data import RotatingStream


def prepare(
    run: RotatingRun, device: torch.device
) -> tuple[Learner, RotatingStream, RotatingMeasurement]:
    """Build the learner, the stream and the measurement of a run."""
    stream = RotatingStream(
        load_images(run.dataset).to(device),
        run.seed,
        period=run.period,
        num_contexts=run.contexts,
        num_tasks=1,
        batch_size=run.batch,
    )
    learner = learner_of(run, stream)
    return learner, stream, RotatingMeasurement(learner, stream, run)


def learner_of(run: RotatingRun, stream: RotatingStream) -> Learner:
    """Build the learner of a run."""
    pixels = stream.images.train_images[0].numel()

    def build(seed: int) -> nn.Module:
        layers = build_mlp(pixels, run.width, stream.num_classes, seed, run.hidden_layers)
        return nn.Sequential(nn.Flatten(), *layers)

    options: dict[str, Any] = {"precision": run.precision, "compiled": run.compile}
    learner = run.method.learner(
        build,
        num_contexts=run.contexts,
        seed=run.seed,
        learning_rate=run.learning_rate,
        device=stream.device,
        **options,
    )
    if run.choose == "clock":
        return learner
    selector: Selector = (
        ByAppearance(run.contexts, pixels, stream.device)
        if run.choose == "appearance"
        else ByConfidence(run.contexts, learner.net)
    )
    return SelectingLearner(learner.net, learner.optimiser, selector, **options)
