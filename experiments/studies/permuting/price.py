"""Comparisons of the price of one more model on permuted images, and their learning rates."""

from experiments.methods.comparison import Comparison
from experiments.studies.permuting.run import PermutingRun

FROM_SCRATCH = (
    "standard",
    "Binary",
    "Complex",
    "OnePower",
    "Rotation",
    "KroneckerRotation",
    "SignedPermutation",
    "Permutation",
    "LearnedBinary",
)
"""Names of the standard network and the superpositions without a base."""

DIGITS = Comparison(
    run=PermutingRun,
    recipe={
        "dataset": "digits",
        "width": 64,
        "tasks": 20,
        "steps": 300,
        "batch": 64,
        "learning_rate": 1e-3,
        "curve_every": 300,
    },
    grid={
        "LoRA-1": (1e-3, 3e-3, 1e-2, 3e-2),
        "LoRA-4": (1e-3, 3e-3, 1e-2, 3e-2),
        "LoRA-16": (1e-3, 3e-3, 1e-2, 3e-2),
        "IA3": (1e-2, 3e-2, 1e-1, 3e-1),
        "fine-tuned": (3e-4, 1e-3, 3e-3, 1e-2),
        "BitDelta": (1e-4, 3e-4, 1e-3, 3e-3),
        "offline-Binary": (1e-5, 3e-5, 1e-4, 3e-4),
        "offline-SignedPermutation": (1e-5, 3e-5, 1e-4, 3e-4),
        "SupSup": (3e-4, 1e-3, 3e-3, 1e-2),
        "XdG": (3e-4, 1e-3, 3e-3, 1e-2),
        "XdG-SI": (1e-3, 3e-3, 1e-2, 3e-2),
        "base-Binary": (1e-4, 3e-4, 1e-3, 3e-3),
        "base-SignedPermutation": (1e-4, 3e-4, 1e-3, 3e-3),
        "base-Complex": (1e-4, 3e-4, 1e-3, 3e-3),
        "single": (3e-4, 1e-3, 3e-3, 1e-2),
        **dict.fromkeys(FROM_SCRATCH, (1e-4, 3e-4, 1e-3)),
        "standard": (3e-5, 1e-4, 3e-4, 1e-3),
    },
    strengths=(0.01, 0.1, 1.0),
    rates={
        "LoRA-1": 1e-2,
        "LoRA-4": 1e-2,
        "LoRA-16": 3e-3,
        "IA3": 1e-1,
        "fine-tuned": 3e-3,
        "BitDelta": 3e-4,
        "offline-Binary": 1e-4,
        "offline-SignedPermutation": 1e-4,
        "SupSup": 3e-3,
        "XdG": 3e-3,
        "XdG-SI": 1e-2,
        "base-Binary": 3e-4,
        "base-SignedPermutation": 3e-4,
        "base-Complex": 3e-4,
        "single": 1e-3,
        **dict.fromkeys(FROM_SCRATCH, 3e-4),
        "standard": 1e-4,
    },
    strength=0.1,
)
"""The digits: minutes instead of hours."""

MNIST = Comparison(
    run=PermutingRun,
    recipe={},
    grid={
        "LoRA-1": (1e-3, 3e-3, 1e-2),
        "LoRA-4": (1e-3, 3e-3, 1e-2),
        "LoRA-16": (3e-4, 1e-3, 3e-3, 1e-2),
        "IA3": (1e-2, 3e-2, 1e-1),
        "fine-tuned": (1e-4, 3e-4, 1e-3, 3e-3),
        "BitDelta": (3e-5, 1e-4, 3e-4, 1e-3),
        "offline-Binary": (3e-6, 1e-5, 3e-5, 1e-4),
        "SupSup": (1e-4, 3e-4, 1e-3, 3e-3),
        "XdG": (1e-4, 3e-4, 1e-3),
        "XdG-SI": (1e-4, 3e-4),
        "base-Binary": (1e-5, 3e-5, 1e-4, 3e-4),
        "base-SignedPermutation": (1e-5, 3e-5, 1e-4, 3e-4),
    },
    strengths=(0.1, 1.0, 10.0),
    # Of LoRA-16, fine-tuned, BitDelta, base and offline the best of the first search, at its edge.
    rates={
        "LoRA-1": 3e-3,
        "LoRA-4": 3e-3,
        "LoRA-16": 1e-3,
        "IA3": 3e-2,
        "fine-tuned": 1e-3,
        "BitDelta": 1e-4,
        "offline-Binary": 1e-5,
        "SupSup": 1e-3,
        "XdG": 3e-4,
        "XdG-SI": 3e-4,
        "base-Binary": 3e-5,
        "base-SignedPermutation": 3e-5,
    },
    strength=1.0,
    search_recipe={"tasks": 10},
)
"""Permuted MNIST with the paper's recipe."""
