"""Damaged, exchanged and malicious files, full disks, and interrupted saves."""

import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save as to_bytes
from safetensors.torch import save_file
from torch import nn

from psp_contexts import BinaryContexts, ComplexContexts
from psp_nn import load, save, superpose

pytestmark = pytest.mark.reliability

QUICK = settings().max_examples <= 100
"""True for the default profile: few files, the same ones in each run."""


def built(seed, family=BinaryContexts, width=4):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))
    return superpose(net, family=family, num_contexts=3, seed=0, base=False)


def contents(net, folder):
    save(net, folder / "net")
    return (folder / "net").read_bytes()


@pytest.fixture(scope="module", params=[BinaryContexts, ComplexContexts])
def saved(request, tmp_path_factory):
    """The bytes of a file, its state dict, and a network with other weights to load them into."""
    net, other = built(0, request.param), built(1, request.param)
    return contents(net, tmp_path_factory.mktemp("saved")), state(net), other


def state(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def load_or_refuse(path, content, expected, into):
    """Load a file: either it is refused by name and nothing changes, or every value is right.

    Returns:
        True if it was loaded.
    """
    path.write_bytes(content)
    before, refusal = state(into), None
    try:
        load(path, into=into)
    except ValueError as error:
        refusal = error
    if refusal is None:
        assert same(expected, state(into)), "wrong values were loaded"
        into.load_state_dict(before)
        return True
    assert type(refusal) is ValueError
    assert str(refusal).startswith(f"load: path {path} ")
    assert same(before, state(into))
    return False


def parts(content):
    """Return the header of a file, parsed, and its data."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture
def fuzzed(saved, tmp_path, record_property):
    """A function that draws damaged files from the whole one, loads them and counts them."""
    whole, expected, into = saved
    tried = 0

    def fuzz(draw, examples):
        @settings(max_examples=examples, deadline=None, database=None, derandomize=QUICK)
        @given(st.data())
        def run(data):
            nonlocal tried
            tried += 1
            load_or_refuse(tmp_path / "net", draw(whole, data.draw), expected, into)

        run()

    yield fuzz
    record_property("damaged files: saved nets", tried)


def cut_short(whole, draw):
    return whole[: draw(st.integers(0, len(whole) - 1))]


def flipped(whole, draw):
    altered = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        altered[draw(st.integers(0, len(whole) - 1))] ^= draw(st.integers(1, 255))
    return bytes(altered)


def spliced(whole, draw):
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    between = draw(st.binary(max_size=20) | st.just(whole[start:end] * 2))
    return whole[:start] + between + whole[end:]


def mislengthed(whole, draw):
    length = draw(st.integers(0, 2**64 - 1) | st.integers(0, 2 * len(whole)))
    return struct.pack("<Q", length) + whole[8:]


DTYPES = "F64 F32 F16 BF16 I64 U64 U16 I8 BOOL F8_E4M3 F8_E8M0 F4 F6_E2M3 C64 X".split()
LENGTHS = st.sampled_from([0, 1, 7, 2**31, 2**32, 2**53, 2**63 - 1, 2**64 - 1, 2**64, 10**30, -1])


def misplaced(whole, draw):
    """Exchange offsets, shapes and dtypes of tensors."""
    header, data = parts(whole)
    names = sorted(name for name in header if name != "__metadata__")
    for _ in range(draw(st.integers(1, 3))):
        entry = header[draw(st.sampled_from(names))]
        field = draw(st.sampled_from(["data_offsets", "shape", "dtype"]))
        if field == "dtype":
            entry[field] = draw(st.sampled_from(DTYPES))
        elif draw(st.booleans()):
            entry[field] = header[draw(st.sampled_from(names))][field]  # overlapping
        else:
            entry[field] = draw(st.lists(LENGTHS, max_size=3))
    return with_header(header, data)


DEEP = "[" * 10**5
TEXTS = (
    st.text(max_size=10)
    | st.sampled_from(["", "2", "0", "01", "²", "9" * 10**4, DEEP, '{"a": ' * 10**5, "null", "{}"])
    | st.sampled_from(["NaN", "1e999", '{"0": [], "0": {}}', "9" * 5000])
)
JSON = st.recursive(
    st.none() | st.booleans() | LENGTHS | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def misdescribed(whole, draw):
    """Alter, add or remove metadata."""
    header, data = parts(whole)
    metadata = header["__metadata__"]
    names = st.sampled_from([*sorted(metadata), "more", "complex"])
    for _ in range(draw(st.integers(1, 2))):
        metadata[draw(names)] = draw(TEXTS | JSON.map(json.dumps))
    if draw(st.booleans()):
        del metadata[draw(st.sampled_from(sorted(metadata)))]
    return with_header(header, data)


def with_a_random_header(whole, draw):
    _, data = parts(whole)
    texts = (TEXTS | JSON.map(json.dumps)).map(str.encode)
    return with_header(draw(texts | st.binary(max_size=50)), data)


DAMAGES = [
    cut_short,
    flipped,
    spliced,
    mislengthed,
    misplaced,
    misdescribed,
    with_a_random_header,
]


def peak_memory():
    """Return the peak memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_refused_or_every_value_is_right(fuzzed, damage):
    fuzzed(damage, 1)  # hypothesis fills its own caches with its first example
    before = peak_memory()
    fuzzed(damage, max(10, settings().max_examples // 8))
    assert peak_memory() - before < 100e6, "small files took much memory"


def test_every_flipped_byte_of_the_data_is_noticed(saved, tmp_path, record_property):
    whole, expected, into = saved
    (header,) = struct.unpack("<Q", whole[:8])
    positions = range(8 + header, len(whole), 37 if QUICK else 1)
    for position in positions:
        content = bytearray(whole)
        content[position] ^= 1 << position % 8
        assert not load_or_refuse(tmp_path / "net", bytes(content), expected, into)
    record_property("damaged files: saved nets", len(positions))


class Malicious:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def archive(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def test_other_files_are_refused_and_run_nothing(saved, tmp_path, record_property):
    _, expected, into = saved
    harmed = tmp_path / "harmed"
    images = {"images": torch.zeros(9, 1, 8, 8, dtype=torch.uint8), "labels": torch.zeros(9).long()}
    weights = {name: torch.zeros(2) for name in into.state_dict()}
    (tmp_path / "another").mkdir()
    others = [
        b"",
        b"\0" * 8,
        b"\0" * 10**6,
        to_bytes({}),
        to_bytes(weights),
        to_bytes(weights, metadata={"format": "pt"}),
        to_bytes(images, metadata={"format": "psp-data", "name": "mnist", "checksum": "0"}),
        contents(built(0, width=5), tmp_path / "another"),
        contents(built(0, other_family(into)), tmp_path / "another"),
        pickle.dumps(Malicious(harmed)),
        archive(Malicious(harmed)),
        archive(into.state_dict()),
        b"PK\3\4" + b"\0" * 100,
        json.dumps({"format": "psp-nn"}).encode(),
        os.urandom(1000),
    ]
    for content in others:
        assert not load_or_refuse(tmp_path / "net", content, expected, into)
        assert not harmed.exists()
    record_property("damaged files: saved nets", len(others))


def other_family(net):
    """Return a family that this network does not have."""
    return BinaryContexts if net[0].contexts_for().is_complex else ComplexContexts


def test_a_file_whose_tensors_do_not_match_its_digest_is_refused(saved, tmp_path):
    whole, expected, into = saved
    header, _ = parts(whole)
    for dtype in (torch.float16, torch.float64):
        tensors = {
            name: torch.zeros(entry["shape"]).to(dtype)
            for name, entry in header.items()
            if name != "__metadata__"
        }
        save_file(tensors, tmp_path / "net", metadata=header["__metadata__"])
        content = (tmp_path / "net").read_bytes()
        assert not load_or_refuse(tmp_path / "net", content, expected, into)


@contextmanager
def file_size_limit(size):
    """Limit the size of files that this process writes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100, 1000])
def test_on_a_full_disk_the_older_file_stays(tmp_path, size):
    net, other = built(0), built(1)
    whole = contents(net, tmp_path)
    with (
        file_size_limit(size),
        pytest.raises(OSError, match=rf"path {tmp_path}/net cannot be wr"),
    ):
        save(other, tmp_path / "net")
    assert (tmp_path / "net").read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_a_folder_without_write_permission_is_named(tmp_path):
    folder = tmp_path
    if os.geteuid():
        folder.chmod(0o500)
    else:
        folder = Path("/sys/kernel")  # not even root may
        if not folder.exists():
            pytest.skip("root may write everywhere here")
    with pytest.raises(PermissionError, match="cannot be written"):
        save(built(0), folder / "net")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.replace"])
def test_an_interrupted_save_leaves_the_older_file_and_no_other(
    tmp_path, monkeypatch, interruption, where
):
    def interrupted(*_):
        raise interruption

    net, other = built(0), built(1)
    whole = contents(net, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(where, interrupted)
        with pytest.raises(interruption):
            save(other, tmp_path / "net")
    assert (tmp_path / "net").read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_files_left_by_a_killed_save_are_removed_after_an_hour(tmp_path):
    for name, age in ((".net.1.part", 4000), (".net.2.part", 10), (".other.1.part", 4000)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    save(built(0), tmp_path / "net")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".net.2.part", ".other.1.part", "net"]


KILLS = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from torch import nn
from psp_contexts import BinaryContexts
from psp_nn import load, save, superpose

def built(weight):
    net = nn.Linear(300, 300)
    nn.init.constant_(net.weight, weight)
    return superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False)

torch.set_num_threads(1)
path, kills = Path(sys.argv[1]), int(sys.argv[2])
nets, into = [built(1.0), built(2.0)], built(0.0)
save(nets[0], path)
random.seed(0)
for kill in range(kills):
    child = os.fork()
    if not child:
        while True:
            for net in nets:
                save(net, path)
    time.sleep(random.uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    load(path, into=into)
    weight = into.stored().detach()
    assert any(torch.equal(weight, net.stored()) for net in nets)
    print("whole")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_a_file_is_whole_whenever_the_process_that_saves_is_killed(tmp_path, record_property):
    kills = 5 if QUICK else 100
    command = [sys.executable, "-c", KILLS, str(tmp_path / "net"), str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["whole"] * kills
    assert all(path.suffix == ".part" for path in tmp_path.iterdir() if path.name != "net")
    record_property("moments killed: saving a net", kills)
