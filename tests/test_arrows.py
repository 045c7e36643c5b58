"""Imports between the distributions go one way, and each distribution declares what it imports."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in (ROOT / "packages").glob("*/pyproject.toml"))

SOURCES = {path.name.replace("-", "_"): path / "src" for path in PACKAGES}
SOURCES |= {"analysis": ROOT / "analysis", "experiments": ROOT / "experiments"}

MAY_IMPORT = {
    "psp_contexts": set(),
    "psp_data": set(),
    "psp_nn": {"psp_contexts"},
    "analysis": {"psp_contexts", "psp_nn"},
    "experiments": {"psp_contexts", "psp_nn", "psp_data", "analysis"},
}

DISTRIBUTION = {"sklearn": "scikit-learn", "PIL": "pillow"}
"""Distributions whose name differs from the name of their module."""


def files(name):
    paths = [path for path in SOURCES[name].rglob("*.py") if "tests" not in path.parts]
    assert paths
    return paths


def imports(path):
    """Yield the top-level names of all modules that a file imports, at any place in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; name the module in full."
            yield node.module.split(".")[0]


def test_every_source_folder_has_an_entry():
    assert set(MAY_IMPORT) == set(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_imports_go_one_way(name):
    siblings = set(SOURCES) - {name}
    for path in files(name):
        forbidden = set(imports(path)) & siblings - MAY_IMPORT[name]
        assert not forbidden, (
            f"{path} imports {forbidden}, but {name} may import {MAY_IMPORT[name]}."
        )


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_declares_what_it_imports(package):
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    declared = {line.split(">")[0].strip() for line in project["dependencies"]}
    in_tests = declared | {line.split(">")[0].strip() for line in extras} | {project["name"]}
    name = project["name"].replace("-", "_")
    for path in [*files(name), *(package / "tests").rglob("*.py")]:
        is_for_developers = {"tests", "testing", "benchmark.py"} & set(path.parts)
        allowed = in_tests if is_for_developers else declared
        for module in set(imports(path)) - set(sys.stdlib_module_names) - {name}:
            distribution = DISTRIBUTION.get(module, module.replace("_", "-"))
            assert distribution in allowed, f"{path} imports {module}, which is not declared."


def test_the_root_declares_what_analysis_and_experiments_import():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {line.split(">")[0].strip() for line in project["dependencies"]}
    for path in [*files("analysis"), *files("experiments")]:
        for module in set(imports(path)) - set(sys.stdlib_module_names) - set(SOURCES):
            assert DISTRIBUTION.get(module, module) in declared, f"{path} imports {module}."


def test_the_requirements_install_every_distribution():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    listed = {line for line in lines if not line.startswith("#")}
    assert listed == {f"-e packages/{path.name}" for path in PACKAGES} | {"-e ."}
