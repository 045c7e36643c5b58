"""Summarise a run of `nox -s reliability` as a record and as a table of the README.

    python experiments/reliability.py report.xml --out experiments/results

The tests report what they tried as properties, `WHAT: WHERE`, in pytest's JUnit XML.
"""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import tyro

from experiments.runner.record import Record, start_record, write_record


@dataclass(frozen=True)
class Session:
    """Config of a test session."""

    hypothesis_profile: str = "thorough"
    """Name of the profile in `conftest.py` at the root."""


def main(reports: tyro.conf.Positional[tuple[Path, ...]], out: Path = Path("runs")) -> None:
    """Write the record `reliability.json` of one or several reports.

    Args:
        reports: JUnit XML, as `pytest --junitxml` writes it.
        out: Folder for the record.
    """
    path = out / "reliability.json"
    print(f"{reliability_table(write_record(path, summarise(*reports)))}\n\nWritten: {path}")


def summarise(*reports: Path) -> Record:
    """Count the tests, the failures, and what the tests tried.

    Args:
        reports: JUnit XML.

    Returns:
        A record, to be written: `tests`, `failed`, `skipped`, `test_seconds`, and `tried`, the
        sums of the reported properties by `WHAT` and `WHERE`.
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
    """Format a Markdown table of what was tried, and where.

    Args:
        record: A record from `summarise`.

    Example:
        >>> from experiments.reliability import reliability_table
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
        for index, (where, count) in enumerate(sorted(counts.items())):
            lines.append(f"|{'' if index else f' {what}'} | {where} | {count:,.6g} |")
    skipped = record["skipped"]
    lines.append(
        f"| tests | all | {record['tests']:,}, of which {record['failed']} failed and {skipped} "
        f"{'was' if skipped == 1 else 'were'} skipped |"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
