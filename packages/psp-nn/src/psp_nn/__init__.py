"""Any PyTorch network in superposition: many models in one set of weights."""

from psp_nn._linear import SuperposedLinear as SuperposedLinear
from psp_nn._superpose import superpose as superpose
from psp_nn._superposed import Superposed as Superposed
from psp_nn._use_context import use_context as use_context

__all__ = ["Superposed", "SuperposedLinear", "superpose", "use_context"]
