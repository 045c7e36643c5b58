"""The paper's figures on permuted MNIST and its table, drawn from records alone.

    python experiments/figures.py
    python experiments/figures.py --records runs/permuting --out runs

It draws what there are records for and says which runs of the presets are missing.
"""

from collections.abc import Sequence
from pathlib import Path

import tyro

from experiments._permuting_figures import draw_figure_2, draw_figure_3, draw_table
from experiments._permuting_run import Run
from experiments._permuting_summary import paper_runs, table
from experiments.permuting import PRESETS
from experiments.runner.files import write_whole
from experiments.runner.groups import groups_of, read_runs
from experiments.runner.record import Record

RESULTS = Path(__file__).parent / "results"


def main(records: Path = RESULTS / "permuting", out: Path = RESULTS) -> None:
    """Draw Figure 2, Figure 3 left and the table on permuted MNIST from records alone.

    Args:
        records: The folder of the records.
        out: The folder for the figures and the table.
    """
    found = read_runs(records, "permuting")
    for name in ("figure-2", "figure-3", "table"):
        runs = PRESETS[name].runs()
        there = records_of(runs, found)
        for file in draw(name, there, out):
            print(file)
        have = {Run(**record["config"]) for record in there}
        missing = [run.name for run in runs if run not in have]
        if missing:
            print(f"{name}: {len(missing)} of {len(runs)} runs are missing: {', '.join(missing)}")


def records_of(runs: Sequence[Run], records: Sequence[Record]) -> list[Record]:
    """Those of the records that are of one of the runs."""
    wanted = set(runs)
    return [record for record in records if Run(**record["config"]) in wanted]


def draw(name: str, records: Sequence[Record], out: Path) -> list[Path]:
    """Draw one of the paper's figures or its table.

    Args:
        name: `figure-2`, `figure-3` or `table`.
        records: Of its runs, all or some.
        out: The folder for the files.

    Returns:
        The files; none if there is no record to draw.
    """
    groups = groups_of(paper_runs(records))
    path = out / f"permuting-{name}"
    if name == "figure-2":
        return draw_figure_2(groups, path)
    if name == "figure-3":
        return draw_figure_3(groups, path)
    if not groups:
        return []
    text = path.with_suffix(".md")
    write_whole(text, table(groups) + "\n")
    return [*draw_table(groups, path), text]


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
