import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from analysis.capacity import MarginLaw, accuracy_at_margin, fit_margin_law, margin_at_accuracy

classes = st.integers(2, 100)


@given(num_classes=classes)
def test_without_a_margin_accuracy_is_chance(num_classes):
    assert accuracy_at_margin(0.0, num_classes) == pytest.approx(1 / num_classes, rel=1e-3)


@given(margin=st.floats(-3, 8))
def test_two_classes_compare_two_gaussians(margin):
    assert accuracy_at_margin(margin, 2) == pytest.approx(ndtr(margin / math.sqrt(2)), abs=1e-9)


def test_the_largest_of_ten_drawn_outputs_is_the_right_one_as_often():
    outputs = np.random.default_rng(0).standard_normal((200_000, 10))
    outputs[:, 0] += 1.7
    right = (outputs.argmax(1) == 0).mean()
    assert right == pytest.approx(float(accuracy_at_margin(1.7, 10)), abs=5 * 0.5 / 200_000**0.5)


@given(share=st.floats(0.02, 0.98), num_classes=classes)
def test_margin_at_accuracy_inverts(share, num_classes):
    accuracy = 1 / num_classes + share * (1 - 1 / num_classes)
    margin = margin_at_accuracy(accuracy, num_classes)
    assert accuracy_at_margin(margin, num_classes) == pytest.approx(accuracy, abs=1e-6)


@given(margin=st.floats(1.5, 5), rate=st.floats(0.005, 0.5))
def test_a_fit_recovers_the_law(margin, rate):
    law = MarginLaw(margin, rate, 10)
    n = [0, 1, 4, 9, 19, 49]
    fitted = fit_margin_law(n, law.accuracy(n), 10)
    assert fitted.accuracy(n) == pytest.approx(law.accuracy(n), abs=1e-4)


def test_an_accuracy_below_chance_has_no_margin():
    with pytest.raises(ValueError, match=r"accuracy=0\.05 must lie between chance, 0\.1, and 1"):
        margin_at_accuracy(0.05, 10)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="num_classes=1 must be at least 2"):
        accuracy_at_margin(1.0, 1)
