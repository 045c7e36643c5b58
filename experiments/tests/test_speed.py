"""The benchmark, in its smallest form."""

import dataclasses

import pytest

from experiments import speed
from experiments._speed_summary import speed_table
from experiments.speed import PRESETS, Config


def test_everything_is_timed_and_nothing_is_left_behind(tmp_path):
    record = speed.run(dataclasses.replace(PRESETS["smoke"], out=tmp_path))
    (each,) = record["speeds"]
    assert set(each["milliseconds"]) == {
        *("runner", "rotating", "bare", "textbook", "loader", "products", "tests")
    }
    assert min(each["milliseconds"].values()) > 0
    assert each["ratios"]["times loader"] > 1
    assert list(tmp_path.iterdir()) == []
    (row,) = speed_table(record).splitlines()[2:]
    assert row.startswith(f"| 2×{each['width']} | {each['ratios']['rate of bare']:.3f} | ")


@pytest.mark.parametrize(
    "change", [{"widths": ()}, {"builds": 0}, {"rounds": 0}, {"arithmetic": -1.0}]
)
def test_bad_values_are_refused(change):
    with pytest.raises(ValueError, match=r"must be"):
        Config(**change)


def test_missing_images_end_it_in_a_line(tmp_path, monkeypatch, capsys):
    def fail(name):
        raise FileNotFoundError(f"there is no {name}")

    monkeypatch.setattr(speed, "load_images", fail)
    monkeypatch.setattr("sys.argv", ["speed.py", "smoke", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as exit_:
        speed.main()
    assert exit_.value.code == 1
    assert capsys.readouterr().err.strip() == "error: there is no digits"
