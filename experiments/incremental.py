"""New classes on one head: the paper's experiment on incremental CIFAR with ResNet-18.

A ResNet-18 learns CIFAR-10, then four times ten classes of CIFAR-100 on the same ten outputs, and
is then asked about all of them. Only the preset `paper` is the paper's size; the others say by
their name that they are not:

    python experiments/incremental.py paper              # 5 × 20,000 steps; for a CUDA machine
    python experiments/incremental.py cpu --jobs 2       # narrower, fewer steps, all methods
    python experiments/incremental.py medium --jobs 2    # half the width, 1/10 of the steps
    python experiments/incremental.py wide               # the paper's net, 1/20 of the steps
    python experiments/incremental.py split-cifar100 --jobs 2    # tasks of five classes, cpu size
    python experiments/incremental.py search --jobs 2    # strengths of EWC and SI, cpu size
    python experiments/incremental.py smoke              # every method on the digits, in seconds
    python experiments/incremental.py paper --precision bfloat16 --channels-last
    python experiments/incremental.py --method Binary --norms per-context --width 16 --steps 500

Before it runs anything it times a few steps and says how long the whole will take. Each run leaves
one record (JSON) in the folder `incremental` of `--out`, and is not run again while that is there.
A run that is stopped goes on from its last checkpoint when the same command is given again.
`python experiments/figures.py` draws the figure from the records.
"""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import tyro

from experiments._incremental_estimate import estimate
from experiments._incremental_run import (
    CPU_SIZE,
    NORMS,
    IncrementalRecipe,
    NormsName,
    Run,
    run_to_record,
)
from experiments._incremental_summary import report
from experiments._incremental_tasks import stream_of
from experiments.methods import CONTEXTS, METHODS, MULTI_HEAD, check_method, penalty_of
from experiments.runner import RunSettings, parse, reported, resolve_device, run_all, runs_of
from experiments.runner.record import Record

EXPERIMENT = "incremental"
"""Names the folder of the records, in `--out` and in `experiments/results`."""

STRENGTHS = {
    "EWC": 30.0,
    "OnlineEWC": 100.0,
    "SI": 3.0,
    "multi-head-EWC": 300.0,
    "multi-head-SI": 30.0,
}
"""What the methods with a penalty are run with unless told otherwise: of those in the preset
`search` the ones with the highest accuracy on all tasks at the end."""

Variant = tuple[str, NormsName]
"""A method and what becomes of BatchNorm."""


@dataclass(frozen=True)
class Grid:
    """Every variant from every seed."""

    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    strengths: tuple[float | None, ...] = (None,)
    """Of the penalty; None stands for the one that the search chose."""


@dataclass(frozen=True, kw_only=True)
class Config(RunSettings, IncrementalRecipe):
    """What to run. Every bad value is refused before any work starts."""

    method: tuple[str, ...] = ()
    """Methods; of a preset all, unless some are named here, and without a preset Binary."""

    norms: tuple[NormsName, ...] = ()
    """BatchNorm with the statistics of the batch and no affine (the paper's), per context, or
    shared; of a preset all, and without a preset per-context for methods that superpose and shared
    for others."""

    seed: tuple[int, ...] = ()
    """Seeds; of a preset all its seeds, without a preset 0."""

    strength: tuple[float, ...] = ()
    """Of the penalty of EWC and SI; by default what the search chose."""

    grids: tyro.conf.Suppress[tuple[Grid, ...]] = ()
    """Of a preset: its runs, from which `method`, `norms` and `seed` choose."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        super().__post_init__()
        self.check_choices({"method": (*METHODS, *MULTI_HEAD), "norms": tuple(NORMS)})
        self.check_different("method", "norms", "seed", "strength")
        self.check_positive("strength")
        for run in self.runs():
            _check(run)

    def runs(self) -> list[Run]:
        """Every run once, in the order of the grids."""
        variants = tuple(
            (method, norms)
            for method in self.method or ("Binary",)
            for norms in self.norms or (_usual_norms(method),)
        )
        grids = self.grids or (Grid(variants, self.seed or (0,)),)
        cells = [cell for grid in grids for cell in _cells(grid, self.strength)]
        return runs_of(self, Run, cells, ("method", "norms", "seed"))


def _usual_norms(method: str) -> NormsName:
    return "per-context" if method in CONTEXTS else "shared"


def _usual_strength(method: str) -> float:
    if method not in STRENGTHS:
        raise ValueError(f"strength: none was searched for {method}; give one with --strength.")
    return STRENGTHS[method]


def _check(run: Run) -> None:
    if penalty_of(run.method) in ("EWC", "OnlineEWC") and run.norms == "batch":
        raise ValueError(
            f"norms: {run.method} asks what single images say of the weights, and the statistics "
            "of a batch of one say nothing; use shared or per-context."
        )
    check_method(run.method, run.width)


def _cells(grid: Grid, strengths: tuple[float, ...]) -> list[dict[str, Any]]:
    """What a grid's runs differ in; methods that have a strength are run with every one."""
    cells = []
    for (method, norms), seed in product(grid.variants, grid.seeds):
        own: tuple[float | None, ...] = (None,)
        if penalty_of(method):
            own = strengths or tuple(
                _usual_strength(method) if each is None else each for each in grid.strengths
            )
        for strength in own:
            cells.append({"method": method, "norms": norms, "seed": seed, "strength": strength})
    return cells


