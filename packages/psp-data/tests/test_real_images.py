"""Tests with the real sets, where $PSP_DATA_DIR holds them."""

import pytest
import torch

from psp_data import IncrementalStream, PermutingStream, RotatingStream, split
from psp_data._cache_file import KEYS, checksum
from psp_data._sets import SETS

MNISTS = pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])


@MNISTS
def test_the_images_are_the_published_ones(real_images, name):
    images = real_images(name)
    assert images.image_shape == (1, 28, 28)
    assert (len(images.train_labels), len(images.test_labels)) == (60_000, 10_000)
    assert checksum({key: getattr(images, key) for key in KEYS}) == SETS[name].checksum


def test_mnist_is_scaled_by_its_mean_and_standard_deviation(real_images):
    images = real_images("mnist")
    pixels = images.train_images.double() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3081, abs=5e-5)


def test_cifar10_has_ten_classes_of_equal_size(real_images):
    images = real_images("cifar10")
    assert images.image_shape == (3, 32, 32)
    assert images.train_labels.bincount().tolist() == [5000] * 10
    assert images.test_labels.bincount().tolist() == [1000] * 10


def test_cifar100_has_five_hundred_train_images_per_class(real_images):
    images = real_images("cifar100")
    assert images.image_shape == (3, 32, 32)
    assert set(range(10, 50)) <= set(images.classes)
    counts = images.train_labels.bincount()
    assert counts[list(images.classes)].tolist() == [500] * len(images.classes)


@MNISTS
def test_an_epoch_of_a_real_set_shows_every_image_once(real_images, name):
    images = real_images(name)
    stream = PermutingStream(images, batch_size=1000)
    labels = torch.cat([stream.train_batch(step)[1] for step in range(60)])
    assert torch.equal(labels.bincount(), images.train_labels.bincount())


def test_permuted_mnist_has_the_same_pixels_in_another_order(real_images):
    stream = PermutingStream(real_images("mnist"))
    assert stream.train_batch(1000)[0].shape == (128, 784)
    plain, permuted = stream.test_set(0)[0], stream.test_set(1)[0]
    assert not torch.equal(plain, permuted)
    assert torch.equal(plain.sort(1).values, permuted.sort(1).values)
    assert abs(plain.mean()) < 0.02


def test_half_a_turn_puts_fashion_mnist_upside_down(real_images):
    stream = RotatingStream(real_images("fashion_mnist"))
    upright, rotated = stream.test_set(0)[0], stream.test_set(5)[0]
    torch.testing.assert_close(rotated, upright.flip(2, 3), rtol=0, atol=1e-3)


def test_all_tasks_of_icifar_fit_one_head(real_images):
    cifar10, cifar100 = real_images("cifar10"), real_images("cifar100")
    stream = IncrementalStream(
        [(cifar10, range(10)), *split(cifar100, 10)], batch_size=128, steps_per_task=2
    )
    for task in range(stream.num_tasks):
        images, labels = stream.train_batch(stream.first_step(task))
        assert images.shape == (128, 3, 32, 32)
        assert images.min() >= -1
        assert images.max() <= 1
        assert labels.unique().tolist() == list(range(10))
        assert stream.test_set(task)[1].bincount().tolist() == [1000 if task == 0 else 100] * 10
