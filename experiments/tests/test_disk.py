"""Full disks, and folders that are read-only or removed: no complete file is lost."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from experiments.methods.method import named
from experiments.runner.checkpoint import Checkpoint
from experiments.runner.progress import Progress
from experiments.runner.record import read_record
from experiments.runner.run import sweep
from experiments.studies.permuting.run import PermutingRun
from experiments.studies.permuting.study import STUDY
from experiments.tests.small import results, run_all

pytestmark = pytest.mark.reliability


def small(*methods):
    recipe = {"dataset": "digits", "width": 256, "tasks": 3, "steps": 30, "curve_every": 10}
    return sweep(PermutingRun, method=named(*methods), **recipe)


@contextmanager
def mounted(folder, options):
    """Mount a small disk; needs the right to mount."""
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
    """The command, with a checkpoint at every opportunity; returns its status and its errors."""
    monkeypatch.setattr(Checkpoint, "is_due", lambda self: True)

    def run(out):
        line = "--method standard --dataset digits --width 256 --tasks 3 --steps 30"
        try:
            STUDY.main(arguments=[*line.split(), "--curve-every", "10", "--out", str(out)])
        except SystemExit as end:
            return end.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


@pytest.fixture
def undisturbed(tmp_path):
    run_all(STUDY, small("standard"), tmp_path / "undisturbed")
    return results(tmp_path / "undisturbed")


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs")
def test_a_full_disk_is_named_and_the_last_checkpoint_stays(tmp_path, undisturbed, command):
    with mounted(tmp_path / "disk", "size=2m") as disk:
        (name,) = (Path(path).name for path in undisturbed)
        filler = disk / "filler"
        # Room for one checkpoint (0.7 MB) but not for the next beside it.
        filler.write_bytes(bytes(900_000))
        status, errors = command(disk)
        assert status == 1
        assert "error: [Errno 28] No space left on device" in errors
        state = Checkpoint(disk / "permuting" / name.replace(".json", ".checkpoint")).load()
        assert state["log"]["step"] == 10
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


def test_a_folder_that_is_removed_during_a_run_is_created_again(tmp_path, undisturbed, monkeypatch):
    out = tmp_path / "out"
    write, gone = Progress.write, []

    def removing(self, path):
        write(self, path)
        if self.done > 0.5 and not gone:
            gone.append(True)
            shutil.rmtree(out)

    monkeypatch.setattr(Progress, "write", removing)
    run_all(STUDY, small("standard"), out, checkpoint_seconds=0)
    assert gone
    assert results(out) == undisturbed


def test_a_failed_run_leaves_the_other_records(tmp_path, monkeypatch):
    (first,) = run_all(STUDY, small("standard"), tmp_path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        run_all(STUDY, small("standard", "Binary"), tmp_path)
    (path,) = tmp_path.rglob("*.json")
    assert read_record(path) == first
