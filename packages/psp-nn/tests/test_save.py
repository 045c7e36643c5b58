import copy
import errno
import json
import struct
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from psp_contexts import BinaryContexts, ComplexContexts, RotationContexts
from psp_nn import load, name_context, save, superpose, use_context
from psp_nn._save_format import compute_digest


def built(family=BinaryContexts, width=6, weights=0, **options):
    torch.manual_seed(weights)
    net = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU())
    fixed = {"num_contexts": 4, "seed": 0, "base": False, "bias_per_context": True}
    options = fixed | options
    net = superpose(net, family=family, **options)
    for k in range(options["num_contexts"]):
        use_context(net, k)
        net(torch.randn(5, 3, 5, 5))
    use_context(net, 0)
    return net


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


@pytest.mark.parametrize(
    "family",
    [BinaryContexts, RotationContexts, ComplexContexts, partial(BinaryContexts, learned=True)],
)
def test_a_loaded_network_computes_the_same_as_the_saved_one(path, family):
    saved, other = built(family).eval(), built(family, weights=1).eval()
    save(saved, path)
    load(path, into=other)
    x = torch.randn(4, 3, 5, 5)
    for net in (saved, other):
        use_context(net, torch.tensor([3, 0, 1, 2]))
    assert torch.equal(saved(x), other(x))


def test_fixed_contexts_take_no_space(path):
    sizes = []
    for num_contexts in (2, 1000):
        net = nn.Sequential(nn.Linear(50, 40), nn.ReLU(), nn.Linear(40, 10))
        net = superpose(net, family=BinaryContexts, num_contexts=num_contexts, seed=0, base=False)
        save(net, path)
        sizes.append(sum(value.nbytes for value in load_file(path).values()))
    assert sizes[0] == sizes[1] == 4 * (50 * 40 + 40 + 40 * 10 + 10)


def refused(path, message, into=None, error=ValueError):
    net = into or built(weights=1)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(error, match=message):
        load(path, into=net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_file_truncated_anywhere_is_refused(path):
    save(built(), path)
    whole = path.read_bytes()
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path, "is truncated or not a safetensors file")


def test_a_file_altered_anywhere_is_refused(path):
    save(built(), path)
    whole = path.read_bytes()
    (header,) = struct.unpack("<Q", whole[:8])
    for position in range(8 + header, len(whole), 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        refused(path, "has been altered")
    path.write_bytes(whole.replace(b'\\"seed\\": 0', b'\\"seed\\": 1'))
    refused(path, "has been altered")


def with_metadata(path, **changes):
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata={**metadata, **changes})


def test_a_newer_format_is_refused(path):
    save(built(), path)
    with_metadata(path, format_version="3")
    refused(path, "format version 3, but this release reads up to 2")


def test_files_of_version_1_load_unless_they_have_grouped_layers():
    folder = Path(__file__).parent / "data"
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    net = superpose(net, family=BinaryContexts, num_contexts=4, seed=0, base=False)
    with pytest.raises(ValueError, match=r"another architecture: '1\.bias'"):
        load(folder / "version_1.safetensors", into=net)  # it does not say how many models
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    net = superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    name_context(net, 1, "ann")
    load(folder / "version_1.safetensors", into=net)
    assert net[0].stored().flatten().tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="the names are none yet"):
        use_context(net, "ann")  # the file names no models
    options = {"num_contexts": 3, "seed": 0, "bias_per_context": True, "two_sided": False}
    net = superpose(nn.Linear(2, 2), family=BinaryContexts, base=True, **options)
    load(folder / "version_1_base.safetensors", into=net)
    assert net.base().flatten().tolist() == [2, 3, 4, 5]
    net = nn.Sequential(nn.Conv2d(4, 2, 1, groups=2))
    net = superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    refused(
        folder / "version_1_grouped.safetensors",
        r"version 1, in which grouped layers \('0'\) have other contexts; retrieve its models",
        into=net,
    )


@pytest.mark.parametrize(
    "models", ["no JSON", '{"names": {"ann": 4}, "digests": {}, "refined": []}']
)
def test_a_record_that_does_not_fit_is_refused_even_with_a_digest(path, models):
    save(built(), path)
    with safe_open(path, "pt") as file:
        metadata = {**file.metadata(), "models": models}
    del metadata["digest"]
    tensors = load_file(path)
    save_file(
        tensors,
        path,
        metadata={**metadata, "digest": compute_digest(sorted(tensors.items()), metadata)},
    )
    refused(path, "has been altered")


