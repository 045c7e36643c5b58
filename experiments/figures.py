"""The paper's figures, drawn from records alone; the tables of the READMEs are by `_readme.py`.

    python experiments/figures.py
    python experiments/figures.py --records runs --out runs

It draws what there are records for and says which runs of the presets are missing.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import tyro

from experiments._capacity_figures import draw as draw_capacity
from experiments._incremental_figures import draw_figure_6
from experiments._permuting_figures import draw_figure_2, draw_figure_3, draw_table
from experiments._presets import records_of
from experiments._rotating_figures import draw_figure_4, draw_figure_5
from experiments.runner import read_record
from experiments.runner.groups import Group, groups_of
from experiments.runner.record import Record

RESULTS = Path(__file__).parent / "results"

NAMED = 3
"""How many of a preset's missing runs are named."""

Draw = Callable[[Sequence[Record], Path], list[Path]]


def main(records: Path = RESULTS, out: Path = RESULTS) -> None:
    """Draw every figure that there are records for.

    Args:
        records: The folder with a folder of records for each experiment, and those of capacity.
        out: The folder for the figures.
    """
    for path in sorted(records.glob("capacity-*.json")):
        for file in draw_capacity(read_record(path), out / path.stem):
            print(file)
    for (experiment, preset), draw in FIGURES.items():
        there, missing = records_of(experiment, preset, records)
        name = f"{experiment}-{preset}"
        for file in draw(there, out / name):
            print(file)
        if missing:
            of = f"{len(missing)} of {len(missing) + len(there)}"
            named = ", ".join(missing[:NAMED])
            others = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
            print(f"{name}: {of} runs are missing: {named}{others}")


def _permuting(draw: Callable[[Sequence[Group], Path], list[Path]]) -> Draw:
    return lambda records, path: draw(groups_of(records), path)


FIGURES: dict[tuple[str, str], Draw] = {
    ("permuting", "figure-2"): _permuting(draw_figure_2),
    ("permuting", "figure-3"): _permuting(draw_figure_3),
    ("permuting", "table"): _permuting(draw_table),
    ("rotating", "figure-4"): draw_figure_4,
    ("rotating", "figure-5"): draw_figure_5,
    ("incremental", "paper"): draw_figure_6,
    ("incremental", "cpu"): draw_figure_6,
    ("incremental", "split-cifar100"): draw_figure_6,
}
"""By experiment and preset: what draws its records to a path without an ending."""


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
