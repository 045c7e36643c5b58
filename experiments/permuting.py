"""Fifty tasks in one net: the paper's experiment on permuted images.

A net learns one task after the other, each the same images with their pixels in another order,
and is then asked about all of them. The paper's figures, each a grid of runs of 50 tasks of 1000
steps, and runs of your own:

    python experiments/permuting.py figure-2 --jobs 2
    python experiments/permuting.py figure-3 --jobs 2
    python experiments/permuting.py table --jobs 2
    python experiments/permuting.py table --jobs 2 --width 256 --method EWC SI    # part of it
    python experiments/permuting.py search --jobs 2      # strengths of EWC and SI
    python experiments/permuting.py smoke                # every method in seconds
    python experiments/permuting.py --method Binary Complex --width 512 --seed 0 1 --tasks 20

Each run leaves one record (JSON) in the folder `permuting` of `--out`, named after all that its
results depend on, and is not run again while that is there. A run that is stopped goes on from
its last checkpoint when the same command is given again, and ends with the same numbers.
`python experiments/figures.py` draws the figures from the records.
"""

from dataclasses import dataclass
from itertools import product

import tyro

from experiments._permuting_run import Dataset, Run, run_to_record
from experiments._permuting_summary import report
from experiments.methods import METHODS, PENALTIES, check_method
from experiments.runner import RunSettings, load_images, parse, reported, run_all
from experiments.runner.learner import Precision
from experiments.runner.record import Record

EXPERIMENT = "permuting"
"""Names the folder of the records, in `--out` and in `experiments/results`."""

STRENGTHS = {"EWC": 100.0, "SI": 0.1}
"""What EWC and SI are run with unless told otherwise; the preset `search` compares others."""


@dataclass(frozen=True)
class Grid:
    """Every method at every width from every seed."""

    methods: tuple[str, ...]
    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    strengths: tuple[float | None, ...] = (None,)
    """Of EWC and SI; None stands for the one that the search chose."""


@dataclass(frozen=True, kw_only=True)
class Config(RunSettings):
    """What to run. Every bad value is refused before any work starts."""

    method: tuple[str, ...] = ()
    """Methods; of a preset all, unless some are named here, and without a preset Binary."""

    width: tuple[int, ...] = ()
    """Units in each hidden layer; of a preset all its widths, without a preset 256."""

    seed: tuple[int, ...] = ()
    """Seeds; of a preset all its seeds, without a preset 0."""

    strength: tuple[float, ...] = ()
    """Of the penalty of EWC and SI; by default what the search chose."""

    dataset: Dataset = "mnist"
    """The images whose pixels are permuted."""

    tasks: int = 50
    """How many permutations, the identity first."""

    steps: int = 1000
    """Training steps per task."""

    batch: int = 128
    """Samples in a training batch."""

    learning_rate: float = 1e-4
    """Of RMSprop."""

    hidden_layers: int = 2
    """How many hidden layers."""

    precision: Precision = "float32"
    """Of the products; bfloat16 keeps weights and optimiser in float32."""

    compile: bool = False
    """Whether to train through torch.compile."""

    curve_every: int = 125
    """Steps between two tests on task 0."""

    curve_images: int = 500
    """How many test images such a test takes."""

    row_images: int = 10_000
    """How many test images, of all tasks together, the test of all tasks takes after each task;
    after the last one it takes all that there are."""

    fisher_images: int = 1024
    """Of how many images EWC takes a task's Fisher information."""

    grids: tyro.conf.Suppress[tuple[Grid, ...]] = ()
    """Of a preset: its runs, from which `method`, `width` and `seed` choose."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        super().__post_init__()
        self.check_choices({"method": METHODS})
        self.check_different("method", "width", "seed", "strength")
        self.check_counts("width", "tasks", "steps", "batch", "hidden_layers")
        self.check_counts("curve_every", "curve_images", "row_images", "fisher_images")
        self.check_positive("learning_rate", "strength")
        for run in self.runs():
            check_method(run.method, run.width, run.precision)

    def runs(self) -> list[Run]:
        """Every run once, in the order of the grids."""
        if self.grids:
            chosen = [
                (method, width, seed, strength)
                for grid in self.grids
                for method, width, seed, strength in _cells(grid, self.strength)
                if method in (self.method or grid.methods)
                and width in (self.width or grid.widths)
                and seed in (self.seed or grid.seeds)
            ]
            if not chosen:
                raise ValueError(
                    f"the preset has no run with method={self.method or 'any'}, "
                    f"width={self.width or 'any'} and seed={self.seed or 'any'}; leave the "
                    "preset out to run it."
                )
        else:
            own = Grid(self.method or ("Binary",), self.width or (256,), self.seed or (0,))
            chosen = _cells(own, self.strength)
        return [self._run(*cell) for cell in dict.fromkeys(chosen)]

    def _run(self, method: str, width: int, seed: int, strength: float | None) -> Run:
        return Run(
            method,
            width,
            seed,
            strength,
            dataset=self.dataset,
            tasks=self.tasks,
            steps=self.steps,
            batch=self.batch,
            learning_rate=self.learning_rate,
            hidden_layers=self.hidden_layers,
            precision=self.precision,
            compile=self.compile,
            curve_every=self.curve_every,
            curve_images=self.curve_images,
            row_images=self.row_images,
            fisher_images=self.fisher_images,
        )


def _cells(grid: Grid, strengths: tuple[float, ...]) -> list[tuple[str, int, int, float | None]]:
    """A grid's runs: with every strength for methods that have one, else without."""
    cells: list[tuple[str, int, int, float | None]] = []
    for width, method, seed in product(grid.widths, grid.methods, grid.seeds):
        if method in PENALTIES:
            own = [STRENGTHS[method] if each is None else each for each in grid.strengths]
            cells += [(method, width, seed, each) for each in strengths or own]
        else:
            cells.append((method, width, seed, None))
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

PRESETS = {
    "figure-2": Config(
        grids=(
            Grid(("standard", "Binary"), (128, 256, 512), SEEDS),
            Grid(("standard", "Binary"), (1024, 2048), (0,)),
        )
    ),
    "figure-3": Config(grids=(Grid(EVERY, (256,), SEEDS),)),
    "table": Config(
        grids=(Grid(EVERY, (256, 512), SEEDS), Grid((*PAPER, "single"), (2000,), (0,)))
    ),
    # Its seed is not among those of the table, so that no permutation is both chosen by and
    # reported on.
    "search": Config(
        grids=(
            Grid(("EWC",), (256,), (100,), (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)),
            Grid(("SI",), (256,), (100,), (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)),
        )
    ),
    "smoke": Config(
        dataset="digits",
        tasks=3,
        steps=10,
        batch=32,
        curve_every=5,
        fisher_images=16,
        grids=(Grid(EVERY, (16,), (0,)),),
    ),
}
"""Every one but `smoke` at the paper's full size: 50 tasks of 1000 steps."""


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
