"""Families of contexts: seeded, invertible linear maps for parameter superposition."""

from psp_contexts._binary import BinaryContexts as BinaryContexts
from psp_contexts._block_rotation import BlockRotationContexts as BlockRotationContexts
from psp_contexts._complex import ComplexContexts as ComplexContexts
from psp_contexts._contexts import Contexts as Contexts
from psp_contexts._diagonal import DiagonalContexts as DiagonalContexts
from psp_contexts._identity import IdentityContexts as IdentityContexts
from psp_contexts._kronecker import KroneckerRotationContexts as KroneckerRotationContexts
from psp_contexts._local_mix import LocalMixContexts as LocalMixContexts
from psp_contexts._num_parameters import num_parameters as num_parameters
from psp_contexts._one_power import OnePowerContexts as OnePowerContexts
from psp_contexts._permutation import PermutationContexts as PermutationContexts
from psp_contexts._rotation import RotationContexts as RotationContexts
from psp_contexts._signed_permutation import (
    SignedPermutationContexts as SignedPermutationContexts,
)
from psp_contexts.operators import Operator as Operator

__all__ = [
    "BinaryContexts",
    "BlockRotationContexts",
    "ComplexContexts",
    "Contexts",
    "DiagonalContexts",
    "IdentityContexts",
    "KroneckerRotationContexts",
    "LocalMixContexts",
    "OnePowerContexts",
    "Operator",
    "PermutationContexts",
    "RotationContexts",
    "SignedPermutationContexts",
    "num_parameters",
]
