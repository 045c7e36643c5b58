"""Ratios and their table from what was timed."""

from experiments.runner.record import Record


def ratios(milliseconds: dict[str, float]) -> dict[str, float]:
    """What the times come to.

    Args:
        milliseconds: From `Bench.milliseconds`.

    Example:
        >>> from experiments._speed_summary import ratios
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


def speed_table(record: Record) -> str:
    """The ratios as a Markdown table, a row for each width.

    Args:
        record: From `speed.run`.
    """
    lines = [
        "| net | rate, bare loop = 1 | rate, the same with torch's RMSprop = 1 | "
        "rate, DataLoader = 1 | step, its products = 1 | rotating step, permuting = 1 | "
        "tests, part of a run (%) |",
        "|---|---|---|---|---|---|---|",
    ]
    for speed in record["speeds"]:
        found = speed["ratios"]
        cells = [
            f"2×{speed['width']}",
            f"{found['rate of bare']:.3f}",
            f"{found['rate of textbook']:.3f}",
            f"{found['times loader']:.1f}",
            f"{found['of products']:.2f}",
            f"{found['rotating of permuting']:.2f}",
            f"{100 * found['tests of a run']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
