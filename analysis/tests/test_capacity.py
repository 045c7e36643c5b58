import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.capacity import Capacity, capacity_at_snr, capacity_at_tolerance, fit_growth

exact = settings(deadline=None, derandomize=True, database=None, max_examples=50)


def capacity_of(estimate: float) -> Capacity:
    return Capacity(max(1, int(estimate)), int(estimate) + 2, estimate)


def test_the_first_failure_counts_even_if_the_curve_recovers():
    capacity = capacity_at_snr([2, 4, 8, 16], [8.0, 2.0, 0.5, 4.0], target=1.0)
    assert (capacity.num_models, capacity.fails_at) == (4, 8)
    assert capacity.estimate == pytest.approx(4 * math.sqrt(2))  # midway in both logarithms


def test_a_curve_that_ends_early_gives_a_lower_bound_that_says_so():
    capacity = capacity_at_snr([2, 4, 8], [9.0, 5.0, 3.0], target=1.0)
    assert capacity == Capacity(8, None, 8.0)
    assert capacity.at_limit
    assert capacity.censored


def test_a_curve_that_starts_below_the_target_gives_nothing():
    capacity = capacity_at_snr([2, 4], [0.5, 0.1], target=1.0)
    assert capacity == Capacity(0, 2, 0.0)
    assert capacity.censored
    assert not capacity.at_limit


def test_one_model_without_noise_gives_no_line_to_follow():
    assert capacity_at_snr([1, 2], [math.inf, 0.5], target=1.0) == Capacity(1, 2, 1.0)


@exact
@given(
    dim=st.integers(8, 4096),
    target=st.floats(0.1, 10),
    ratio=st.floats(1.05, 3),
)
def test_the_estimate_lies_close_to_where_the_formula_crosses(dim, target, ratio):
    num_models = sorted({max(2, round(2 * ratio**step)) for step in range(150)})
    snr = [dim / (models - 1) for models in num_models]
    capacity = capacity_at_snr(num_models, snr, target)
    truth = 1 + dim / target
    if capacity.censored:
        assert truth < num_models[0] or truth >= num_models[-1]
    else:
        assert capacity.num_models <= truth < capacity.fails_at
        # K - 1 is a power of dim, K nearly so: at small K interpolation errs by a part of 1/K.
        assert capacity.estimate == pytest.approx(truth, abs=1)


def test_a_drop_equal_to_the_tolerance_is_within_it():
    curve = ([1, 10, 20, 50], [0.97, 0.96, 0.92, 0.4])
    one = capacity_at_tolerance(*curve, when_learned=0.97, tolerance=0.01)
    five = capacity_at_tolerance(*curve, when_learned=[0.97, 0.97, 0.97, 0.96], tolerance=0.05)
    assert (one.num_models, one.fails_at) == (10, 20)
    assert (five.num_models, five.fails_at) == (20, 50)
    assert 20 <= five.estimate < 20.001
    everything = capacity_at_tolerance(*curve, when_learned=0.97, tolerance=0.6)
    assert everything.at_limit


@exact
@given(
    exponent=st.floats(-1, 3),
    factor=st.floats(0.5, 5),
    dims=st.lists(st.integers(2, 4096), min_size=2, max_size=6, unique=True),
)
def test_a_power_law_is_found_again(exponent, factor, dims):
    growth = fit_growth(dims, [capacity_of(factor * dim**exponent) for dim in dims])
    assert growth.exponent == pytest.approx(exponent, abs=1e-6)
    assert growth.factor == pytest.approx(factor, rel=1e-5)
    assert growth.dims_used == tuple(sorted(dims))
    if len(dims) > 2:
        assert growth.standard_error == pytest.approx(0, abs=1e-5)
    else:
        assert growth.standard_error is growth.interval is None


def test_error_and_interval_are_those_of_a_straight_line():
    dims, estimates = [32, 64, 64, 128, 512], [10.0, 17.0, 22.0, 40.0, 170.0]
    growth = fit_growth(dims, [capacity_of(k) for k in estimates], confidence=0.9)
    line = stats.linregress(np.log(dims), np.log(estimates))
    assert growth.exponent == pytest.approx(line.slope)
    assert growth.standard_error == pytest.approx(line.stderr)
    assert growth.factor == pytest.approx(math.exp(line.intercept))
    reach = stats.t.ppf(0.95, 3) * line.stderr
    assert growth.interval == pytest.approx((line.slope - reach, line.slope + reach))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    dims = [64, 128, 256, 512, 1024]
    inside = 0
    for _ in range(2000):
        noisy = [
            capacity_of(100 * dim**1.5 * math.exp(0.2 * rng.standard_normal())) for dim in dims
        ]
        low, high = fit_growth(dims, noisy, confidence=0.9).interval
        inside += low <= 1.5 <= high
    # Five standard errors of a binomial share.
    assert inside / 2000 == pytest.approx(0.9, abs=5 * math.sqrt(0.9 * 0.1 / 2000))


