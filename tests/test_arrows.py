"""The arrows between the distributions point one way, and each declares what it imports."""

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
"""Where the distribution is not called as the module is."""


def files(name):
    found = [path for path in SOURCES[name].rglob("*.py") if "tests" not in path.parts]
    assert found
    return found


def imports(path):
    """The top-level names of the modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; name the module in full."
            yield node.module.split(".")[0]


def test_every_source_folder_has_its_arrows():
    assert set(MAY_IMPORT) == set(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_the_arrows_point_one_way(name):
    siblings = set(SOURCES) - {name}
    for path in files(name):
        wrong = set(imports(path)) & siblings - MAY_IMPORT[name]
        assert not wrong, f"{path} imports {wrong}, but {name} may import {MAY_IMPORT[name]}."


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_declares_what_it_imports(package):
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    declared = {line.split(">")[0].strip() for line in project["dependencies"]}
    in_tests = declared | {line.split(">")[0].strip() for line in extras} | {project["name"]}
    name = project["name"].replace("-", "_")
    for path in [*files(name), *(package / "tests").rglob("*.py")]:
        for_developers = {"tests", "testing", "benchmark.py"} & set(path.parts)
        allowed = in_tests if for_developers else declared
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
