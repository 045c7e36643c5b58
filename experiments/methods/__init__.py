"""What the studies compare; import from the modules.

The names below are for the studies that are not yet moved to `experiments.studies`.
"""

from experiments.methods.accuracies import Accuracies
from experiments.methods.build import (
    CONTEXTS,
    METHODS,
    MULTI_HEAD,
    PENALTIES,
    build_learner,
    check_method,
    is_complex,
    num_parameters,
    penalty_of,
)
from experiments.methods.multi_head import Heads

__all__ = [
    "CONTEXTS",
    "METHODS",
    "MULTI_HEAD",
    "PENALTIES",
    "Accuracies",
    "Heads",
    "build_learner",
    "check_method",
    "is_complex",
    "num_parameters",
    "penalty_of",
]
