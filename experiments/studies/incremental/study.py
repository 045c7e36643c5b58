"""The study on incremental CIFAR."""

from experiments import _incremental_summary as summary
from experiments._incremental_figures import draw_figure_6
from experiments.incremental import PRESETS
from experiments.runner.groups import groups_of
from experiments.runner.runs import Unmoved

STUDY = Unmoved(
    "incremental",
    PRESETS,
    {
        "accuracy": lambda records: summary.table(groups_of(records)),
        "test-batches": lambda records: summary.batch_table(groups_of(records)),
        "run-or-not": lambda records: summary.table_of_runs(PRESETS["paper"].runs(), records),
    },
    {name: draw_figure_6 for name in ("paper", "cpu", "split-cifar100")},
    ("run-or-not",),
)
