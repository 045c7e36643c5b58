"""Any PyTorch network in superposition: many models in one set of weights."""

from psp_nn._attention import SuperposedMultiheadAttention as SuperposedMultiheadAttention
from psp_nn._convolution import SuperposedConv1d as SuperposedConv1d
from psp_nn._convolution import SuperposedConv2d as SuperposedConv2d
from psp_nn._convolution import SuperposedConv3d as SuperposedConv3d
from psp_nn._convolution import SuperposedConvTranspose1d as SuperposedConvTranspose1d
from psp_nn._convolution import SuperposedConvTranspose2d as SuperposedConvTranspose2d
from psp_nn._convolution import SuperposedConvTranspose3d as SuperposedConvTranspose3d
from psp_nn._embedding import SuperposedEmbedding as SuperposedEmbedding
from psp_nn._linear import SuperposedLinear as SuperposedLinear
from psp_nn._norm import Norms as Norms
from psp_nn._superpose import superpose as superpose
from psp_nn._superposed import Superposed as Superposed
from psp_nn._use_context import use_context as use_context

__all__ = [
    "Norms",
    "Superposed",
    "SuperposedConv1d",
    "SuperposedConv2d",
    "SuperposedConv3d",
    "SuperposedConvTranspose1d",
    "SuperposedConvTranspose2d",
    "SuperposedConvTranspose3d",
    "SuperposedEmbedding",
    "SuperposedLinear",
    "SuperposedMultiheadAttention",
    "superpose",
    "use_context",
]
