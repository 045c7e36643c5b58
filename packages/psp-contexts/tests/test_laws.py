import pytest

from psp_contexts.testing import FAMILIES, LAWS, check, family_name


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("family", FAMILIES, ids=family_name)
def test_every_family_keeps_the_law_that(family, law):
    check(law, family)
