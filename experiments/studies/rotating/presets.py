"""Presets of the study on rotating images: each but `smoke` has 50 turns of 1000 steps."""

from typing import Any

from experiments.methods.method import named
from experiments.runner.run import sweep
from experiments.studies.rotating.run import RotatingRun

FAMILIES = named("standard", "Binary", "Complex", "OnePower", "Rotation", "SignedPermutation")
"""Methods of figure 4; SignedPermutation is not in the paper."""

FAST = named("Complex", "LocalMix")
"""*Fast* and *fast with local mix*: variants of Complex, as in the paper."""

SEEDS = (0, 1, 2)


def _sweep(**values: Any) -> tuple[RotatingRun, ...]:
    return sweep(RotatingRun, **values, seed=SEEDS)


def _smoke(**values: Any) -> tuple[RotatingRun, ...]:
    size = {"turns": 3, "period": 40, "batch": 32, "width": 16, "curve_images": 50}
    recipe = {"learning_rate": 3e-3, "curve_every": 5, "inferred_every": 20}
    return sweep(RotatingRun, dataset="digits", **size, **recipe, **values)


PRESETS = {
    "figure-4": (
        *_sweep(dataset=("mnist", "fashion_mnist"), method=FAMILIES),
        *_sweep(hidden_layers=9, method=named("standard", "Binary")),  # ten layers of weights
    ),
    "figure-5": (
        *_sweep(method=FAMILIES),
        *_sweep(contexts=1000, method=FAST),
        # Open questions of the paper.
        *_sweep(method=named("LearnedBinary", "LearnedComplex")),
        *_sweep(choose=("appearance", "confidence"), method=named("Complex")),
    ),
    "smoke": (
        *_smoke(method=FAMILIES),
        *_smoke(contexts=40, method=FAST),
        *_smoke(method=named("LearnedBinary")),
        *_smoke(choose=("appearance", "confidence"), method=named("Complex")),
        *_smoke(hidden_layers=9, method=named("Binary")),
    ),
}
