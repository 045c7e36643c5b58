"""Operators: the action of one context, or a batch of contexts, on vectors and weights."""

from psp_contexts.operators.dense import Blocks as Blocks
from psp_contexts.operators.dense import Dense as Dense
from psp_contexts.operators.dense import Kronecker as Kronecker
from psp_contexts.operators.diagonal import Diagonal as Diagonal
from psp_contexts.operators.grouped import Grouped as Grouped
from psp_contexts.operators.identity import Identity as Identity
from psp_contexts.operators.operator import Operator as Operator
from psp_contexts.operators.operator import TensorOperator as TensorOperator
from psp_contexts.operators.permute import Permute as Permute
from psp_contexts.operators.permute import SignedPermute as SignedPermute

__all__ = [
    "Blocks",
    "Dense",
    "Diagonal",
    "Grouped",
    "Identity",
    "Kronecker",
    "Operator",
    "Permute",
    "SignedPermute",
    "TensorOperator",
]
