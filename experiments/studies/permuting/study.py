"""The study on permuted images."""

from functools import partial

from experiments.runner.experiment import Experiment
from experiments.runner.groups import report
from experiments.studies.permuting.figures import draw_figure_2, draw_figure_3, draw_table
from experiments.studies.permuting.law import law_table
from experiments.studies.permuting.presets import PRESETS
from experiments.studies.permuting.price_figure import draw_price, price_table
from experiments.studies.permuting.published import published_table
from experiments.studies.permuting.run import PermutingRun, prepare
from experiments.studies.permuting.summary import RECIPE, paper_table, table

STUDY = Experiment(
    name="permuting",
    run=PermutingRun,
    presets=PRESETS,
    prepare=prepare,
    report=partial(report, table=table, recipe=RECIPE),
    tables={
        "accuracy": table,
        "beside-the-paper": paper_table,
        "margin-law": law_table,
        "price": price_table,
        "published": published_table,
    },
    figures={
        "figure-2": draw_figure_2,
        "figure-3": draw_figure_3,
        "table": draw_table,
        "price": draw_price,
        "price-digits": draw_price,
    },
)
