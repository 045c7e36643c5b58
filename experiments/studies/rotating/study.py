"""The study on rotating images."""

from functools import partial

from experiments.runner.experiment import Experiment
from experiments.runner.groups import report
from experiments.studies.rotating.claims import (
    claims_of_contexts,
    claims_of_forgetting,
    claims_table,
)
from experiments.studies.rotating.figures import draw_figure_4, draw_figure_5
from experiments.studies.rotating.prepare import prepare
from experiments.studies.rotating.presets import PRESETS
from experiments.studies.rotating.run import RotatingRun
from experiments.studies.rotating.summary import SHARED, inferred_table, table

STUDY = Experiment(
    name="rotating",
    run=RotatingRun,
    presets=PRESETS,
    prepare=prepare,
    report=partial(report, table=table, recipe=SHARED),
    tables={
        "accuracy": table,
        "forgetting": lambda records: claims_table(claims_of_forgetting(records)),
        "contexts": lambda records: claims_table(claims_of_contexts(records)),
        "inferred": inferred_table,
    },
    figures={"figure-4": draw_figure_4, "figure-5": draw_figure_5},
)
