"""Fifty tasks in one net: the paper's experiment on permuted images.

A net learns one task after the other, each the same images with their pixels in another order,
and is then asked about all of them. The paper's figures, each a grid of runs of 50 tasks of 1000
steps, and runs of your own:

    python experiments/permuting.py figure-2 --jobs 2
    python experiments/permuting.py figure-3 --jobs 2
    python experiments/permuting.py table --jobs 2
    python experiments/permuting.py table --jobs 2 --width 256 --method EWC SI    # part of it
    python experiments/permuting.py search --jobs 2      # strengths of EWC and SI
    python experiments/permuting.py ten-tasks --jobs 2   # the same after ten tasks, not fifty
    python experiments/permuting.py learning-rate --jobs 2   # ten times the paper's
    python experiments/permuting.py three-layers --jobs 2    # one hidden layer more
    python experiments/permuting.py smoke                # every method in seconds
    python experiments/permuting.py --method Binary Complex --width 512 --seed 0 1 --tasks 20

Each run leaves one record (JSON) in the folder `permuting` of `--out`, named after all that its
results depend on, and is not run again while that is there. A run that is stopped goes on from
its last checkpoint when the same command is given again, and ends with the same numbers.
`python experiments/figures.py` draws the figures from the records.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import tyro

from experiments._permuting_run import PermutingRecipe, Run, run_to_record
from experiments._permuting_summary import report
from experiments.methods import METHODS, PENALTIES, check_method
from experiments.runner import RunSettings, load_images, parse, reported, run_all, runs_of
from experiments.runner.learner import Precision
from experiments.runner.record import Record

EXPERIMENT = "permuting"
"""Names the folder of the records, in `--out` and in `experiments/results`."""

STRENGTHS = {"EWC": 0.01, "OnlineEWC": 3.0, "SI": 1.0}
"""What EWC and SI are run with unless told otherwise: of those in the preset `search` the ones that
do best on the last ten tasks, as the paper's table counts."""


@dataclass(frozen=True)
class Grid:
    """Every combination of these."""

    methods: tuple[str, ...]
    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    strengths: tuple[float | None, ...] = (None,)
    """Of EWC and SI; None stands for the one that the search chose."""
    precisions: tuple[Precision, ...] = ("float32",)


@dataclass(frozen=True, kw_only=True)
class Config(RunSettings, PermutingRecipe):
    """What to run. Every bad value is refused before any work starts."""

    method: tuple[str, ...] = ()
    """Methods; of a preset all, unless some are named here, and without a preset Binary."""

    width: tuple[int, ...] = ()
    """Units in each hidden layer; of a preset all its widths, without a preset 256."""

    seed: tuple[int, ...] = ()
    """Seeds; of a preset all its seeds, without a preset 0."""

    strength: tuple[float, ...] = ()
    """Of the penalty of EWC and SI; by default what the search chose."""

    precision: tuple[Precision, ...] = ()
    """Of the products, where bfloat16 keeps weights and optimiser in float32; of a preset all its
    precisions, without a preset float32."""

    grids: tyro.conf.Suppress[tuple[Grid, ...]] = ()
    """Of a preset: its runs, from which the fields above choose."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        super().__post_init__()
        self.check_choices({"method": METHODS})
        self.check_different("method", "width", "seed", "strength", "precision")
        self.check_counts("width")
        self.check_positive("strength")
        for run in self.runs():
            check_method(run.method, run.width)

    def runs(self) -> list[Run]:
        """Every run once, in the order of the grids."""
        own = Grid(
            self.method or ("Binary",),
            self.width or (256,),
            self.seed or (0,),
            precisions=self.precision or ("float32",),
        )
        cells = [cell for grid in self.grids or (own,) for cell in _cells(grid, self.strength)]
        return runs_of(self, Run, cells, ("method", "width", "seed", "precision"))


def _cells(grid: Grid, strengths: tuple[float, ...]) -> list[dict[str, Any]]:
    """What a grid's runs differ in; methods that have a strength are run with every one."""
    cells = []
    for width, precision, method, seed in product(
        grid.widths, grid.precisions, grid.methods, grid.seeds
    ):
        cell = {"method": method, "width": width, "seed": seed, "precision": precision}
        own = grid.strengths if method in PENALTIES else (None,)
        for strength in (strengths or own) if method in PENALTIES else own:
            chosen = STRENGTHS.get(method) if strength is None else strength
            cells.append(cell | {"strength": chosen})
    return cells