PAPER: tuple[Variant, ...] = (("standard", "batch"), ("multi-head", "batch"), ("Binary", "batch"))
"""The paper's three, all with its BatchNorm."""

EVERY: tuple[Variant, ...] = (
    *PAPER,
    ("standard", "shared"),
    ("EWC", "shared"),
    ("OnlineEWC", "shared"),
    ("SI", "shared"),
    ("standard", "per-context"),
    ("Binary", "per-context"),
    ("SignedPermutation", "per-context"),
    ("multi-head", "per-context"),
    ("multi-head-EWC", "per-context"),
    ("multi-head-SI", "per-context"),
    ("single", "shared"),
)
"""Those, the usual plain net and the same with penalties, all that keep norms for each task, with
and without contexts and heads, and a net for each task, which needs to keep nothing."""

BY_FISHER = tuple(each for each in EVERY if penalty_of(each[0]) in ("EWC", "OnlineEWC"))
BY_PATH = tuple(each for each in EVERY if penalty_of(each[0]) == "SI")
"""Those whose strength has to be chosen; what is large for one kind is not so for the other."""

SEEDS = (0, 1, 2)

CPU = Config(steps=500, **CPU_SIZE)
"""The size at which 14 methods take an hour from 3 seeds on two cores: with 1/40 of the paper's
steps."""

MEDIUM = Config(
    steps=2000,
    width=32,
    precision="bfloat16",
    channels_last=True,
    curve_every=250,
    curve_images=1000,
)
"""Between the CPU's size and the paper's: half its channels, so a quarter of its weights, and its
batch, with a tenth of its steps. A run takes 3 to 5 hours on one core."""

PRESETS = {
    "paper": Config(grids=(Grid(PAPER, (0,)),)),
    "medium": replace(MEDIUM, grids=(Grid(PAPER, (0,)), Grid((("Binary", "batch"),), (1,)))),
    "wide": replace(
        MEDIUM,
        width=64,
        steps=1000,
        grids=(Grid((("Binary", "batch"), ("standard", "batch")), (0,)),),
    ),
    "cpu": replace(CPU, grids=(Grid(EVERY, SEEDS),)),
    # Half the images of the ten-class tasks, so half the steps.
    "split-cifar100": replace(CPU, tasks="split-cifar100", steps=250, grids=(Grid(EVERY, SEEDS),)),
    # Its seed is not among those of the table, so that nothing is both chosen by and reported on.
    "search": replace(
        CPU,
        grids=(
            Grid(BY_FISHER, (100,), (10.0, 30.0, 100.0, 300.0, 1000.0)),
            Grid(BY_PATH, (100,), (1.0, 3.0, 10.0, 30.0, 100.0)),
        ),
    ),
    "smoke": replace(
        CPU,
        tasks="split-digits",
        width=4,
        steps=5,
        batch=32,
        precision="float32",
        curve_every=3,
        fisher_images=16,
        grids=(Grid(EVERY, (0,)),),
    ),
}
"""`paper` alone is the paper's size."""


def run(config: Config) -> list[Record]:
    """Run what has no record yet, in `config.jobs` processes or on the cluster.

    Args:
        config: What to run.

    Returns:
        The records of all the config's runs, as they are in the folder.
    """
    return run_all(EXPERIMENT, config.runs(), run_to_record, config)


def main() -> None:
    """The command."""
    config = parse(Config, PRESETS, __doc__)
    with reported():
        stream_of(config.tasks, 0, config.batch, config.steps)  # refuses missing images
        where = resolve_device(config.device)
        print(estimate(config.runs(), config.out / EXPERIMENT, where, config.jobs), flush=True)
        records = run(config)
    print(f"\n{report(records)}\n\n{len(records)} records in {config.out / EXPERIMENT}.")


if __name__ == "__main__":
    # By its full name, so that other processes find the same classes.
    from experiments import incremental

    incremental.main()
