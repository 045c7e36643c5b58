"""The comparison of the price of one more model on incremental CIFAR, and its learning rates."""

from experiments.methods.comparison import Comparison
from experiments.studies.incremental.run import CPU_SIZE, IncrementalRun

ICIFAR = Comparison(
    run=IncrementalRun,
    recipe={"norms": "batch", "steps": 500, **CPU_SIZE},
    grid={
        "LoRA-1": (1e-3, 3e-3, 1e-2),
        "LoRA-4": (1e-3, 3e-3, 1e-2),
        "LoRA-16": (3e-4, 1e-3, 3e-3),
        "IA3": (3e-3, 1e-2, 3e-2),
        "fine-tuned": (3e-4, 1e-3, 3e-3),
        "BitDelta": (1e-4, 3e-4, 1e-3),
        "offline-Binary": (3e-5, 1e-4, 3e-4),
        "SupSup": (1e-3, 3e-3, 1e-2),
    },
    # Not searched yet.
    rates={
        "LoRA-1": 3e-3,
        "LoRA-4": 3e-3,
        "LoRA-16": 1e-3,
        "IA3": 1e-2,
        "fine-tuned": 1e-3,
        "BitDelta": 3e-4,
        "offline-Binary": 1e-4,
        "SupSup": 3e-3,
    },
)
"""Rivals at the size of the preset `cpu`."""

SPLIT_CIFAR100 = Comparison(
    run=IncrementalRun,
    recipe={**ICIFAR.recipe, "tasks": "split-cifar100", "steps": 250},
    grid={},
    rates=ICIFAR.rates | {"base-Binary": 3e-4},
)
"""The same on tasks of five classes, at the learning rates of `ICIFAR`."""
