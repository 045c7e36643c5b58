"""Retrieval measured: models are stored in drawn contexts and read back with their noise."""

from analysis.retrieval._curve import Models as Models
from analysis.retrieval._curve import Retrieval as Retrieval
from analysis.retrieval._curve import measure_retrieval as measure_retrieval
from analysis.retrieval._estimate import Estimate as Estimate
from analysis.retrieval._estimate import estimate as estimate
from analysis.retrieval._interference import interference as interference
from analysis.retrieval._models import aligned_models as aligned_models
from analysis.retrieval._models import generic_models as generic_models

__all__ = [
    "Estimate",
    "Models",
    "Retrieval",
    "aligned_models",
    "estimate",
    "generic_models",
    "interference",
    "measure_retrieval",
]
