from importlib.metadata import version
from pathlib import Path

import psp_contexts
from psp_contexts import Contexts
from psp_contexts.testing import FAMILIES, LAWS


def test_every_public_name_is_importable():
    for name in psp_contexts.__all__:
        assert getattr(psp_contexts, name) is not None


def test_every_family_is_in_the_list_that_the_laws_run_over():
    families = {
        value
        for value in vars(psp_contexts).values()
        if isinstance(value, type) and issubclass(value, Contexts) and not value.__abstractmethods__
    }
    assert families == {getattr(family, "func", family) for family in FAMILIES}
    assert len(set(LAWS)) == len(LAWS)


def test_the_package_is_installed_typed_and_versioned():
    assert version("psp-contexts")
    assert (Path(psp_contexts.__file__).parent / "py.typed").exists()
