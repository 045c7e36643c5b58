"""Command lines, records and devices."""

from dataclasses import dataclass

import pytest

from experiments.runner.command_line import parse
from experiments.runner.device import resolve_device
from experiments.runner.record import layout, read_record, start_record, write_record


@dataclass(frozen=True)
class Config:
    size: int = 3
    names: tuple[str, ...] = ("a", "b")

    def __post_init__(self):
        if self.size < 1:
            raise ValueError(f"size must be at least 1, not {self.size}.")


PRESETS = {"large": Config(size=100)}


def test_fields_start_from_the_defaults_or_from_a_preset():
    assert parse(Config, PRESETS, arguments=[]) == Config()
    assert parse(Config, PRESETS, arguments=["--names", "c"]) == Config(names=("c",))
    assert parse(Config, PRESETS, arguments=["large", "--names", "c"]) == Config(100, ("c",))


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = start_record("test", Config())
    path = tmp_path / "deeper" / "test.json"
    written = write_record(path, {**record, "curve": [0.5, 0.25]})
    assert read_record(path) == written
    assert written["status"] == "complete"
    assert written["config"] == {"size": 3, "names": ["a", "b"]}
    assert {"torch", "commit", "cores", "threads_per_process"} <= set(written["environment"])
    assert [file.name for file in path.parent.iterdir()] == ["test.json"]


def test_a_record_that_cannot_be_written_leaves_the_last_one(tmp_path):
    path = tmp_path / "test.json"
    first = write_record(path, start_record("test", Config()))
    with pytest.raises(ValueError, match="JSON"):
        write_record(path, {**start_record("test", Config()), "loss": float("nan")})
    assert read_record(path) == first
    assert [file.name for file in tmp_path.iterdir()] == ["test.json"]


def test_a_record_is_laid_out_for_comparison_by_line():
    text = layout({"a": list(range(40)), "b": [[1, 2], [3, 4]] * 10})
    assert text.splitlines()[1].startswith(' "a": [0, 1, 2,')
    assert text.count("\n") == 4 + 20


def test_a_device_that_the_machine_lacks_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    with pytest.raises(ValueError, match=r"device='cuda' is not on this machine.*use auto"):
        resolve_device("cuda")
