"""The study of speed."""

from experiments._speed_summary import speed_table
from experiments.runner.survey import Survey
from experiments.speed import PRESETS, Config, run

STUDY = Survey(
    name="speed",
    config=Config,
    presets=PRESETS,
    measure=run,
    report=speed_table,
    tables={"speeds": speed_table},
)
