import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.theory import largest_num_models, snr, squared_alignment

exact = settings(deadline=None, derandomize=True, database=None, max_examples=50)


@exact
@given(dim=st.integers(1, 4096), target=st.floats(0.01, 100), rho2=st.floats(0.001, 1))
def test_capacity_is_the_largest_number_of_models_that_keeps_the_target(dim, target, rho2):
    num_models = largest_num_models(dim, target, rho2)
    assert num_models >= 1
    assert snr(dim, num_models, rho2) >= target * (1 - 1e-9)
    assert snr(dim, num_models + 1, rho2) < target


def test_capacity_is_whole_where_the_quotient_is():
    assert largest_num_models(3, 0.1).item() == 31  # 1 + 3 / 0.1 falls short of 31 in floats
    assert largest_num_models(torch.tensor([64, 128]), 4.0).tolist() == [17, 33]


def test_the_papers_noise_is_the_case_of_full_alignment():
    noise_to_signal = ((torch.tensor([2.0, 17.0]) - 1) / 64).sqrt()
    torch.testing.assert_close(snr(64, torch.tensor([2, 17])).rsqrt().float(), noise_to_signal)


@exact
@given(seed=st.integers(0, 2**31))
def test_alignment_is_full_for_outer_products_and_a_share_otherwise(seed):
    generator = torch.Generator().manual_seed(seed)
    u, x = torch.randn(3, 1, generator=generator), torch.randn(2, 5, generator=generator)
    weight = u * x[:1]
    both = squared_alignment(weight, x)
    cosine = torch.cosine_similarity(x[0], x[1], dim=0)
    torch.testing.assert_close(both, torch.stack((torch.ones(()), cosine**2)))
    complex_both = squared_alignment(weight * 1j, x.to(torch.complex64))
    torch.testing.assert_close(complex_both, both)


def test_weights_independent_of_their_input_have_an_alignment_of_one_part_in_dim():
    # For a uniform direction x, E ρ² = Σ σ² E u² / Σ σ² = 1/dim for any singular values σ.
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 32, generator=generator) * torch.logspace(-2, 2, 32)
    shares = squared_alignment(weight, torch.randn(4000, 32, generator=generator))
    error = shares.std() / 4000**0.5
    assert abs(shares.mean() - 1 / 32) < 5 * error  # five standard errors of the sample
    assert squared_alignment(torch.zeros(2, 3), torch.ones(1, 3)).item() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: snr(16, 0), "num_models=0 must be at least 1"),
        (lambda: snr(torch.tensor([16, -2]), 3), "dim=-2 must be at least 1"),
        (lambda: snr(16, 3, -0.5), r"squared_alignment=-0\.5 must be at least 0"),
        (lambda: snr(16, math.nan), "num_models=nan must be at least 1"),
        (lambda: largest_num_models(-5, 1), "dim=-5 must be at least 1"),
        (lambda: largest_num_models(5, -1), "target_snr=-1 must be at least 0"),
        (lambda: largest_num_models(64, 0.0), "target_snr=0.0 .* more models than fit in 64 bits"),
        (lambda: largest_num_models(64, 1e-300), "pass a larger target"),
        (lambda: largest_num_models(1e200, 1, 1e200), "or a smaller dim"),
        (lambda: largest_num_models(5, 1, -1), "squared_alignment=-1 must be at least 0"),
    ],
)
def test_sizes_and_ratios_that_are_impossible_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("dtype", "scale"), [(torch.float16, 4.0), (torch.float32, 1e30)])
def test_the_alignment_of_large_numbers_stays_in_range(dtype, scale):
    weight, x = (scale * torch.randn(2, 8, 256)).to(dtype)
    alignment = squared_alignment(weight, x)
    assert alignment.dtype == dtype
    torch.testing.assert_close(
        alignment.double(),
        squared_alignment(weight.double() / scale, x.double() / scale),
        rtol=1e-2,
        atol=1e-4,
    )


def test_one_model_has_no_noise_whatever_its_alignment():
    assert snr(1024, 1, torch.tensor([0.0, 1.0])).tolist() == [math.inf, math.inf]
