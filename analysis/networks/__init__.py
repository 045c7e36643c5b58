"""Retrieval, overlap and interference inside superposed networks, beside the closed forms."""

from analysis.networks._inputs import layer_inputs as layer_inputs
from analysis.networks._overlap import LayerOverlap as LayerOverlap
from analysis.networks._overlap import network_overlap as network_overlap
from analysis.networks._retrieval import LayerRetrieval as LayerRetrieval
from analysis.networks._retrieval import network_retrieval as network_retrieval
from analysis.networks._updates import LayerInterference as LayerInterference
from analysis.networks._updates import update_interference as update_interference

__all__ = [
    "LayerInterference",
    "LayerOverlap",
    "LayerRetrieval",
    "layer_inputs",
    "network_overlap",
    "network_retrieval",
    "update_interference",
]
