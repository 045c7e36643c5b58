"""Tests for families of your own: the laws that all keep, and how arguments are refused.

Needs pytest and hypothesis, the extra `testing`.
"""

from psp_contexts.testing._arguments import Call as Call
from psp_contexts.testing._arguments import Refusal as Refusal
from psp_contexts.testing._arguments import missing_from as missing_from
from psp_contexts.testing._arguments import number_of_cases as number_of_cases
from psp_contexts.testing._arguments import other_than as other_than
from psp_contexts.testing._arguments import refusals as refusals
from psp_contexts.testing._laws import DIMS as DIMS
from psp_contexts.testing._laws import FAMILIES as FAMILIES
from psp_contexts.testing._laws import FIXED_FAMILIES as FIXED_FAMILIES
from psp_contexts.testing._laws import LAWS as LAWS
from psp_contexts.testing._laws import NUM_CONTEXTS as NUM_CONTEXTS
from psp_contexts.testing._laws import Family as Family
from psp_contexts.testing._laws import Law as Law
from psp_contexts.testing._laws import check as check
from psp_contexts.testing._laws import family_name as family_name

__all__ = [
    "DIMS",
    "FAMILIES",
    "FIXED_FAMILIES",
    "LAWS",
    "NUM_CONTEXTS",
    "Call",
    "Family",
    "Law",
    "Refusal",
    "check",
    "family_name",
    "missing_from",
    "number_of_cases",
    "other_than",
    "refusals",
]
