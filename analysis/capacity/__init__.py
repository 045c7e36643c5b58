"""Capacity, the number of models that fit: measured on curves, or predicted from the first few."""

from analysis.capacity._capacity import Capacity as Capacity
from analysis.capacity._capacity import Growth as Growth
from analysis.capacity._capacity import capacity_at_snr as capacity_at_snr
from analysis.capacity._capacity import capacity_at_tolerance as capacity_at_tolerance
from analysis.capacity._capacity import fit_growth as fit_growth
from analysis.capacity._margin import MarginLaw as MarginLaw
from analysis.capacity._margin import accuracy_at_margin as accuracy_at_margin
from analysis.capacity._margin import fit_margin_law as fit_margin_law
from analysis.capacity._margin import margin_at_accuracy as margin_at_accuracy
from analysis.capacity._predict import predict_retention as predict_retention
from analysis.capacity._retention import PredictedCapacity as PredictedCapacity
from analysis.capacity._retention import Retention as Retention

__all__ = [
    "Capacity",
    "Growth",
    "MarginLaw",
    "PredictedCapacity",
    "Retention",
    "accuracy_at_margin",
    "capacity_at_snr",
    "capacity_at_tolerance",
    "fit_growth",
    "fit_margin_law",
    "margin_at_accuracy",
    "predict_retention",
]
