"""The study on incremental CIFAR."""

from functools import partial

from experiments.runner.experiment import Experiment
from experiments.runner.groups import report
from experiments.studies.incremental.estimate import announce
from experiments.studies.incremental.figures import draw_figure_6
from experiments.studies.incremental.presets import PRESETS
from experiments.studies.incremental.run import IncrementalRun, prepare
from experiments.studies.incremental.summary import (
    batch_table,
    report_tables,
    statistics_table,
    table,
    table_of_runs,
)

STUDY = Experiment(
    name="incremental",
    run=IncrementalRun,
    presets=PRESETS,
    prepare=prepare,
    report=partial(report, table=report_tables),
    tables={
        "accuracy": table,
        "test-batches": batch_table,
        "statistics": statistics_table,
        "run-or-not": lambda records: table_of_runs(PRESETS["paper"], records),
    },
    figures=dict.fromkeys(("paper", "cpu", "base", "split-cifar100"), draw_figure_6),
    tables_without_records=("run-or-not",),
    announce=announce,
)
