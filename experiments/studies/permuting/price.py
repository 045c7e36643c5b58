"""Runs of the study's presets on the price of one more model, and their learning rates."""

from experiments.methods.method import METHODS, Method, named
from experiments.runner.run import sweep
from experiments.studies.permuting.run import PermutingRun

Runs = tuple[PermutingRun, ...]

ADAPTERS = named("LoRA-1", "LoRA-4", "LoRA-16", "IA3")
"""Rivals that train few parameters, from a base."""

APART = named("fine-tuned", "BitDelta")
"""Rivals that train all weights from a base, and keep no weights together."""

OFFLINE = named("offline-Binary", "offline-SignedPermutation")

BASED = tuple(method for method in METHODS.values() if method.base)
"""Superpositions over the network of the first task."""

FROM_SCRATCH = named("SupSup", "XdG", "XdG-SI")

RATES: dict[str, float] = {}
"""Learning rate of each method that `price-search` searched, of the later tasks if it has a base:
the one with the highest accuracy on all tasks at the end."""

XDG_SI_STRENGTH = 1.0
"""Strength of SI beside gates that `price-search` found best."""

SEARCHED = {"base-Binary", "base-SignedPermutation", "offline-Binary"}
"""Superpositions over a base whose rate is searched; it serves the other families, too."""


def price_search() -> Runs:
    """Return runs with a seed that is in no table, so that no run both chooses and is reported.

    Ten tasks are enough for methods whose models do not change each other.
    """
    options = {"seed": 100}
    return (
        *_at(ADAPTERS, (1e-3, 3e-3, 1e-2, 3e-2), tasks=10, **options),
        *_at(APART, (1e-4, 3e-4, 1e-3), tasks=10, **options),
        *_at(named("SupSup"), (1e-4, 3e-4, 1e-3, 3e-3), tasks=10, **options),
        *_at(named("XdG"), (1e-4, 3e-4, 1e-3), **options),
        *_at(named("XdG-SI"), (1e-4, 3e-4), strength=(0.1, 1.0, 10.0), **options),
        *_at(named(*sorted(SEARCHED)), (3e-5, 1e-4, 3e-4), **options),
    )


def price(seeds: tuple[int, ...], others: tuple[Method, ...]) -> Runs:
    """Return the runs of every method at the size of `figure-3`, the seed slowest.

    Args:
        seeds: Seeds of each.
        others: Methods with the paper's recipe, whose runs other presets have, too.
    """
    runs: list[PermutingRun] = []
    for seed in seeds:
        runs += sweep(PermutingRun, method=others, seed=seed)
        for method in (*ADAPTERS, *APART, *OFFLINE, *FROM_SCRATCH, *BASED):
            options = {"strength": XDG_SI_STRENGTH} if method.penalty else {}
            runs += _at((method,), (rate_of(method),), seed=seed, **options)
    return tuple(runs)


def rate_of(method: Method) -> float:
    """Return the method's learning rate, that of Binary for a family that was not searched."""
    searched = {"offline": "offline-Binary"}.get(method.rival or "", "base-Binary")
    return RATES.get(str(method), RATES.get(searched, 1e-4))


def _at(methods: tuple[Method, ...], rates: tuple[float, ...], **values: object) -> Runs:
    """Return runs at learning rates, of the later tasks for methods with a base."""
    runs: list[PermutingRun] = []
    for method in methods:
        name = "later_learning_rate" if method.has_base else "learning_rate"
        runs += sweep(PermutingRun, method=method, **{name: rates}, **values)
    return tuple(runs)
