"""Total noise, compared with every choice of contexts or an exact quadrature of their phases."""

import itertools

import pytest
import sympy as sp
import torch

from analysis.retrieval import estimate, interference
from analysis.symbolic import vectors
from analysis.symbolic._phases import Factor, phase_product
from analysis.theory import expected_noise_power, second_moment
from psp_contexts import (
    BinaryContexts,
    ComplexContexts,
    IdentityContexts,
    KroneckerRotationContexts,
    LocalMixContexts,
    OnePowerContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
)


def models(num_models, out, dim, *, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(num_models, out, dim, generator=generator, dtype=dtype)
    # Not centred, as after a ReLU, so that biases show.
    return weights + 0.5, torch.randn(2, dim, generator=generator, dtype=dtype).abs()


def noise(weights, contexts, x, read):
    """Σ_{k≠s} W_k C_k⁻¹ C_s x for contexts (…, K, dim, dim), shape (…, n, out)."""
    bound = x.to(contexts.dtype) @ contexts[..., read, :, :].mT
    relative = torch.einsum("koi,...kji->...koj", weights.to(contexts.dtype), contexts.conj())
    others = [k for k in range(len(weights)) if k != read]
    return torch.einsum("...koj,...nj->...no", relative[..., others, :, :], bound)


def every_choice(matrices, num_models):
    """All ways to choose a context per model, shape (count, K, dim, dim)."""
    indices = torch.tensor(list(itertools.product(range(len(matrices)), repeat=num_models)))
    return matrices[indices]


def signs(dim):
    return torch.tensor(list(itertools.product((-1.0, 1.0), repeat=dim)), dtype=torch.float64)


def orders(dim):
    permutations = torch.tensor(list(itertools.permutations(range(dim))))
    return torch.eye(dim, dtype=torch.float64)[permutations]


@pytest.mark.parametrize(
    ("family", "matrices"),
    [
        (IdentityContexts, torch.eye(2, dtype=torch.float64)[None]),
        (BinaryContexts, torch.diag_embed(signs(2))),
        (PermutationContexts, orders(3)),
        (SignedPermutationContexts, (signs(2)[:, None, :, None] * orders(2)).flatten(0, 1)),
    ],
)
def test_noise_of_finite_families_is_the_average_over_every_choice(family, matrices):
    weights, x = models(4 if len(matrices) < 8 else 3, 2, matrices.shape[-1])
    choices = every_choice(matrices, len(weights))
    for read in range(len(weights)):
        average = noise(weights, choices, x, read).square().sum(-1).mean(0)
        closed = expected_noise_power(family, weights, x, read=read)
        torch.testing.assert_close(closed, average)
        torch.testing.assert_close(
            expected_noise_power(family, weights, x, read=read, real_part=True), closed
        )


def roots_of_unity(count, units):
    """A grid of phases whose averages are those over the circles, up to count − 1 powers."""
    phases = torch.arange(count, dtype=torch.float64) * (2 * torch.pi / count)
    grid = torch.cartesian_prod(*[phases] * units).view(-1, units)
    return torch.polar(torch.ones_like(grid), grid)


@pytest.mark.parametrize("x_dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_noise_of_one_power_counts_coherent_pairs(dtype, x_dtype):
    weights, _ = models(6, 2, 2, dtype=dtype)
    x = models(6, 2, 2)[1].to(x_dtype) * (1 + 2j if x_dtype.is_complex else 1)
    shared = roots_of_unity(13, 2)  # powers up to 2 · 5 in a square
    contexts = torch.stack([torch.diag_embed(shared**k) for k in range(6)], dim=1)
    for read in range(6):
        samples = noise(weights, contexts, x, read)
        for real_part, part in ((False, samples), (True, samples.real)):
            closed = expected_noise_power(
                OnePowerContexts, weights, x, read=read, real_part=real_part
            )
            torch.testing.assert_close(closed, part.abs().square().sum(-1).mean(0))
    at_the_end, in_the_middle = (
        expected_noise_power(
            OnePowerContexts, torch.ones(5, 1, 2), torch.ones(1, 2), read=read, real_part=True
        ).item()
        for read in (0, 2)
    )
    assert in_the_middle == pytest.approx(2 * at_the_end)  # two pairs, twice the amplitude each


def test_noise_of_complex_is_the_average_over_phases():
    weights, x = models(3, 2, 1, dtype=torch.complex128)
    contexts = torch.diag_embed(roots_of_unity(5, 3).unsqueeze(-1))
    for read in range(3):
        samples = noise(weights, contexts, x, read)
        for real_part, part in ((False, samples), (True, samples.real)):
            closed = expected_noise_power(
                ComplexContexts, weights, x, read=read, real_part=real_part
            )
            torch.testing.assert_close(closed, part.abs().square().sum(-1).mean(0))


@pytest.mark.parametrize("neighbours", [0, 1, 2])
def test_noise_of_local_mix_is_the_sum_over_pairs_as_derived(neighbours):
    weights, x = models(7, 1, 2)
    contexts = LocalMixContexts(2, 7, seed=0, neighbours=neighbours)
    x_symbols = vectors(2)[1]
    for read in (0, 3):
        others = [k for k in range(7) if k != read]
        sums = {True: sp.Integer(0), False: sp.Integer(0)}  # of z z′* and of z z′
        for k, other in itertools.product(others, repeat=2):
            row, other_row = ([sp.Float(v) for v in weights[i, 0].tolist()] for i in (k, other))
            for conjugate in sums:
                factors = [Factor(row, k - read), Factor(other_row, other - read, conjugate)]
                sums[conjugate] += phase_product(contexts, factors, x_symbols)
        point = dict(zip(x_symbols, x[0].tolist(), strict=True))
        modulus, pseudo = (float(sp.N(total.subs(point))) for total in sums.values())
        closed = [
            expected_noise_power(contexts, weights, x[:1], read=read, real_part=real).item()
            for real in (False, True)
        ]
        assert closed == pytest.approx([modulus, (modulus + pseudo) / 2])


@pytest.mark.parametrize("real_part", [False, True])
def test_noise_of_real_weights_and_complex_inputs_is_that_of_samples(real_part):
    samples, num_models, read = 4000, 4, 1
    weights, x = models(num_models, 2, 5)
    x = (x + 1j * models(num_models, 2, 5, seed=1)[1])[0]
    # Groups of neighbours so far from each other that no phase is in two of them.
    contexts = LocalMixContexts(5, 6 * samples, seed=0)
    group = torch.arange(samples) * 6
    noise = sum(
        interference(contexts, weights[k, :, None], x, stored=group + k, read=group + read)
        for k in range(num_models)
        if k != read
    )
    power = (noise.real if real_part else noise).abs().square().sum(0)
    closed = expected_noise_power(contexts, weights, x[None], read=read, real_part=real_part)
    assert estimate(power).agrees(closed.item())


def test_noise_of_rotations_is_the_sum_over_models():
    weights, x = models(5, 3, 6)
    for family in (RotationContexts, KroneckerRotationContexts):
        total = sum(second_moment(family, weights[k], x[:, None]).sum(-1) for k in (0, 1, 3, 4))
        torch.testing.assert_close(expected_noise_power(family, weights, x, read=2), total)


def test_noise_that_is_spread_evenly_follows_the_papers_formula():
    # Flat inputs and weights of one size: the only case where every family but the biased ones
    # has ‖W_k‖²‖x‖²/M, so that SNR = ρ² M / (K − 1).
    weights, x = torch.ones(9, 2, 6), torch.ones(1, 6)
    for family in (BinaryContexts, ComplexContexts, RotationContexts, SignedPermutationContexts):
        power = expected_noise_power(family, weights, x, read=4)
        torch.testing.assert_close(power, torch.full_like(power, 8 * (2 * 6) * 6 / 6))


@pytest.mark.parametrize("read", [-1, 3])
def test_a_model_that_is_not_stored_cannot_be_read(read):
    with pytest.raises(IndexError, match=f"read={read} is not one of the 3 models"):
        expected_noise_power(BinaryContexts, torch.ones(3, 1, 4), torch.ones(1, 4), read=read)


@pytest.mark.usefixtures("without_shape_annotations")
def test_noise_refuses_tensors_of_another_shape():
    weights, x = torch.ones(3, 1, 4), torch.ones(1, 4)
    for pair in ((weights, x[0]), (weights[0], x)):
        with pytest.raises(
            ValueError, match=r"weights must have shape \(models, out, dim\) and x \(n, dim\)"
        ):
            expected_noise_power(RotationContexts, *pair, read=0)
    with pytest.raises(ValueError, match=r"must be the same dim, .* weights \(1, 4\), x \(1, 1\)"):
        expected_noise_power(RotationContexts, weights, x[:, :1], read=0)


def test_a_model_that_is_stored_alone_has_no_noise():
    weights, x = torch.ones(1, 1, 4), torch.ones(1, 4)
    assert expected_noise_power(BinaryContexts, weights, x, read=0).tolist() == [0.0]
