"""The study on permuted images."""

from functools import partial

from experiments.runner.experiment import Experiment
from experiments.runner.groups import report
from experiments.runner.price import draw_price, price_table, search_table
from experiments.studies.permuting.figures import draw_figure_2, draw_figure_3, draw_table
from experiments.studies.permuting.law import law_table
from experiments.studies.permuting.presets import PRESETS
from experiments.studies.permuting.published import published_table
from experiments.studies.permuting.run import PermutingRun, learner_of_config, prepare
from experiments.studies.permuting.summary import RECIPE, paper_table, table

_draw_price = partial(draw_price, learner_of=learner_of_config)

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
        "price": partial(price_table, learner_of=learner_of_config),
        "learning-rates": search_table,
        "published": published_table,
    },
    figures={
        "figure-2": draw_figure_2,
        "figure-3": draw_figure_3,
        "table": draw_table,
        "price": partial(_draw_price, title="Permuted MNIST, 2×256 units"),
        "price-digits": partial(_draw_price, title="Permuted digits, 2×64 units"),
    },
)
