import torch
from sklearn.datasets import load_digits

from psp_data import load


def test_the_digits_are_complete_and_without_duplicates():
    digits = load("digits")
    assert len(digits.train_labels) == 1437
    assert len(digits.test_labels) == 360
    pixels, targets = load_digits(return_X_y=True)
    ours = torch.cat([digits.train_images, digits.test_images]).flatten(1)
    labels = torch.cat([digits.train_labels, digits.test_labels])
    rows = [(*row, label) for row, label in zip(ours.tolist(), labels.tolist(), strict=True)]
    stretched = torch.from_numpy(pixels).mul(255 / 16).round().int().tolist()
    theirs = [(*row, label) for row, label in zip(stretched, targets.tolist(), strict=True)]
    assert sorted(rows) == sorted(theirs)


def test_the_split_of_the_digits_is_stratified():
    digits = load("digits")
    train, test = digits.train_labels.bincount(), digits.test_labels.bincount()
    assert ((test - (train + test) / 5).abs() <= 1).all()


def test_the_split_of_the_digits_never_changes():
    digits = load("digits")
    assert digits.test_labels[:12].tolist() == [0, 2, 3, 8, 0, 2, 8, 9, 5, 0, 9, 1]
    assert int(digits.test_images.long().sum()) == 1777349


def test_the_digits_are_scaled_by_the_statistics_of_their_train_images():
    digits = load("digits")
    scaled = digits.scaled(digits.train_images)
    assert abs(scaled.mean()) < 1e-3
    assert abs(scaled.std() - 1) < 1e-3


def test_the_digits_need_no_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("PSP_DATA_DIR", str(tmp_path / "missing"))
    assert load("digits", download=False).image_shape == (1, 8, 8)
    assert not (tmp_path / "missing").exists()
