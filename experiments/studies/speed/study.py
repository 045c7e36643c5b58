"""The study of speed."""

from experiments.runner.survey import Survey
from experiments.studies.speed.measure import PRESETS, SpeedConfig, measure
from experiments.studies.speed.summary import report, speed_table

STUDY = Survey(
    name="speed",
    config=SpeedConfig,
    presets=PRESETS,
    measure=measure,
    report=report,
    tables={"speeds": speed_table},
)
