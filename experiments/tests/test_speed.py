"""The benchmark, in its smallest form."""

import dataclasses

import pytest

from experiments.studies.speed.measure import PRESETS, SpeedConfig, measure
from experiments.studies.speed.study import STUDY
from experiments.studies.speed.summary import speed_table


def test_everything_is_timed_and_nothing_is_left_behind(tmp_path):
    record = measure(dataclasses.replace(PRESETS["smoke"], out=tmp_path))
    (speed,) = record["speeds"]
    assert set(speed["milliseconds"]) == {
        *("runner", "rotating", "bare", "textbook", "loader", "products", "tests")
    }
    assert min(speed["milliseconds"].values()) > 0
    assert speed["ratios"]["times loader"] > 1
    assert list(tmp_path.iterdir()) == []
    (row,) = speed_table(record).splitlines()[2:]
    assert row.startswith(f"| 2×{speed['width']} | {speed['ratios']['rate of bare']:.3f} | ")


@pytest.mark.parametrize(
    "change", [{"widths": ()}, {"builds": 0}, {"rounds": 0}, {"arithmetic": -1.0}]
)
def test_bad_values_are_refused(change):
    with pytest.raises(ValueError, match=rf"{next(iter(change))} must be"):
        SpeedConfig(**change)


def test_missing_images_end_the_command_with_a_message(tmp_path, monkeypatch, capsys):
    def fail(name):
        raise FileNotFoundError(f"there is no {name}")

    monkeypatch.setattr("experiments.runner.images.load", fail)
    with pytest.raises(SystemExit) as caught:
        STUDY.main(arguments=["smoke", "--out", str(tmp_path)])
    assert caught.value.code == 1
    assert capsys.readouterr().err.strip() == "error: there is no digits"
