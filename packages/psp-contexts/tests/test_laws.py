from functools import partial

import pytest

from psp_contexts import PermutationContexts
from psp_contexts.testing import FAMILIES, LAWS, check, family_name


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("family", FAMILIES, ids=family_name)
def test_every_family_keeps_the_law_that(family, law):
    check(law, family)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_permutations_of_blocks_keep_the_law_that(law):
    check(law, partial(PermutationContexts, block_size=2), dims=(2, 4, 6, 12, 32))
