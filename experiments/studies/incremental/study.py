"""The study on incremental CIFAR."""

from functools import partial

from experiments.runner.experiment import Experiment
from experiments.runner.groups import report
from experiments.runner.price import draw_price, price_table, search_table
from experiments.studies.incremental.estimate import announce
from experiments.studies.incremental.figures import draw_figure_6
from experiments.studies.incremental.presets import PRESETS
from experiments.studies.incremental.run import IncrementalRun, learner_of_config, prepare
from experiments.studies.incremental.summary import (
    batch_table,
    report_tables,
    statistics_table,
    table,
    table_of_runs,
)

_draw_price = partial(draw_price, learner_of=learner_of_config)

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
        "price": partial(price_table, learner_of=learner_of_config),
        "learning-rates": search_table,
        "run-or-not": lambda records: table_of_runs(PRESETS["paper"], records),
    },
    figures={
        **dict.fromkeys(("paper", "cpu", "base", "split-cifar100"), draw_figure_6),
        "price": partial(_draw_price, title="Incremental CIFAR, ResNet-18 of width 8"),
        "price-split-cifar100": partial(_draw_price, title="Split CIFAR-100, ResNet-18 of width 8"),
    },
    tables_without_records=("run-or-not",),
    announce=announce,
)
