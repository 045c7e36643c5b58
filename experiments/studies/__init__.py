"""The studies. To add one: a folder with a `study.py` that defines `STUDY`, and its name here."""

from importlib import import_module
from typing import Any

STUDIES = ("capacity", "permuting", "rotating", "incremental", "speed")
"""Names of the studies: the commands `python experiments/<name>.py`."""


def load_study(name: str) -> Any:
    """Import a study, an `Experiment` or a `Survey`; it is not imported before it is needed."""
    return import_module(f"experiments.studies.{name}.study").STUDY
