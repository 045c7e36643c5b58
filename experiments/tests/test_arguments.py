"""Every flag of every experiment, given what it cannot be, is named in a line before any work."""

import dataclasses
import re
import types
import typing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments import capacity, incremental, permuting, rotating, speed
from experiments.runner import parse

pytestmark = pytest.mark.reliability

EXPERIMENTS = {
    module.__name__.split(".")[-1]: module
    for module in (capacity, incremental, permuting, rotating, speed)
}

words = st.text(st.characters(codec="ascii", categories=["L", "Nd", "P"]), min_size=1).filter(
    lambda text: not text.startswith("-")
)
no_integers = st.sampled_from(["x", "1.5", "1e3", "nan", "inf", "0x10", "None", "True", ""])
no_numbers = st.sampled_from(["x", "1,5", "None", "True", "", "--"])
too_small = st.integers(max_value=0).map(str)
not_positive = st.floats(max_value=0).map(str) | st.sampled_from(["nan", "inf", "-inf"])

MAY_BE_ZERO = {"seed", "checkpoint_seconds"}


def fields(name):
    """The flags of an experiment and their types; a flag of several values has that of one."""
    config = EXPERIMENTS[name].Config
    hints = typing.get_type_hints(config, include_extras=False)
    for field in dataclasses.fields(config):
        kind = hints[field.name]
        if field.name == "grids":
            continue
        if typing.get_origin(kind) is tuple:
            kind = typing.get_args(kind)[0]
        if isinstance(kind, types.UnionType):
            (kind,) = (each for each in typing.get_args(kind) if each is not type(None))
        yield field.name, kind


def bad_values(name, kind):
    """What a flag of that type cannot be."""
    if kind is bool or kind is Path or name == "address":
        return None  # see the tests of their own
    if typing.get_origin(kind) is typing.Literal:
        return words.filter(lambda word: word not in typing.get_args(kind))
    if kind is str:
        return words.filter(lambda word: len(word) > 30 or not word.isalpha())
    if kind is int:
        return no_integers | (st.integers(max_value=-1).map(str) if name == "seed" else too_small)
    assert kind is float
    negative = st.floats(max_value=-1e-300).map(str) | st.just("nan")
    return no_numbers | (negative if name in MAY_BE_ZERO else not_positive)


FLAGS = [
    (experiment, flag)
    for experiment in EXPERIMENTS
    for flag, kind in fields(experiment)
    if bad_values(flag, kind) is not None
]


@pytest.mark.parametrize(("experiment", "flag"), FLAGS)
def test_a_bad_value_ends_the_command_with_a_line_that_names_the_flag(
    experiment, flag, capsys, record_property, request
):
    module = EXPERIMENTS[experiment]
    kind = dict(fields(experiment))[flag]
    thorough = request.config.getoption("--hypothesis-profile") == "thorough"

    @settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=30 if thorough else 3,
        suppress_health_check=list(HealthCheck),
    )
    @given(value=bad_values(flag, kind))
    def run(value):
        record_property("bad arguments: flags of the experiments", 1)
        option = f"--{flag.replace('_', '-')}={value}"
        with pytest.raises(SystemExit) as caught:
            parse(module.Config, module.PRESETS, arguments=["smoke", option])
        said = re.sub(r"[\s│]+", " ", capsys.readouterr().err)
        assert caught.value.code == 2, said
        assert re.search(rf"\b{flag.replace('_', '[-_]')}\b", said), said
        assert "Traceback" not in said

    run()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_unknown_flags_and_presets_are_named(experiment, capsys):
    module = EXPERIMENTS[experiment]
    for arguments, named in ((["--colour", "red"], "colour"), (["figure-99"], "figure-99")):
        with pytest.raises(SystemExit) as caught:
            parse(module.Config, module.PRESETS, arguments=arguments)
        assert caught.value.code == 2
        assert named in capsys.readouterr().err


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_file_is_no_folder(experiment, capsys, tmp_path):
    module = EXPERIMENTS[experiment]
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SystemExit) as caught:
        parse(module.Config, module.PRESETS, arguments=["smoke", "--out", str(file)])
    assert caught.value.code == 2
    assert "out must be a folder" in capsys.readouterr().err
