"""The margin law of forgetting, fitted to records of the study on permuted images."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analysis.capacity import fit_margin_law
from experiments.methods.method import Method
from experiments.runner.groups import fractions_of, groups_of, markdown_table, method_of
from experiments.runner.record import Record
from experiments.studies.permuting.summary import net_of

CLASSES = 10
"""Outputs of the head, of every image set."""

HEADS = ("net", "method", "margin d₀", "c", "largest deviation (points)", "n")


def retention_of(record: Record) -> npt.NDArray[np.float64]:
    """Return the mean accuracy of a task after n further tasks, a fraction, for every n.

    Example:
        >>> from experiments.studies.permuting.law import retention_of
        >>> rows = {"images": 10, "correct": [[9], [8, 10], [6, 9, 10]]}
        >>> final = {"images": 10, "correct": [6, 9, 10]}
        >>> retention_of({"rows": rows, "final": final}).round(3).tolist()
        [0.967, 0.85, 0.6]
    """
    rows, _ = fractions_of(record)
    tasks = len(rows)
    return np.array([np.mean([rows[i + n][i] for i in range(tasks - n)]) for n in range(tasks)])


def law_table(records: Sequence[Record]) -> str:
    """Fit P_C(d₀ / √(1 + c n / width)) to each superposition, and format d₀, c and the deviation.

    The deviation compares the fit with the measured mean up to half of all tasks, beyond which the
    mean is of few tasks.
    """
    rows = []
    for group in sorted(groups_of(records), key=lambda group: group["width"]):
        if Method.parse(group["method"]).family is None:
            continue
        measured = np.mean([retention_of(record) for record in group.records], axis=0)
        counts = np.arange(1 + len(measured) // 2)
        law = fit_margin_law(counts, measured[counts], CLASSES)
        deviation = 100 * np.abs(law.accuracy(counts) - measured[counts]).max()
        rows.append(
            [
                net_of(group),
                method_of(group),
                f"{law.margin:.2f}",
                f"{law.rate * group['width']:.1f}",
                f"{deviation:.1f}",
                str(len(group.records)),
            ]
        )
    return markdown_table(HEADS, rows)
