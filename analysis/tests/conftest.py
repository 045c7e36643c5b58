"""Every call in the tests is checked against its annotations, the shapes of tensors included."""

import pytest
from jaxtyping import config, install_import_hook

# is_pep484_tower: an int serves where a float is annotated, as for mypy.
install_import_hook(
    "analysis", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)


@pytest.fixture
def without_shape_annotations():
    """Turn the checks of annotations off, as for users, to reach the checks at run time."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
