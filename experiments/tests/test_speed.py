"""The benchmark, in its smallest form."""

import dataclasses

import pytest

from experiments.studies.speed.measure import PRESETS, SpeedConfig, measure
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


def test_a_width_is_needed():
    with pytest.raises(ValueError, match="widths is empty; give at least one"):
        SpeedConfig(widths=())
