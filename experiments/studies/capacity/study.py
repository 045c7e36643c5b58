"""The study of capacity."""

from experiments.runner.survey import Survey
from experiments.studies.capacity.config import PRESETS, CapacityConfig
from experiments.studies.capacity.figures import draw
from experiments.studies.capacity.measure import measure
from experiments.studies.capacity.predict import PREDICT
from experiments.studies.capacity.summary import (
    accuracy_table,
    aligned_table,
    layer_table,
    network_table,
    report,
    trained_table,
)

STUDY = Survey(
    name="capacity",
    config=CapacityConfig,
    presets=PRESETS,
    measure=measure,
    report=report,
    tables={
        "networks-that-fit-1": lambda record: network_table(record, 1.0),
        "networks-that-fit-5": lambda record: network_table(record, 5.0),
        "accuracy": accuracy_table,
        "aligned-models-that-fit": aligned_table,
        "trained-layers": trained_table,
        "trained-layers-that-fit": layer_table,
    },
    figures=draw,
    commands={"predict": PREDICT},
)
