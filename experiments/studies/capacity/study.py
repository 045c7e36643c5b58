"""The study of capacity."""

from experiments import _capacity_summary as summary
from experiments._capacity_figures import draw
from experiments.capacity import PRESETS, Config, run
from experiments.runner.survey import Survey

STUDY = Survey(
    name="capacity",
    config=Config,
    presets=PRESETS,
    measure=run,
    report=summary.report,
    tables={
        "networks-that-fit-1": lambda record: summary.network_table(record, 1.0),
        "networks-that-fit-5": lambda record: summary.network_table(record, 5.0),
        "accuracy": summary.accuracy_table,
        "aligned-models-that-fit": summary.aligned_table,
        "trained-layers": summary.trained_table,
        "trained-layers-that-fit": summary.layer_table,
    },
    figures=draw,
)