def test_a_dim_with_a_censored_seed_is_left_out_as_a_whole():
    limit, nothing = Capacity(100, None, 100.0), Capacity(0, 2, 0.0)
    dims = [16, 32, 64, 128, 128, 8]
    growth = fit_growth(
        dims, [capacity_of(16), capacity_of(32), capacity_of(64), capacity_of(90), limit, nothing]
    )
    assert growth.exponent == pytest.approx(1)
    assert growth.dims_used == (16, 32, 64)
    assert growth.dims_excluded == (8, 128)
    assert fit_growth([16, 32], [capacity_of(16), limit]).exponent is None


@pytest.mark.parametrize("kappa", [1.0, 6.0])
def test_with_an_offset_of_one_the_snr_formula_has_exponent_one(kappa):
    dims = [32, 64, 128, 256]
    capacities = [capacity_of(1 + dim / (4 * kappa)) for dim in dims]
    growth = fit_growth(dims, capacities, offset=1)
    assert growth.exponent == pytest.approx(1)
    assert growth.standard_error == pytest.approx(0, abs=1e-12)
    assert growth.factor == pytest.approx(1 / (4 * kappa))
    assert growth.dims_used == tuple(dims)
    assert fit_growth(dims, capacities).exponent < 0.96


def test_a_capacity_of_no_more_than_the_offset_is_left_out_like_a_censored_one():
    dims = [16, 16, 64, 128]
    growth = fit_growth(
        dims, [capacity_of(4), Capacity(1, 2, 1.0), capacity_of(5), capacity_of(9)], offset=1
    )
    assert growth.exponent == pytest.approx(1)
    assert growth.dims_used == (64, 128)
    assert growth.dims_excluded == (16,)


@pytest.mark.parametrize("give", [list, np.array, torch.tensor])
def test_curves_may_be_lists_arrays_or_tensors(give):
    num_models, ratios, accuracy = give([2, 4, 8]), give([8.0, 2.0, 0.5]), give([0.5, 0.5, 0.25])
    assert capacity_at_snr(num_models, ratios, 2.0) == Capacity(4, 8, 4.0)
    for learned in (0.5, np.float64(0.5), np.array(0.5), torch.tensor(0.5), give([0.5] * 3)):
        capacity = capacity_at_tolerance(num_models, accuracy, learned, 0.125)
        assert (capacity.num_models, capacity.fails_at) == (4, 8)
        assert type(capacity.num_models) is type(capacity.fails_at) is int
    growth = fit_growth(give([16, 32, 64]), [capacity_of(4), Capacity(0, 2, 0.0), capacity_of(16)])
    assert growth.exponent == pytest.approx(1)
    assert (growth.dims_used, growth.dims_excluded) == ((16, 64), (32,))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: capacity_at_snr([2, 4], [4.0, math.nan], 1.0), "NaN at some K; omit that K"),
        (lambda: capacity_at_snr([2, 4], [4.0, 1.0], math.nan), "target is NaN at some K"),
        (
            lambda: capacity_at_snr([2, 4], [1.0, -3.0], 1.0),
            "must be ratios above 0, not decibels",
        ),
        (lambda: capacity_at_snr([2, 4], [1.0, 2.0], 0.0), "target=0 .* not decibels"),
        (
            lambda: capacity_at_snr([2, 4], [1.0], 1.0),
            r"num_models=\[2, 4\] must increase .* with 1 K as in snr",
        ),
        (lambda: capacity_at_snr([], [], 1.0), r"with 0 K as in snr"),
        (
            lambda: capacity_at_snr([4, 2], [1.0, 2.0], 1.0),
            r"num_models=\[4, 2\] must increase from 1 or more",
        ),
        (lambda: capacity_at_snr([0, 2], [1.0, 2.0], 1.0), "must increase from 1 or more"),
        (
            lambda: capacity_at_tolerance([1, 2], [0.5, math.nan], 0.5, 0.1),
            "not finite; omit that K",
        ),
        (
            lambda: capacity_at_tolerance([1], [0.5], 0.5, -0.1),
            "tolerance=-0.1 must be at least 0",
        ),
        (
            lambda: capacity_at_tolerance([1, 2], [math.inf, 0.5], 0.5, 0.1),
            "not finite; omit that K",
        ),
        (lambda: capacity_at_tolerance([1], [0.5], [0.5, 0.4], 0.1), "could not be broadcast"),
        (lambda: fit_growth([8], []), "shorter than argument 1"),
        (lambda: fit_growth([0], [capacity_of(1)]), "math domain error|positive input"),
        (lambda: fit_growth([8], [capacity_of(1)], confidence=95), "pass 0.95 for 95"),
        (lambda: fit_growth([8], [capacity_of(1)], offset=math.nan), "offset=nan must be finite"),
    ],
)
def test_curves_without_a_meaning_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
