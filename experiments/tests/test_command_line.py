"""The command line of every study names a bad flag before any work."""

import dataclasses
import os
import re
import subprocess
import sys
import typing
from types import UnionType

import pytest

from experiments.runner.experiment import Experiment
from experiments.studies import STUDIES, load_study

MAY_BE_ZERO = ("seed", "checkpoint_seconds", "padding")


def refuse(name, arguments, capsys):
    """Give a study bad arguments, and return its message."""
    with pytest.raises(SystemExit) as caught:
        load_study(name).main(arguments=arguments)
    message = re.sub(r"[\s│]+", " ", capsys.readouterr().err)
    assert caught.value.code == 2, message
    assert "Traceback" not in message
    return message


def kinds(name):
    """Yield the fields of a study's config or run, and the types of one value."""
    study = load_study(name)
    config = study.run if isinstance(study, Experiment) else study.config
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        kind = hints[field.name]
        if isinstance(kind, UnionType) or typing.get_origin(kind) is tuple:
            kind = typing.get_args(kind)[0]
        yield field.name, kind


NUMBERS = [
    (study, field, value)
    for study in STUDIES
    for field, kind in kinds(study)
    if kind in (int, float)
    for value in ("x", "nan", "-1", *(["0"] if field not in MAY_BE_ZERO else []))
]


@pytest.mark.parametrize(("study", "field", "value"), NUMBERS)
def test_an_impossible_number_is_named(study, field, value, capsys):
    flag = f"--{field.replace('_', '-')}"
    method = ["--method", "SI"] if field == "strength" else []
    message = refuse(study, [*method, flag, value], capsys)
    assert re.search(rf"\b{field.replace('_', '[-_]')}\b", message), message


@pytest.mark.parametrize("study", STUDIES)
def test_unknown_flags_choices_and_presets_are_named(study, capsys):
    assert "colour" in refuse(study, ["--colour", "red"], capsys)
    assert "--device" in refuse(study, ["--device", "abacus"], capsys)
    assert "unknown preset 'figure-99': choose from" in refuse(study, ["figure-99"], capsys)


@pytest.mark.parametrize("study", STUDIES)
def test_a_file_is_not_a_folder(study, capsys, tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert "out must be a folder, but" in refuse(study, ["--out", str(file)], capsys)


@pytest.mark.parametrize("study", STUDIES)
def test_missing_images_end_the_command_before_any_work(study, capsys, tmp_path, monkeypatch):
    def load(name):
        raise FileNotFoundError(f"{name} is missing")

    monkeypatch.setattr("experiments.runner.images.load", load)
    with pytest.raises(SystemExit) as caught:
        load_study(study).main(arguments=["smoke", "--out", str(tmp_path)])
    assert caught.value.code == 1
    assert capsys.readouterr().err.strip() == "error: digits is missing"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("study", ["permuting", "rotating", "incremental"])
def test_different_runs_of_the_presets_have_different_names(study):
    runs = {run for preset in load_study(study).presets.values() for run in preset}
    assert len({run.name for run in runs}) == len(runs)


OUTPUT = """
from experiments.runner.command_line import print_result
for _ in range(20_000):
    print_result("K \u2265 2 \u00b1 1")
"""


def test_a_result_is_printed_in_a_code_page_without_its_signs():
    code = OUTPUT.replace("20_000", "1")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert (run.returncode, run.stdout.strip()) == (0, b"K ? 2 ? 1")


def test_a_reader_that_leaves_is_no_error():
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", OUTPUT], stdout=pipe, stderr=pipe) as run:
        run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 0


def test_figures_are_drawn_whatever_backend_a_notebook_exports():
    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    code = "import experiments.runner.figure as figure; figure.plt.figure()"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
