"""Images that turn: the paper's experiment on an input distribution that drifts and comes back.

A net sees images that turn a little further at every step, one turn in 1000 steps, 50 turns, and
is tested on images at 0°. The paper's figures, each a grid of runs of 50 turns, and runs of your
own:

    python experiments/rotating.py figure-4 --jobs 2     # two image sets, all families, ten layers
    python experiments/rotating.py figure-5 --jobs 2     # families and choices of context
    python experiments/rotating.py figure-4 --jobs 2 --dataset mnist --seed 0     # part of it
    python experiments/rotating.py smoke                 # every kind in seconds
    python experiments/rotating.py --method Complex --contexts 1000 --turns 10

A turn is divided among `--contexts` evenly: 10 are the paper's windows of 100 steps, 1000 its
*fast*, and with `--method LocalMix` its *fast with local mix*. With `--choose appearance` or
`confidence` no clock tells the context, but the images do.

Each run leaves one record (JSON) in the folder `rotating` of `--out`, named after all that its
results depend on, and is not run again while that is there. A run that is stopped goes on from
its last checkpoint when the same command is given again, and ends with the same numbers.
`python experiments/figures.py` draws the figures from the records.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import tyro

from experiments._rotating_reading import MOST_CONTEXTS
from experiments._rotating_run import Choose, Dataset, RotatingRecipe, Run, run_to_record
from experiments._rotating_summary import report
from experiments.methods import CONTEXTS, check_method
from experiments.runner import RunSettings, load_images, parse, reported, run_all, runs_of
from experiments.runner.record import Record

EXPERIMENT = "rotating"
"""Names the folder of the records, in `--out` and in `experiments/results`."""

METHODS = ("standard", *CONTEXTS)


@dataclass(frozen=True)
class Grid:
    """Every combination of these."""

    methods: tuple[str, ...]
    datasets: tuple[Dataset, ...]
    seeds: tuple[int, ...]
    contexts: tuple[int, ...] = (10,)
    choose: tuple[Choose, ...] = ("clock",)
    hidden_layers: tuple[int, ...] = (2,)


@dataclass(frozen=True, kw_only=True)
class Config(RunSettings, RotatingRecipe):
    """What to run. Every bad value is refused before any work starts."""

    method: tuple[str, ...] = ()
    """Methods; of a preset all, unless some are named here, and without a preset Binary."""

    dataset: tuple[Dataset, ...] = ()
    """Images; of a preset all its sets, without a preset Fashion-MNIST."""

    seed: tuple[int, ...] = ()
    """Seeds; of a preset all its seeds, without a preset 0."""

    contexts: tuple[int, ...] = ()
    """How many contexts a turn is divided among; of a preset all its numbers, without one 10."""

    choose: tuple[Choose, ...] = ()
    """What chooses the context; of a preset all its ways, without a preset the clock."""

    hidden_layers: tuple[int, ...] = ()
    """How many hidden layers; of a preset all its depths, without a preset 2."""

    grids: tyro.conf.Suppress[tuple[Grid, ...]] = ()
    """Of a preset: its runs, from which the fields at the top choose."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        super().__post_init__()
        self.check_choices({"method": METHODS})
        self.check_different(*_CHOSEN)
        self.check_counts("contexts", "hidden_layers")
        for run in self.runs():
            self._check(run)

    def runs(self) -> list[Run]:
        """Every run once, in the order of the grids."""
        cells = [cell for grid in self.grids or (_own_grid(self),) for cell in _cells(grid)]
        return runs_of(self, Run, cells, _CHOSEN)

    def _check(self, run: Run) -> None:
        check_method(run.method, run.width)
        if run.contexts > run.period:
            raise ValueError(
                f"contexts={run.contexts} are more than the {run.period} steps of a turn; use "
                "fewer, or a longer period."
            )
        if run.choose != "clock" and (
            run.method == "standard" or not 3 <= run.contexts <= MOST_CONTEXTS
        ):
            raise ValueError(
                f"choose={run.choose} chooses among 3 to {MOST_CONTEXTS} contexts of a method that "
                f"has some, but {run.method} has {run.contexts}."
            )
        if run.choose == "appearance" and run.batch < 2:
            raise ValueError(
                "batch must be at least 2 for choose=appearance: one image is no mean."
            )


_CHOSEN = ("method", "dataset", "seed", "contexts", "choose", "hidden_layers")
"""The fields that choose from the grids of a preset."""


def _cells(grid: Grid) -> list[dict[str, Any]]:
    """What a grid's runs differ in."""
    cells = []
    for dataset, layers, contexts, choose, method, seed in product(
        grid.datasets, grid.hidden_layers, grid.contexts, grid.choose, grid.methods, grid.seeds
    ):
        cells.append(
            {
                "method": method,
                "dataset": dataset,
                "seed": seed,
                # A net without contexts is the same whatever their number.
                "contexts": 1 if method == "standard" else contexts,
                "choose": choose,
                "hidden_layers": layers,
            }
        )
    return cells


def _own_grid(config: Config) -> Grid:
    """Of runs without a preset."""
    return Grid(
        config.method or ("Binary",),
        config.dataset or ("fashion_mnist",),
        config.seed or (0,),
        config.contexts or (10,),
        config.choose or ("clock",),
        config.hidden_layers or (2,),
    )


FAMILIES = ("standard", "Binary", "Complex", "OnePower", "Rotation", "SignedPermutation")
"""Those of figure 4, SignedPermutation beyond the paper."""

SEEDS = (0, 1, 2)

PRESETS = {
    "figure-4": Config(
        grids=(
            Grid(FAMILIES, ("mnist", "fashion_mnist"), SEEDS),
            # Ten layers of weights.
            Grid(("standard", "Binary"), ("fashion_mnist",), SEEDS, hidden_layers=(9,)),
        )
    ),
    "figure-5": Config(
        grids=(
            Grid(FAMILIES, ("fashion_mnist",), SEEDS),
            # *Fast* and *fast with local mix*: variants of Complex, as in the paper.
            Grid(("Complex", "LocalMix"), ("fashion_mnist",), SEEDS, contexts=(1000,)),
            # What the paper leaves open.
            Grid(("LearnedBinary", "LearnedComplex"), ("fashion_mnist",), SEEDS),
            Grid(("Complex",), ("fashion_mnist",), SEEDS, choose=("appearance", "confidence")),
        )
    ),
    "smoke": Config(
        turns=3,
        period=40,
        batch=32,
        learning_rate=3e-3,
        width=16,
        curve_every=5,
        inferred_every=20,
        curve_images=50,
        grids=(
            Grid(FAMILIES, ("digits",), (0,)),
            Grid(("Complex", "LocalMix"), ("digits",), (0,), contexts=(40,)),
            Grid(("LearnedBinary",), ("digits",), (0,)),
            Grid(("Complex",), ("digits",), (0,), choose=("appearance", "confidence")),
            Grid(("Binary",), ("digits",), (0,), hidden_layers=(9,)),
        ),
    ),
}
"""Every one but `smoke` at the paper's full size: 50 turns of 1000 steps."""


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
        for name in dict.fromkeys(each.dataset for each in config.runs()):
            load_images(name)
        records = run(config)
    print(f"\n{report(records)}\n\n{len(records)} records in {config.out / EXPERIMENT}.")


if __name__ == "__main__":
    # By its full name, so that other processes find the same classes.
    from experiments import rotating

    rotating.main()
