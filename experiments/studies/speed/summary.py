"""Ratios of times, and their table."""

from experiments.runner.groups import markdown_table
from experiments.runner.record import Record


def ratios(milliseconds: dict[str, float]) -> dict[str, float]:
    """Compute the ratios of the times.

    Args:
        milliseconds: Medians of the times of `Bench.milliseconds`.

    Example:
        >>> from experiments.studies.speed.summary import ratios
        >>> times = {"runner": 2.0, "bare": 1.9, "textbook": 2.5, "loader": 20.0, "products": 1.6}
        >>> ratios({**times, "rotating": 3.0, "tests": 80.0})
        {'rate of bare': 0.95, 'rate of textbook': 1.25, 'times loader': 10.0, 'of products': 1.25,
         'rotating of permuting': 1.5, 'tests of a run': 0.0385}
    """
    step = milliseconds["runner"]
    tests = 50 * milliseconds["tests"]
    return {
        "rate of bare": round(milliseconds["bare"] / step, 3),
        "rate of textbook": round(milliseconds["textbook"] / step, 3),
        "times loader": round(milliseconds["loader"] / step, 2),
        "of products": round(step / milliseconds["products"], 3),
        "rotating of permuting": round(milliseconds["rotating"] / step, 3),
        "tests of a run": round(tests / (tests + 50_000 * step), 4),
    }


_COLUMNS = {
    "rate, bare loop = 1": ("rate of bare", 1, 3),
    "rate, the same with torch's RMSprop = 1": ("rate of textbook", 1, 3),
    "rate, DataLoader = 1": ("times loader", 1, 1),
    "step, its products = 1": ("of products", 1, 2),
    "rotating step, permuting = 1": ("rotating of permuting", 1, 2),
    "tests, part of a run (%)": ("tests of a run", 100, 1),
}
"""By head: the ratio, its factor and its digits."""


def speed_table(record: Record) -> str:
    """Format the ratios as a Markdown table with a row for each width."""
    rows = [
        [
            f"2×{speed['width']}",
            *(f"{factor * speed['ratios'][r]:.{n}f}" for r, factor, n in _COLUMNS.values()),
        ]
        for speed in record["speeds"]
    ]
    return markdown_table(["net", *_COLUMNS], rows)


def report(record: Record) -> str:
    """Format the times and ratios of every width, for the terminal."""
    lines = []
    for speed in record["speeds"]:
        lines.append(f"2×{speed['width']}:")
        for part in ("milliseconds", "ratios"):
            values = ", ".join(f"{name} {value:.4g}" for name, value in speed[part].items())
            lines.append(f"  {part}: {values}")
    return "\n".join(lines)
