"""Methods by their names, for the studies that are not yet moved to `experiments.studies`."""

from typing import Any

from experiments.methods import method as new
from experiments.runner.learner import Learner

CONTEXTS = {name: each for name, each in new.METHODS.items() if each.family}
METHODS = tuple(name for name, each in new.METHODS.items() if not each.heads)
MULTI_HEAD = tuple(name for name, each in new.METHODS.items() if each.heads)
PENALTIES = ("EWC", "OnlineEWC", "SI")


def penalty_of(method: str) -> str | None:
    """Return the penalty of a method."""
    return new.METHODS[method].penalty


def is_complex(method: str) -> bool:
    """Return True if a method has complex weights."""
    return new.METHODS[method].is_complex


def check_method(method: str, width: int) -> None:
    """Raise ValueError if a family has no maps of that length."""
    new.METHODS[method].check_dim(width)


def build_learner(method: str, *arguments: Any, **options: Any) -> Learner:
    """Make the learner of a method."""
    return new.METHODS[method].learner(*arguments, **options)


def num_parameters(learner: Learner, tasks: int) -> dict[str, int]:
    """Count the stored parameters of a learner."""
    return learner.num_parameters(tasks)
