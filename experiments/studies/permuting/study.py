"""The study on permuted images."""

from experiments.runner.experiment import Experiment
from experiments.studies.permuting.figures import draw_figure_2, draw_figure_3, draw_table
from experiments.studies.permuting.presets import PRESETS
from experiments.studies.permuting.run import PermutingRun, prepare
from experiments.studies.permuting.summary import paper_table, report, table

STUDY = Experiment(
    name="permuting",
    run=PermutingRun,
    presets=PRESETS,
    prepare=prepare,
    report=report,
    tables={"accuracy": table, "beside-the-paper": paper_table},
    figures={"figure-2": draw_figure_2, "figure-3": draw_figure_3, "table": draw_table},
)
