"""Every call in the tests is checked against its annotations, the shapes of tensors included."""

from jaxtyping import install_import_hook

# is_pep484_tower: an int serves where a float is annotated, as for mypy.
install_import_hook(
    "analysis", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)
