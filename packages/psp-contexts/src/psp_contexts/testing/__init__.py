"""Laws that every family keeps, as tests for families of your own.

Needs pytest and hypothesis, the extra `testing`.
"""

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
    "Family",
    "Law",
    "check",
    "family_name",
]
