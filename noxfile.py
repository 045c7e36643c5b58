"""The project's commands: `nox -s tests`, `nox -s lint`, ... (`nox --list` shows all).

Packages are found in their folders, and studies in their registry.
"""

import os
import re
import runpy
import shutil
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "virtualenv"

PACKAGES = sorted(path.parent for path in Path("packages").glob("*/pyproject.toml"))
# The registry is run as a file, since this environment need not have torch.
STUDIES = runpy.run_path("experiments/studies/__init__.py")["STUDIES"]
# Torch with two threads becomes many times slower while another process is busy. So every test
# process of the pool has one.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "agg"}


def install_everything(session: nox.Session, *more: str) -> None:
    """Install all distributions in one pip command, so that siblings resolve to each other."""
    session.install("-r", "requirements.txt", *more)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test and every docstring example; arguments go to pytest."""
    install_everything(session, "-e", ".[test]")
    arguments = session.posargs or ["-n", "auto", "--durations=10"]
    session.run("pytest", *arguments, env=ONE_THREAD)


@nox.session(default=False)
def reliability(session: nox.Session) -> None:
    """Run the tests that kill processes, fill disks and damage files, in about 15 minutes."""
    install_everything(session, "-e", ".[test]")
    report = Path(session.create_tmp()) / "reliability.xml"
    thorough = ["-m", "reliability", "--hypothesis-profile=thorough", f"--junitxml={report}"]
    session.run("pytest", *thorough, "-n", "auto", *session.posargs, env=ONE_THREAD)
    session.run("python", "experiments/reliability.py", str(report), "--out", "runs")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, imports, docstrings and format with ruff."""
    session.install("ruff>=0.14")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of everything that is installed for users, with mypy --strict."""
    install_everything(session, "-e", ".[test]", "mypy>=1.18", "nox")
    sources = [str(package / "src") for package in PACKAGES]
    session.run("mypy", *sources, "analysis", "experiments", "noxfile.py")


@nox.session(default=False)
@nox.parametrize("package", PACKAGES, ids=[package.name for package in PACKAGES])
def isolated(session: nox.Session, package: Path) -> None:
    """Run the tests of one package, with only its declared dependencies installed."""
    # The siblings are not on an index yet: pip installs those that are declared from here.
    declared = (package / "pyproject.toml").read_text()
    siblings = [path for path in PACKAGES if path != package and f'"{path.name}"' in declared]
    session.install(*map(str, siblings), f"{package}[testing]")
    session.run("pytest", str(package / "tests"), *session.posargs, env=ONE_THREAD)


@nox.session(default=False)
def networks(session: nox.Session) -> None:
    """Superpose the networks of transformers, timm and torchvision; print the table."""
    tools = "transformers timm lightning accelerate peft torch_geometric pytest"
    install_everything(session, *tools.split())
    folder = "packages/psp-nn/networks"
    session.run("pytest", f"{folder}/tools.py", env=ONE_THREAD)
    session.run("python", f"{folder}/check.py", *session.posargs, env=ONE_THREAD)


@nox.session(default=False)
def smoke(session: nox.Session) -> None:
    """Run the smallest preset of every study through its command line."""
    install_everything(session)
    for study in STUDIES:
        out = Path(session.create_tmp()) / study
        command = f"experiments/{study}.py"
        session.run("python", command, "smoke", "--out", str(out), env=ONE_THREAD)


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build wheels and sdists; try each wheel alone, in a fresh environment."""
    session.install("build", "twine>=6.1")
    dist = Path(session.create_tmp()).resolve() / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    for package in PACKAGES:
        session.run("python", "-m", "build", "--outdir", str(dist), str(package))
    session.run("twine", "check", "--strict", *map(str, sorted(dist.iterdir())))
    for package in PACKAGES:
        _try_wheel(session, package, dist)


def _try_wheel(session: nox.Session, package: Path, dist: Path) -> None:
    """Run the first example of a README with only the wheel of its package installed."""
    name = package.name.replace("-", "_")
    (wheel,) = dist.glob(f"{name}-*.whl")
    if "py.typed" not in {Path(entry).name for entry in zipfile.ZipFile(wheel).namelist()}:
        session.error(f"{wheel.name} has no py.typed")
    example = re.search(r"^```python\n(.*?)^```", (package / "README.md").read_text(), re.M | re.S)
    if example is None:
        session.error(f"{package}/README.md has no example")
    folder = Path(session.create_tmp()).resolve() / f"only-{package.name}"
    session.run("python", "-m", "venv", "--clear", str(folder))
    python = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    # The siblings are not on an index yet: `--find-links` offers those that were built beside it.
    install = [python, "-m", "pip", "install", "--quiet", f"--find-links={dist}", str(wheel)]
    session.run(*install, external=True)
    # From a folder without the sources, isolated from PYTHONPATH.
    with session.chdir(folder):
        session.run(python, "-I", "-c", example.group(1), external=True)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation in docs/_build; every warning is an error."""
    install_everything(session, "-e", ".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build")


@nox.session(default=False)
def examples(session: nox.Session) -> None:
    """Run the scripts of examples/, with one thread each."""
    install_everything(session, "-e", ".[examples]")
    for script in sorted(Path("examples").glob("*.py")):
        session.run("python", str(script), env=ONE_THREAD)
