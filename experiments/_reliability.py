"""What `nox -s reliability` tried, as a record and as a table of the README.

    python -m experiments._reliability report.xml --out experiments/results

reads what pytest reported: its tests note what they tried as properties, `WHAT: WHERE`.
"""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import tyro

from experiments.runner import start_record, write_record
from experiments.runner.record import Record


@dataclass(frozen=True)
class Session:
    """How the tests were run.

    Args:
        hypothesis_profile: See `conftest.py` at the root.
    """

    hypothesis_profile: str = "thorough"


def main(reports: tyro.conf.Positional[tuple[Path, ...]], out: Path = Path("runs")) -> None:
    """Make the record `reliability.json` of one report, or of several that make up the whole.

    Args:
        reports: JUnit XML, as `pytest --junitxml` writes it.
        out: The folder for the record.
    """
    path = out / "reliability.json"
    print(f"{reliability_table(write_record(path, summary_of(*reports)))}\n\nWritten: {path}")


def summary_of(*reports: Path) -> Record:
    """What was tried, how many tests there were and how many of them failed.

    Args:
        reports: JUnit XML.

    Returns:
        A record, to be written: `tests`, `failed`, `skipped`, `test_seconds`, and `tried`, by
        what and by where the sum of what the tests have noted.
    """
    suites = [
        suite
        for report in reports
        for suite in ElementTree.parse(report).getroot().iter("testsuite")
    ]
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    seconds = 0.0
    tried: dict[str, dict[str, float]] = {}
    for suite in suites:
        for name in totals:
            totals[name] += int(suite.get(name, 0))
        seconds += float(suite.get("time", 0))
        for entry in suite.iter("property"):
            what, _, where = str(entry.get("name")).partition(": ")
            counts = tried.setdefault(what, {})
            counts[where] = counts.get(where, 0) + float(str(entry.get("value")))
    return start_record("reliability", Session()) | {
        "tests": totals["tests"],
        "failed": totals["failures"] + totals["errors"],
        "skipped": totals["skipped"],
        "test_seconds": round(seconds, 1),
        "tried": tried,
    }


def reliability_table(record: Record) -> str:
    """A Markdown table of what was tried, and where.

    Args:
        record: From `summary_of`.

    Example:
        >>> from experiments._reliability import reliability_table
        >>> tried = {"moments killed": {"permuting": 50.0, "capacity": 50.0}}
        >>> print(reliability_table({"tests": 9, "failed": 0, "skipped": 1, "tried": tried}))
        | tried | where | how many |
        |---|---|---|
        | moments killed | capacity | 50 |
        | | permuting | 50 |
        | tests | all | 9, of which 0 failed and 1 was skipped |
    """
    lines = ["| tried | where | how many |", "|---|---|---|"]
    for what, counts in sorted(record["tried"].items()):
        for place, (where, count) in enumerate(sorted(counts.items())):
            lines.append(f"|{'' if place else f' {what}'} | {where} | {count:,.6g} |")
    skipped = record["skipped"]
    lines.append(
        f"| tests | all | {record['tests']:,}, of which {record['failed']} failed and {skipped} "
        f"{'was' if skipped == 1 else 'were'} skipped |"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
