"""Draw the paper's figures and ours from records; `tables.py` generates the tables of the READMEs.

    python experiments/figures.py
    python experiments/figures.py --records runs --out runs

It draws everything for which there are records, and prints the missing runs of the presets.
"""

from pathlib import Path

import tyro

from experiments.studies import STUDIES, load_study

RESULTS = Path(__file__).parent / "results"


def main(records: Path = RESULTS, out: Path = RESULTS) -> None:
    """Draw every figure for which there are records.

    Args:
        records: Folder with a folder of records for each experiment, and the records of surveys.
        out: Folder for the figures.
    """
    for name in STUDIES:
        for line in load_study(name).draw(records, out):
            print(line)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
