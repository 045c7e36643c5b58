"""A disk that is full, a folder that cannot be written, one that goes: nothing written is lost."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from experiments import permuting
from experiments.permuting import Config
from experiments.runner import Checkpoint, Progress, read_record
from experiments.tests.small import results

pytestmark = pytest.mark.reliability

SMALL = {"dataset": "digits", "width": (256,), "tasks": 3, "steps": 30, "curve_every": 10}


@contextmanager
def mounted(folder, options):
    """A small disk of its own; needs the right to mount."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no right to mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def command(monkeypatch, capsys):
    """The command; every chance to write a checkpoint is taken. Gives its status and its errors."""
    monkeypatch.setattr(Checkpoint, "is_due", lambda self: True)

    def run(out):
        line = "permuting.py --method standard --dataset digits --width 256 --tasks 3 --steps 30"
        words = [*line.split(), "--curve-every", "10", "--out", str(out)]
        monkeypatch.setattr(sys, "argv", words)
        try:
            permuting.main()
        except SystemExit as end:
            return end.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


@pytest.fixture
def undisturbed(tmp_path):
    permuting.run(Config(method=("standard",), out=tmp_path / "undisturbed", **SMALL))
    return results(tmp_path / "undisturbed")


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs")
def test_a_full_disk_is_named_and_what_was_there_stays(tmp_path, undisturbed, command):
    with mounted(tmp_path / "disk", "size=2m") as disk:
        (name,) = (Path(each).name for each in undisturbed)
        filler = disk / "filler"
        # Room for one checkpoint (0.7 MB) but not for the next beside it.
        filler.write_bytes(bytes(900_000))
        status, errors = command(disk)
        assert status == 1
        assert "error: [Errno 28] No space left on device" in errors
        kept = Checkpoint(disk / "permuting" / name.replace(".json", ".checkpoint")).load()
        assert kept["log"]["step"] == 10
        assert not list(disk.rglob("*.part"))
        filler.unlink()
        assert command(disk)[0] == 0
        assert results(disk) == undisturbed


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs")
def test_a_read_only_folder_is_named_before_any_work(tmp_path, command):
    with mounted(tmp_path / "disk", "size=1m,ro") as disk:
        status, errors = command(disk)
        assert status == 1
        assert "error: [Errno 30] Read-only file system" in errors
        assert str(disk) in errors


def test_a_folder_that_goes_in_the_middle_of_a_run_comes_back_with_the_record(
    tmp_path, undisturbed, monkeypatch
):
    out = tmp_path / "out"
    write, gone = Progress.write, []

    def removing(self, path):
        write(self, path)
        if self.done > 0.5 and not gone:
            gone.append(True)
            shutil.rmtree(out)

    monkeypatch.setattr(Progress, "write", removing)
    permuting.run(Config(method=("standard",), out=out, checkpoint_seconds=0, **SMALL))
    assert gone
    assert results(out) == undisturbed


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ValueError, match=r"out must be a folder, but .*file is a file"):
        Config(out=path)


def test_a_record_outlives_a_failed_second_one(tmp_path, monkeypatch):
    (first,) = permuting.run(Config(method=("standard",), out=tmp_path, **SMALL))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        permuting.run(Config(method=("standard", "Binary"), out=tmp_path, **SMALL))
    (path,) = tmp_path.rglob("*.json")
    assert read_record(path) == first