@pytest.mark.parametrize("count", ["", "x", "9" * 30])
def test_a_file_that_does_not_say_how_many_models_it_holds_is_refused(path, count):
    save(built(), path)
    with_metadata(path, num_contexts=count)
    refused(path, "has been altered")


def test_other_files_are_refused(path, tmp_path):
    save_file({"weight": torch.zeros(2)}, path)
    refused(path, "holds no superposition")
    refused(tmp_path / "missing", "is not a file", error=FileNotFoundError)
    refused(tmp_path, "is not a file", error=FileNotFoundError)


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"save: path .*/missing/net cannot be written"):
        save(built(), tmp_path / "missing" / "net")
    with pytest.raises(IsADirectoryError, match="cannot be written"):
        save(built(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_read_is_named(path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    save(built(), path)
    monkeypatch.setattr("psp_nn._load.safe_open", fail)
    refused(path, r"load: path .* cannot be read: Input/output error", error=OSError)


def test_a_network_with_an_expanded_tensor_is_refused(path):
    net = built()
    net.register_buffer("expanded", torch.zeros(1).expand(3))
    save(net, path)
    with pytest.raises(ValueError, match="in into, 'expanded' is an expanded view"):
        load(path, into=net)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 8}, r"another architecture: '0\..*' is \['torch\.float32', \[4, 6\]\]"),
        ({"bias_per_context": False}, r"another architecture: '0\.bias'"),
        ({"num_contexts": 3}, r"holds 4 models, but .* room for 3; call grow\(net, 4\) first"),
        ({"seed": 1}, r"another context: '0\.contexts' is .* in the file, but .* in the network"),
        ({"family": RotationContexts}, r"another context: '0\.contexts'"),
        ({"family": ComplexContexts}, "another architecture"),
    ],
    ids=str,
)
def test_another_architecture_or_other_contexts_are_refused(path, options, message):
    save(built(), path)
    refused(path, message, into=built(weights=1, **options))


def test_contexts_that_are_drawn_differently_are_refused(path):
    class Other(BinaryContexts):
        def draw(self, index):
            return (-super().draw(index)[0],)

    Other.__name__ = "BinaryContexts"
    save(built(), path)
    refused(path, "another context", into=built(Other, weights=1))


def test_a_failed_save_leaves_the_older_file(path, monkeypatch):
    save(built(), path)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda file: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save(built(weights=1), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_file_holds_a_spec_that_names_the_contexts(path):
    save(built(), path)
    with safe_open(path, "pt") as file:
        contexts = json.loads(file.metadata()["contexts"])
    assert contexts["0.contexts"]["family"] == "BinaryContexts"
    assert contexts["0.contexts"]["seed"] == 0
    with pytest.raises(ValueError, match="nothing in this Linear is superposed"):
        save(nn.Linear(2, 2), path)


class Counts(nn.Linear):
    calls = 0

    def get_extra_state(self):
        return torch.tensor(self.calls)

    def set_extra_state(self, state):
        self.calls = int(state)


def test_state_that_the_file_format_does_not_support_is_refused(tmp_path):
    net = nn.Sequential(nn.Linear(2, 2), Counts(2, 2))
    net = superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    with pytest.raises(ValueError, match=r"'1\._extra_state' is the extra state of a module"):
        save(net, tmp_path / "net")
    net = superpose(nn.Linear(2, 2), family=BinaryContexts, num_contexts=3, seed=0, base=False).to(
        "meta"
    )
    with pytest.raises(ValueError, match=r"'weight' .* a tensor without data"):
        save(net, tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_a_parameter_named_like_an_extra_state_is_saved(tmp_path):
    net = nn.Sequential(nn.Linear(9, 2))
    net.register_parameter("my_extra_state", nn.Parameter(torch.ones(2)))
    net = superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    save(net, tmp_path / "net")
    net.my_extra_state.data.zero_()
    load(tmp_path / "net", into=net)
    assert net.my_extra_state.tolist() == [1, 1]
