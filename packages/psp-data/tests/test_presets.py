from dataclasses import replace

import pytest
import torch

from psp_data import _presets, icifar, split_cifar100, split_mnist


@pytest.fixture
def load_calls(monkeypatch, numbered):
    """Replace the real sets by small ones; return the arguments of the calls of `load`."""
    calls = []

    def load(name, root, download):
        calls.append((name, root, download))
        num_classes = 100 if name == "cifar100" else 10
        labels = torch.arange(2 * num_classes) % num_classes
        images = numbered(2 * num_classes, (1, 2, 2))
        return replace(images, name=name, train_labels=labels, test_labels=labels)

    monkeypatch.setattr(_presets, "load", load)
    return calls


def tens(start, stop):
    return [tuple(range(ten, ten + 10)) for ten in range(start, stop, 10)]


def test_icifar_shows_cifar10_and_then_four_tens_of_cifar100(load_calls):
    stream = icifar("folder", 3, batch_size=5, download=False)
    assert [stream.classes(task) for task in range(stream.num_tasks)] == [
        tuple(range(10)),
        *tens(10, 50),
    ]
    assert stream.num_steps == 100_000
    assert (stream.num_classes, stream.seed, stream.batch_size) == (10, 3, 5)
    assert load_calls == [("cifar10", "folder", False), ("cifar100", "folder", False)]


def test_split_cifar100_shows_ten_tens(load_calls):
    stream = split_cifar100(batch_size=5, steps_per_task=7)
    assert [stream.classes(task) for task in range(stream.num_tasks)] == tens(0, 100)
    assert (stream.num_steps, stream.num_classes) == (70, 10)
    assert load_calls == [("cifar100", None, True)]


def test_split_mnist_shows_five_pairs(load_calls):
    stream = split_mnist(batch_size=3)
    pairs = [stream.classes(task) for task in range(stream.num_tasks)]
    assert pairs == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
    assert (stream.num_steps, stream.num_classes) == (5000, 2)
    assert load_calls == [("mnist", None, True)]


def test_the_error_of_a_preset_names_all_missing_classes(monkeypatch, numbered):
    labels = torch.arange(40) + 10
    part = replace(numbered(40), name="cifar100", train_labels=labels, test_labels=labels)
    monkeypatch.setattr(_presets, "load", lambda *_: part)
    with pytest.raises(ValueError, match=r"cifar100 has no .* classes 0–9, 50–99; it has 10–49\."):
        split_cifar100()
