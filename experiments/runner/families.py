"""Families of contexts by the names of the command line and the records."""

import psp_contexts
from psp_contexts import Contexts


def name_of(family: type[Contexts]) -> str:
    """Return the short name of a family.

    Example:
        >>> from experiments.runner.families import name_of
        >>> from psp_contexts import BinaryContexts
        >>> name_of(BinaryContexts)
        'Binary'
    """
    return family.__name__.removesuffix("Contexts")


FAMILIES: dict[str, type[Contexts]] = {
    name.removesuffix("Contexts"): getattr(psp_contexts, name)
    for name in psp_contexts.__all__
    if name.endswith("Contexts") and name not in ("Contexts", "DiagonalContexts")
}
"""Every concrete family of psp-contexts by its short name: `{"Binary": BinaryContexts, …}`."""
