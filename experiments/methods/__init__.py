"""What the experiments compare: superposition with every family, and its competitors."""

from experiments.methods.accuracies import Accuracies as Accuracies
from experiments.methods.build import CONTEXTS as CONTEXTS
from experiments.methods.build import METHODS as METHODS
from experiments.methods.build import MULTI_HEAD as MULTI_HEAD
from experiments.methods.build import PENALTIES as PENALTIES
from experiments.methods.build import build_learner as build_learner
from experiments.methods.build import check_method as check_method
from experiments.methods.build import is_complex as is_complex
from experiments.methods.build import penalty_of as penalty_of
from experiments.methods.consolidating import EWC as EWC
from experiments.methods.consolidating import SI as SI
from experiments.methods.multi_head import Heads as Heads
from experiments.methods.multi_head import MultiHead as MultiHead
from experiments.methods.numbers import num_parameters as num_parameters
from experiments.methods.single import Single as Single

__all__ = [
    "CONTEXTS",
    "EWC",
    "METHODS",
    "MULTI_HEAD",
    "PENALTIES",
    "SI",
    "Accuracies",
    "Heads",
    "MultiHead",
    "Single",
    "build_learner",
    "check_method",
    "is_complex",
    "num_parameters",
    "penalty_of",
]
