"""The distributions agree in what they say of themselves."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECTS = [ROOT / "pyproject.toml", *sorted((ROOT / "packages").glob("*/pyproject.toml"))]


def project_of(path):
    return tomllib.loads(path.read_text())["project"]


def test_all_distributions_and_the_citation_have_one_version():
    versions = {project_of(path)["version"] for path in PROJECTS}
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    logged = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions == {cited.group(1)} == {logged.group(1)}


def test_a_dependency_has_one_lower_bound_everywhere():
    bounds = {}
    for path in PROJECTS:
        project = project_of(path)
        extras = project.get("optional-dependencies", {}).values()
        for requirement in [
            *project["dependencies"],
            *(line for extra in extras for line in extra),
        ]:
            name, found, bound = requirement.partition(">=")
            if found:
                bounds.setdefault(name, set()).add(bound)
    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", PROJECTS[1:], ids=lambda path: path.parent.name)
def test_a_package_ships_the_licence_and_its_types(path):
    assert (path.parent / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    (marker,) = path.parent.glob("src/*/py.typed")
    assert marker.is_file()
