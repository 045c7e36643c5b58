import tomllib
from importlib import metadata
from pathlib import Path

import psp_data


def test_every_public_name_exists_and_has_a_docstring():
    assert sorted(psp_data.__all__) == psp_data.__all__
    for name in psp_data.__all__:
        assert getattr(psp_data, name).__doc__


def test_the_installed_version_matches_the_source():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert metadata.version("psp-data") == project["version"]


def test_the_package_is_marked_as_typed():
    assert (Path(psp_data.__file__).parent / "py.typed").exists()
