"""A damaged checkpoint or record is refused by name, unless its values are unchanged."""

import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.runner.checkpoint import Checkpoint
from experiments.runner.files import DamagedFile
from experiments.runner.record import read_record, start_record, write_record
from experiments.tests.test_runner import Config

pytestmark = pytest.mark.reliability

# The profile sets the number of examples.
MANY = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    saved = Checkpoint(tmp_path_factory.mktemp("files") / "run.checkpoint")
    saved.save({"net": {"weight": torch.randn(5, 3)}, "step": 7, "log": {"curve": [0.5]}})
    return saved


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "run.json"
    write_record(path, {**start_record("test", Config()), "curve": [0.5, 0.25, 1e-9, None, 3]})
    return path


damages = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 10**6), st.just(0)),
    st.tuples(st.just("flip"), st.integers(0, 10**6), st.integers(1, 255)),
    st.tuples(st.just("insert"), st.integers(0, 10**6), st.integers(0, 255)),
    st.tuples(st.just("zeros"), st.integers(0, 10**6), st.integers(1, 100)),
)


def damaged(data, damage):
    kind, place, value = damage
    place %= len(data)
    if kind == "cut":
        return data[:place]
    if kind == "flip":
        return data[:place] + bytes([data[place] ^ value]) + data[place + 1 :]
    if kind == "insert":
        return data[:place] + bytes([value]) + data[place:]
    return data[:place] + bytes(value) + data[place + value :]


@MANY
@given(damage=damages)
def test_a_damaged_checkpoint_is_refused(damage, checkpoint, record_property):
    record_property("damaged files: checkpoints", 1)
    data = checkpoint.path.read_bytes()
    other = Checkpoint(checkpoint.path.with_name("damaged.checkpoint"))
    other.path.write_bytes(damaged(data, damage))
    if other.path.read_bytes() == data:
        return  # zeros replaced by zeros
    with pytest.raises(DamagedFile, match=r"damaged\.checkpoint is not a complete checkpoint"):
        other.load()


@MANY
@given(damage=damages)
def test_a_damaged_record_is_refused_or_says_the_same(damage, record, record_property):
    record_property("damaged files: records", 1)
    data = record.read_bytes()
    other = record.with_name("damaged.json")
    other.write_bytes(damaged(data, damage))
    try:
        content = read_record(other)
    except DamagedFile as error:
        assert "damaged.json" in str(error)  # noqa: PT017 — either outcome is right
    else:
        assert content == read_record(record)  # only white space was damaged


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"{", b"[" * 100_000, b'{"checksum": 1}', b"\xff\xfe", b"1" * 10_000],
    ids=repr,
)
def test_a_file_that_is_no_record_is_refused(content, tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"run\.json (is not|has changed)"):
        read_record(path)


def test_swapped_files_are_refused(checkpoint, record, tmp_path):
    path = tmp_path / "run.checkpoint"
    path.write_bytes(record.read_bytes())
    with pytest.raises(DamagedFile, match="not a complete checkpoint"):
        Checkpoint(path).load()
    path.write_bytes(checkpoint.path.read_bytes())
    with pytest.raises(DamagedFile, match="not a complete record"):
        read_record(path)


def test_a_record_of_another_format_is_refused(record, tmp_path):
    content = json.loads(record.read_text())
    content["format"] = 99
    path = tmp_path / "run.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedFile, match="its checksum does not match"):
        read_record(path)
    del content["checksum"]
    write_record(path, content)
    with pytest.raises(DamagedFile, match="is a record of format 99, not 1"):
        read_record(path)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.checkpoint"
    Checkpoint(path, description='{"lr": 0.1}').save({"step": 1})
    for description in ('{"lr": 0.1}', None):
        assert Checkpoint(path, description=description).load() == {"step": 1}
    with pytest.raises(DamagedFile, match=r'run\.checkpoint is .* other settings, {"lr": 0\.1}'):
        Checkpoint(path, description='{"lr": 0.2}').load()


class Harmful:
    def __reduce__(self):
        return (exec, ("raise SystemError('code was run')",))


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.checkpoint")
    checkpoint.save({"harm": Harmful()})  # its checksum is right
    with pytest.raises(DamagedFile, match="holds more than tensors and plain values"):
        checkpoint.load()


def test_a_failed_write_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "run.checkpoint")
    checkpoint.save({"step": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save({"step": 2})
    assert checkpoint.load() == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["run.checkpoint"]
