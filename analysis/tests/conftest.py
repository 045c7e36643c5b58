"""Every call in the tests is checked against its annotations, the shapes of tensors included."""

import pytest
from jaxtyping import config, install_import_hook

# is_pep484_tower accepts an int where a float is annotated, as mypy does.
install_import_hook(
    "analysis", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)


@pytest.fixture
def without_shape_annotations():
    """Disable the checks of annotations, as for users, to reach the checks in the code."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
