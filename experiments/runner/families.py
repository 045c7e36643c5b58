"""The families of contexts by the names that the command line and the records use."""

import psp_contexts
from psp_contexts import Contexts

FAMILIES: dict[str, type[Contexts]] = {
    name.removesuffix("Contexts"): getattr(psp_contexts, name)
    for name in psp_contexts.__all__
    if name.endswith("Contexts") and name not in ("Contexts", "DiagonalContexts")
}
"""`{"Binary": BinaryContexts, …}`: every concrete family of psp-contexts, found, not listed."""
