import math

import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.symbolic import linear_energies, linear_limit
from analysis.theory import linear_retention
from psp_contexts import RotationContexts


@pytest.mark.parametrize(("further", "constraints", "dim"), [(0, 2, 5), (1, 1, 1), (3, 2, 7)])
def test_the_closed_form_solves_the_derived_recursion(further, constraints, dim):
    d, p = sp.symbols("d p", positive=True)
    if dim > 1:
        signal, seen = (e.subs({d: constraints, p: dim}) for e in linear_energies(further, d, p))
        expected = float(signal), float(seen - signal**2)
    else:
        expected = 0.0, 1.0  # one weight: the last task alone is in it
    found = linear_retention(further, constraints, dim)
    assert (found.signal, found.noise) == pytest.approx(expected, abs=1e-12)


def test_the_limit_of_large_dims_is_the_derived_one():
    forgetting, snr, x = linear_limit()
    found = linear_retention(further=50_000, constraints=20, dim=1_000_000)
    assert found.forgetting == pytest.approx(float(forgetting.subs(x, 1)), rel=1e-3)
    assert found.snr == pytest.approx(float(snr.subs(x, 1)), rel=1e-3)


@given(
    constraints=st.integers(1, 3),
    extra=st.integers(1, 5),
    before=st.integers(0, 2),
    further=st.integers(0, 4),
)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_training_to_the_end_in_random_frames_forgets_as_the_law_says(
    constraints, extra, before, further
):
    dim, repeats, tasks = constraints + extra, 1500, before + 1 + further
    contexts = RotationContexts(dim, repeats * tasks, seed=0)
    contexts.cache_bytes = 2**20
    generator = torch.Generator().manual_seed(1)
    index = torch.arange(repeats * tasks)
    frames = contexts.matrix(index)[..., :constraints].unflatten(0, (repeats, tasks))
    targets = torch.randn(repeats, tasks, constraints, generator=generator, dtype=torch.float64)
    targets /= targets.norm(dim=-1, keepdim=True)
    weights = torch.zeros(repeats, dim, dtype=torch.float64)
    for task in range(tasks):
        frame, target = frames[:, task], targets[:, task]
        error = target - torch.einsum("rpd,rp->rd", frame, weights)
        weights += torch.einsum("rpd,rd->rp", frame, error)
    seen = torch.einsum("rpd,rp->rd", frames[:, before], weights)
    expected = linear_retention(further, constraints, dim, before=before)
    for samples, value in (
        ((seen * targets[:, before]).sum(-1), expected.signal),
        ((seen - targets[:, before]).square().sum(-1), expected.forgetting),
    ):
        # Five standard errors: one failure in two million for an exact law.
        assert abs(samples.mean() - value) <= 5 * samples.std() / repeats**0.5 + 1e-9


def test_what_fits_is_proportional_to_the_width_over_the_constraints():
    one, other = linear_retention(64, 32, 2048), linear_retention(256, 8, 2048)
    assert one.snr == pytest.approx(other.snr, rel=0.02)


def test_a_model_that_was_just_learned_is_exact():
    kept = linear_retention(0, 3, 8, before=4)
    assert (kept.signal, kept.forgetting, kept.snr) == (1.0, pytest.approx(0, abs=1e-12), math.inf)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1, 9, 8), r"constraints=9 must be in 1\.\.dim=8"), ((-1, 2, 8), "must be at least 0")],
)
def test_impossible_counts_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        linear_retention(*arguments)
