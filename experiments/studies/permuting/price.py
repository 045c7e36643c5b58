"""Runs of the presets on the price of one more model, and their learning rates."""

from dataclasses import dataclass
from typing import Any

from experiments.methods.method import METHODS, Method, named
from experiments.runner.run import sweep
from experiments.studies.permuting.run import PermutingRun

Runs = tuple[PermutingRun, ...]

OFFLINE = named("offline-Binary", "offline-SignedPermutation")
"""Superpositions of networks fine-tuned apart."""

BASED = tuple(method for method in METHODS.values() if method.base)
"""Superpositions over the network of the first task."""

WITHOUT_PEFT = (*named("fine-tuned", "BitDelta"), *OFFLINE, *named("SupSup", "XdG", "XdG-SI"))
"""Rivals that need no further package."""

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

RIVALS = (*named("LoRA-1", "LoRA-4", "LoRA-16", "IA3"), *WITHOUT_PEFT)

SEARCH_SEED = 100
"""A seed that is in no table, so that no run both chooses and is reported."""


@dataclass(frozen=True)
class Comparison:
    """A comparison of all methods at one size.

    Attributes:
        recipe: Values of the runs that differ from their defaults.
        grid: Learning rates to search, by method; of the later tasks if it has a base.
        strengths: Strengths of SI beside gates to search.
        rates: Learning rates that the search found best on all tasks at the end. Over a base,
            families that were not searched have the rate of Binary.
        strength: Strength of SI beside gates that it found best.
        search_tasks: Tasks of the search for methods whose models do not change each other, for
            which few are enough; by default all.
    """

    recipe: dict[str, Any]
    grid: dict[str, tuple[float, ...]]
    strengths: tuple[float, ...]
    rates: dict[str, float]
    strength: float
    search_tasks: int | None = None

    def search(self) -> Runs:
        """Return the runs of the search."""
        runs: list[PermutingRun] = []
        for name, rates in self.grid.items():
            method = Method.parse(name)
            values: dict[str, Any] = {"seed": SEARCH_SEED}
            if self.search_tasks and method.rival and method.rival not in ("offline", "XdG"):
                values["tasks"] = self.search_tasks
            if method.penalty:
                values["strength"] = self.strengths
            runs += self._runs(method, rates, **values)
        return tuple(runs)

    def runs(self, seeds: tuple[int, ...], others: tuple[Method, ...]) -> Runs:
        """Return the runs of all rivals and superpositions over a base, the seed slowest.

        Args:
            seeds: Seeds of each.
            others: Further methods.
        """
        runs: list[PermutingRun] = []
        for seed in seeds:
            for method in (*others, *RIVALS, *BASED):
                strength = {"strength": self.strength} if method.rival and method.penalty else {}
                rate = self._rate_of(method)
                runs += self._runs(method, () if rate is None else (rate,), seed=seed, **strength)
        return tuple(runs)

    def _rate_of(self, method: Method) -> float | None:
        """Return the learning rate that the search found best; None for that of the recipe."""
        if method.has_base and method.family:
            binary = "offline-Binary" if method.rival else "base-Binary"
            return self.rates.get(str(method), self.rates[binary])
        return self.rates.get(str(method))

    def _runs(self, method: Method, rates: tuple[float, ...], **values: Any) -> Runs:
        """Return runs at those learning rates; at that of the recipe if there are none."""
        name = "later_learning_rate" if method.has_base else "learning_rate"
        options = {**self.recipe, "method": method, **({name: rates} if rates else {}), **values}
        return sweep(PermutingRun, **options)


DIGITS = Comparison(
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
    recipe={},
    grid={
        "LoRA-1": (1e-3, 3e-3, 1e-2),
        "LoRA-4": (1e-3, 3e-3, 1e-2),
        "LoRA-16": (1e-3, 3e-3, 1e-2),
        "IA3": (1e-2, 3e-2, 1e-1),
        "fine-tuned": (1e-4, 3e-4, 1e-3),
        "BitDelta": (1e-4, 3e-4, 1e-3),
        "offline-Binary": (1e-5, 3e-5, 1e-4),
        "SupSup": (1e-4, 3e-4, 1e-3, 3e-3),
        "XdG": (1e-4, 3e-4, 1e-3),
        "XdG-SI": (1e-4, 3e-4),
        "base-Binary": (3e-5, 1e-4, 3e-4),
        "base-SignedPermutation": (3e-5, 1e-4, 3e-4),
    },
    strengths=(0.1, 1.0, 10.0),
    # Not searched yet.
    rates=dict.fromkeys(("base-Binary", "offline-Binary"), 1e-4),
    strength=1.0,
    search_tasks=10,
)
"""Permuted MNIST with the paper's recipe."""