PAPER = ("EWC", "SI", "standard", "Binary", "Complex", "OnePower")
"""The methods of the paper's table."""

SUPERPOSED = (
    "Binary",
    "Complex",
    "OnePower",
    "Rotation",
    "KroneckerRotation",
    "SignedPermutation",
    "Permutation",
    "LearnedBinary",
)
"""The paper's families, and those beyond it."""

EVERY = ("standard", *SUPERPOSED, *PENALTIES, "single")

SEEDS = (0, 1, 2)

STANDARD_OR_BINARY = (
    Grid(("standard", "Binary"), (256,), (0,)),
    Grid(("standard", "Binary"), (2000,), (0,), precisions=("bfloat16",)),
)
"""Each with one seed, at a narrow width and at that of the paper's table."""

PRESETS = {
    "figure-2": Config(
        grids=(
            Grid(("standard", "Binary"), (128, 256, 512), SEEDS),
            Grid(("standard", "Binary"), (1024, 2048), (0,), precisions=("bfloat16",)),
        )
    ),
    "figure-3": Config(grids=(Grid(EVERY, (256,), SEEDS),)),
    "table": Config(
        grids=(
            Grid(EVERY, (256, 512), SEEDS),
            Grid((*PAPER, "OnlineEWC", "single"), (2000,), (0,), precisions=("bfloat16",)),
            # The search is of 256 units; these are the strengths of `ten-tasks` that do best at
            # 2000 there, with another seed than they are chosen by.
            Grid(("EWC",), (2000,), (1,), (10.0,), ("bfloat16",)),
            Grid(("OnlineEWC",), (2000,), (1,), (100.0,), ("bfloat16",)),
            Grid(("SI",), (2000,), (1,), (3.0,), ("bfloat16",)),
            # Whether it makes a difference that the widest nets multiply in bfloat16.
            Grid(("standard", "Binary", "Complex"), (256,), SEEDS, precisions=("bfloat16",)),
        )
    ),
    # Its seed is not among those of the table, so that no permutation is both chosen by and
    # reported on.
    "search": Config(
        grids=(
            Grid(("EWC",), (256,), (100,), (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)),
            Grid(("OnlineEWC",), (256,), (100,), (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)),
            Grid(("SI",), (256,), (100,), (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)),
        )
    ),
    # Whether EWC and SI do well after ten tasks, as many as the numbers that the paper quotes for
    # them are from: at the width of `search`, and at that of those numbers.
    "ten-tasks": Config(
        tasks=10,
        grids=(
            Grid(("standard", "Binary", "Complex"), (256,), (0,)),
            Grid(("EWC",), (256,), (0,), (1.0, 3.0, 10.0, 30.0)),
            Grid(("OnlineEWC",), (256,), (0,), (1.0, 10.0, 100.0)),
            Grid(("SI",), (256,), (0,), (0.3, 1.0, 3.0)),
            Grid(("standard", "Binary"), (2000,), (0,), precisions=("bfloat16",)),
            Grid(("EWC",), (2000,), (0,), (1.0, 10.0), ("bfloat16",)),
            Grid(("OnlineEWC",), (2000,), (0,), (3.0, 10.0, 100.0), ("bfloat16",)),
            Grid(("SI",), (2000,), (0,), (1.0, 3.0, 10.0), ("bfloat16",)),
        ),
    ),
    # Two reasons why the paper's standard net may forget more than this one: another learning rate,
    # and a third hidden layer, which the authors' code has and their text has not.
    "learning-rate": Config(learning_rate=1e-3, grids=STANDARD_OR_BINARY),
    "three-layers": Config(hidden_layers=3, grids=STANDARD_OR_BINARY),
    "smoke": Config(
        dataset="digits",
        tasks=3,
        steps=10,
        batch=32,
        curve_every=5,
        fisher_images=16,
        grids=(
            Grid(EVERY, (16,), (0,)),
            Grid(("Binary", "Complex"), (16,), (0,), precisions=("bfloat16",)),
        ),
    ),
}
"""Every one but `smoke` and `ten-tasks` at the paper's full size, 50 tasks of 1000 steps. All but
`learning-rate` and `three-layers`, which say how they differ, have the paper's recipe."""


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
        load_images(config.dataset)
        records = run(config)
    print(f"\n{report(records)}\n\n{len(records)} records in {config.out / EXPERIMENT}.")


if __name__ == "__main__":
    # By its full name, so that other processes find the same classes.
    from experiments import permuting

    permuting.main()
