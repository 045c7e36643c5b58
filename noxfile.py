"""The project's commands: `nox -s tests`, `nox -s lint`, ... (`nox --list` shows all).

Packages and experiments are found in their folders, never listed here.
"""

from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "virtualenv"

PACKAGES = sorted(path.parent for path in Path("packages").glob("*/pyproject.toml"))
EXPERIMENTS = sorted(
    path for path in Path("experiments").glob("*.py") if "class Config" in path.read_text()
)
# Two threads beside another busy process slow torch down many times over; the pool of test
# processes is the parallelism.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "agg"}


def install_everything(session: nox.Session, *more: str) -> None:
    """All distributions in one pip command, so that the siblings resolve to each other."""
    session.install("-r", "requirements.txt", *more)


@nox.session
def tests(session: nox.Session) -> None:
    """Every test and every docstring example; arguments go to pytest."""
    install_everything(session, "-e", ".[test]")
    arguments = session.posargs or ["-n", "auto", "--durations=10"]
    session.run("pytest", *arguments, env=ONE_THREAD)


@nox.session(default=False)
def reliability(session: nox.Session) -> None:
    """The tests that kill, starve and feed rubbish, in their thorough form: about 15 minutes."""
    install_everything(session, "-e", ".[test]")
    report = Path(session.create_tmp()) / "reliability.xml"
    thorough = ["-m", "reliability", "--hypothesis-profile=thorough", f"--junitxml={report}"]
    session.run("pytest", *thorough, "-n", "auto", *session.posargs, env=ONE_THREAD)
    session.run("python", "-m", "experiments._reliability", str(report), "--out", "runs")


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: style, imports, docstrings, format."""
    session.install("ruff>=0.14")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, on all that is installed for users."""
    install_everything(session, "-e", ".[test]", "mypy>=1.18", "nox")
    sources = [str(package / "src") for package in PACKAGES]
    session.run("mypy", *sources, "analysis", "experiments", "noxfile.py")


@nox.session(default=False)
@nox.parametrize("package", PACKAGES, ids=[package.name for package in PACKAGES])
def isolated(session: nox.Session, package: Path) -> None:
    """One package's own tests, with nothing installed but what it declares."""
    # The siblings it depends on are not on an index yet: pip takes them from here, if declared.
    declared = (package / "pyproject.toml").read_text()
    siblings = [path for path in PACKAGES if path != package and f'"{path.name}"' in declared]
    session.install(*map(str, siblings), f"{package}[testing]")
    session.run("pytest", str(package / "tests"), *session.posargs, env=ONE_THREAD)


@nox.session(default=False)
def smoke(session: nox.Session) -> None:
    """Every experiment in its smallest form, through its command line."""
    install_everything(session)
    for experiment in EXPERIMENTS:
        out = Path(session.create_tmp()) / experiment.stem
        session.run("python", str(experiment), "smoke", "--out", str(out), env=ONE_THREAD)
