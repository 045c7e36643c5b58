"""Presets of the study on incremental CIFAR; only `paper` has the paper's size."""

from typing import Any

from experiments.methods.method import Method, named
from experiments.runner.run import sweep
from experiments.studies.incremental.run import CPU_SIZE, IncrementalRun
from psp_contexts import KroneckerRotationContexts

SEEDS = (0, 1, 2)

PAPER = named("standard", "multi-head", "Binary")
"""Methods of the paper, all with its BatchNorm."""

VARIANTS: tuple[tuple[str, tuple[Method, ...]], ...] = (
    ("batch", PAPER),
    ("shared", named("standard", "EWC", "OnlineEWC", "SI")),
    ("per-context", named("standard", "Binary", "SignedPermutation")),
    ("per-context", named("multi-head", "multi-head-EWC", "multi-head-SI")),
    ("shared", named("single")),
)
"""All methods, by their norms: with the paper's BatchNorm, plain nets with the usual one, and norms
for each task with contexts or heads. `single` needs no protection of its norms."""


BASE_VARIANTS: tuple[tuple[str, tuple[Method, ...]], ...] = (
    ("batch", named("base-Binary", "base-two-sided-Binary")),
    ("batch", named("base-SignedPermutation", "base-two-sided-SignedPermutation")),
    ("batch", named("base-KroneckerRotation", "base-two-sided-KroneckerRotation")),
    ("batch", named("multi-head")),
    ("shared", named("EWC", "SI")),
    ("per-context", named("multi-head-EWC", "multi-head-SI")),
)
"""Methods that continue from the network of the first task, with another learning rate."""

BASE_ROWS = (*BASE_VARIANTS, ("per-context", named("base-Binary", "base-two-sided-Binary")))
"""Those of the preset `base`; norms per context have the learning rates of batch statistics."""


LATER_RATES: dict[str, float | None] = {
    "base-Binary": 3e-4,
    "base-two-sided-Binary": 3e-4,
    "base-SignedPermutation": 3e-4,
    "base-two-sided-SignedPermutation": 3e-4,
    "base-KroneckerRotation": 3e-4,  # not searched: that of the others
    "base-two-sided-KroneckerRotation": 3e-4,
    "multi-head": 1e-4,
    "EWC": 3e-4,
    "SI": None,  # that of the first task, 1e-3
    "multi-head-EWC": None,
    "multi-head-SI": None,
}
"""Learning rates of the tasks after the first: those of `base-search` with the highest accuracy on
all tasks at the end."""

BASE_METHODS = tuple(m for _, methods in BASE_VARIANTS for m in methods if m.base)


def _every(*, seed: int | tuple[int, ...], **values: Any) -> tuple[IncrementalRun, ...]:
    """Return the runs of every method, the seed fastest."""
    return tuple(
        run
        for norms, methods in VARIANTS
        for run in sweep(IncrementalRun, **values, method=methods, norms=norms, seed=seed)
    )


def _search(penalties: tuple[str, ...], *strengths: float) -> tuple[IncrementalRun, ...]:
    """Return runs with a seed that is in no table, so that no run both chooses and is reported."""
    runs: list[IncrementalRun] = []
    for norms, methods in VARIANTS:
        penalised = tuple(method for method in methods if method.penalty in penalties)
        grid = {"method": penalised, "norms": norms, "seed": 100, "strength": strengths}
        runs += sweep(IncrementalRun, **CPU_SIZE, steps=500, **grid)
    return tuple(runs)


def _base_search(*rates: float) -> tuple[IncrementalRun, ...]:
    """Return runs with the seed of `_search`; rivals at 1e-3 are in `search`."""
    runs: list[IncrementalRun] = []
    for norms, methods in BASE_VARIANTS:
        searched = tuple(m for m in methods if m.family is not KroneckerRotationContexts)
        grid = {"method": searched, "norms": norms, "seed": 100, "later_learning_rate": rates}
        runs += sweep(IncrementalRun, **CPU_SIZE, steps=500, **grid)
    return tuple(run for run in runs if not run.method.penalty or run.later_learning_rate != 1e-3)


_MEDIUM: dict[str, Any] = {
    "precision": "bfloat16",
    "channels_last": True,
    "curve_every": 250,
    "curve_images": 1000,
    "norms": "batch",
}

_SMOKE: dict[str, Any] = {
    **CPU_SIZE,
    "tasks": "split-digits",
    "width": 4,
    "steps": 5,
    "batch": 32,
    "precision": "float32",
    "curve_every": 3,
    "fisher_images": 16,
}

PRESETS = {
    "paper": sweep(IncrementalRun, method=PAPER, norms="batch"),
    # Half the paper's channels, so a quarter of its weights, its batch and a tenth of its steps.
    # A run takes 3 to 5 hours on one core.
    "medium": (
        *sweep(IncrementalRun, width=32, steps=2000, **_MEDIUM, method=PAPER),
        *sweep(IncrementalRun, width=32, steps=2000, **_MEDIUM, method=named("Binary"), seed=1),
        *sweep(
            IncrementalRun,
            width=32,
            steps=2000,
            **_MEDIUM,
            method=named("base-Binary", "base-SignedPermutation"),
            later_learning_rate=3e-4,
        ),
    ),
    "wide": sweep(IncrementalRun, steps=1000, **_MEDIUM, method=named("Binary", "standard")),
    # 1/40 of the paper's steps: 14 methods with 3 seeds take an hour on two cores.
    "cpu": _every(steps=500, **CPU_SIZE, seed=SEEDS),
    # Half the images of the ten-class tasks, so half the steps.
    "split-cifar100": _every(tasks="split-cifar100", steps=250, **CPU_SIZE, seed=SEEDS),
    "search": (
        *_search(("EWC", "OnlineEWC"), 10.0, 30.0, 100.0, 300.0, 1000.0),
        *_search(("SI",), 1.0, 3.0, 10.0, 30.0, 100.0),
    ),
    "base": tuple(
        run
        for norms, methods in BASE_ROWS
        for method in methods
        for run in sweep(
            IncrementalRun,
            **CPU_SIZE,
            steps=500,
            method=method,
            norms=norms,
            later_learning_rate=LATER_RATES[str(method)],
            seed=SEEDS,
        )
    ),
    # Learning rates of the tasks after the first.
    "base-search": _base_search(1e-3, 3e-4, 1e-4),
    "smoke": (
        *_every(**_SMOKE, seed=0),
        *sweep(IncrementalRun, **_SMOKE, norms="batch", method=BASE_METHODS, seed=0),
    ),
}
