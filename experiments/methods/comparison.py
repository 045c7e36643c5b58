"""Comparisons of methods, each at the learning rate that a search found best."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from experiments.methods.method import METHODS, Method, named
from experiments.runner.run import AnyRun, sweep

OFFLINE = named("offline-Binary", "offline-SignedPermutation")
"""Superpositions of networks fine-tuned apart."""

WITHOUT_PEFT = (*named("fine-tuned", "BitDelta"), *OFFLINE, *named("SupSup", "XdG", "XdG-SI"))
"""Rivals that need no further package."""

RIVALS = (*named("LoRA-1", "LoRA-4", "LoRA-16", "IA3"), *WITHOUT_PEFT)
"""Other ways to keep many models."""

CONVOLUTIONAL = tuple(method for method in RIVALS if method.rival != "XdG")
"""Rivals for convolutions, too; XdG gates the units of an MLP."""

BASED = tuple(method for method in METHODS.values() if method.base)
"""Superpositions over the network of the first task."""

SEARCH_SEED = 100
"""A seed that is in no table, so that no run both chooses and is reported."""


@dataclass(frozen=True)
class Comparison(Generic[AnyRun]):
    """A comparison of methods at one size.

    Attributes:
        run: Class of its runs.
        recipe: Values of the runs that differ from their defaults.
        grid: Learning rates to search, by method; of the later tasks if it has a base.
        rates: Learning rates that the search found best on all tasks at the end. Others have that
            of Binary over a base or offline, or that of the recipe.
        strengths: Strengths of SI beside gates to search.
        strength: The one that the search found best.
        search_recipe: Values of the search's runs for methods that forget nothing, for which few
            tasks are enough.
    """

    run: type[AnyRun]
    recipe: dict[str, Any]
    grid: dict[str, tuple[float, ...]]
    rates: dict[str, float]
    strengths: tuple[float, ...] = ()
    strength: float | None = None
    search_recipe: dict[str, Any] = field(default_factory=dict)

    def search(self) -> tuple[AnyRun, ...]:
        """Return the runs of the search."""
        runs: list[AnyRun] = []
        for method, rates in zip(named(*self.grid), self.grid.values(), strict=True):
            values: dict[str, Any] = {"seed": SEARCH_SEED}
            if method.penalty:
                values["strength"] = self.strengths
            if method.rival and method.rival not in ("offline", "XdG"):
                values |= self.search_recipe
            runs += self._runs(method, rates, **values)
        return tuple(runs)

    def runs(self, methods: Sequence[Method], seeds: Sequence[int]) -> tuple[AnyRun, ...]:
        """Return the runs of methods, the seed slowest."""
        runs: list[AnyRun] = []
        for seed in seeds:
            for method in methods:
                strength = {"strength": self.strength} if method.rival and method.penalty else {}
                rate = self._rate_of(method)
                runs += self._runs(method, () if rate is None else (rate,), seed=seed, **strength)
        return tuple(runs)

    def _rate_of(self, method: Method) -> float | None:
        rate = self.rates.get(str(method))
        if rate is None and method.has_base and method.family:
            rate = self.rates["offline-Binary" if method.rival else "base-Binary"]
        return rate

    def _runs(self, method: Method, rates: tuple[float, ...], **values: Any) -> tuple[AnyRun, ...]:
        """Return runs at those learning rates; at that of the recipe if there are none."""
        name = "later_learning_rate" if method.has_base else "learning_rate"
        options = {**self.recipe, "method": method, **({name: rates} if rates else {}), **values}
        return sweep(self.run, **options)
