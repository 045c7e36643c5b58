"""Interference and retrieval measured on real contexts, against the closed forms.

Sampled values are held to five standard errors, computed from the samples themselves. Seeds are
fixed, so that a test that passes always passes.
"""

import math

import pytest
import torch

from analysis import theory
from analysis.retrieval import (
    Retrieval,
    aligned_models,
    estimate,
    generic_models,
    interference,
    measure_retrieval,
)
from psp_contexts import (
    BinaryContexts,
    BlockRotationContexts,
    ComplexContexts,
    IdentityContexts,
    KroneckerRotationContexts,
    LocalMixContexts,
    OnePowerContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
)

SAMPLES = 2000
GROUPS = [
    BinaryContexts,
    BlockRotationContexts,
    ComplexContexts,
    KroneckerRotationContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
]
FAMILIES = [IdentityContexts, LocalMixContexts, OnePowerContexts, *GROUPS]


def not_centred(dim, seed):
    """A row of weights and an input as after a ReLU, uneven and biased."""
    generator = torch.Generator().manual_seed(seed)
    w, x = torch.randn(2, dim, generator=generator, dtype=torch.float64)
    return w + 0.3, x.relu() + torch.eye(dim)[0]


def agrees(samples, family, w, x, offset=None, fourth=True):
    """True if all moments of the samples are those of theory."""
    checks = [
        (estimate(samples.real), theory.mean(family, w, x, offset=offset).real),
        (estimate(samples.abs() ** 2), theory.second_moment(family, w, x, offset=offset)),
        (estimate((samples**2).real), theory.pseudo_moment(family, w, x, offset=offset).real),
        (estimate(samples.real**2), theory.real_second_moment(family, w, x, offset=offset)),
    ]
    if fourth:
        checks.append((estimate(samples.abs() ** 4), theory.fourth_moment(family, w, x)))
    return all(measured.agrees(truth.item()) for measured, truth in checks)


@pytest.mark.parametrize("family", GROUPS)
def test_moments_of_sampled_interference_are_those_of_theory(family):
    contexts = family(6, 2 * SAMPLES, seed=0)
    pairs = torch.arange(2 * SAMPLES).view(-1, 2)
    fourth = family is not PermutationContexts
    for seed in range(2):
        w, x = not_centred(6, seed)
        z = interference(contexts, w, x, stored=pairs[:, 0], read=pairs[:, 1])
        assert agrees(z, family, w, x, fourth=fourth)
        assert not agrees(1.3 * z, family, w, x, fourth=fourth)  # the test can fail


@pytest.mark.parametrize("offset", [-3, 1, 8])
def test_moments_of_one_power_over_seeds_are_those_of_theory(offset):
    w, x = not_centred(6, seed=0)
    z = torch.stack(
        [
            interference(OnePowerContexts(6, 9, seed=seed), w, x, max(offset, 0), max(-offset, 0))
            for seed in range(1000)
        ]
    )
    assert agrees(z, OnePowerContexts, w, x, offset)


@pytest.mark.parametrize(("neighbours", "offset"), [(0, 1), (1, 1), (1, 2), (1, 5), (2, -3)])
def test_moments_of_mixed_phases_are_those_of_theory(neighbours, offset):
    # Pairs so far from each other that no phase is in two of them.
    spacing = 2 * neighbours + 1 + abs(offset)
    contexts = LocalMixContexts(6, spacing * SAMPLES, seed=0, neighbours=neighbours)
    read = torch.arange(SAMPLES) * spacing + max(-offset, 0)
    w, x = not_centred(6, seed=1)
    z = interference(contexts, w, x, stored=read + offset, read=read)
    assert agrees(z, contexts, w, x, offset, fourth=False)


def test_real_parts_at_opposite_offsets_of_one_power_are_coherent():
    generator = torch.Generator().manual_seed(0)
    w, other, x = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    for family, stored in (
        (OnePowerContexts, (4, 0)),
        (OnePowerContexts, (4, 1)),
        (ComplexContexts, (4, 0)),
    ):
        products = []
        for seed in range(500):
            contexts = family(6, 5, seed=seed)
            ahead, behind = (
                interference(contexts, row, x, k, 2).real
                for row, k in zip((w, other), stored, strict=True)
            )
            products.append(ahead * behind)
        expected = theory.real_covariance(
            family, w, x, offset=stored[0] - 2, other=other, other_offset=stored[1] - 2
        )
        assert estimate(torch.stack(products)).agrees(expected.item())
        assert bool(expected != 0) == (family is OnePowerContexts and stored == (4, 0))


def test_interference_broadcasts_over_rows_inputs_and_pairs():
    w, x = torch.randn(3, 1, 1, 4), torch.randn(5, 1, 4)
    stored, read = torch.tensor([0, 1]), torch.tensor([2, 3])
    for family in FAMILIES:
        contexts = family(4, 4, seed=0)
        z = interference(contexts, w, x, stored, read)
        assert z.shape == (3, 5, 2)
        relative = contexts.matrix(1, dtype=torch.float32).mH @ contexts.matrix(3).to(z.dtype)
        torch.testing.assert_close(
            z[2, 4, 1], w[2, 0, 0].to(z.dtype) @ relative @ x[4, 0].to(z.dtype)
        )
        assert interference(contexts, w[0, 0, 0], x[0, 0], 1, 3).shape == ()


@pytest.mark.parametrize("real_part", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_measured_noise_is_that_of_dense_matrices(family, real_part):
    contexts = family(4, 7, seed=0)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(7, 3, 4, generator=generator, dtype=torch.float64)
    inputs = torch.randn(7, 2, 4, generator=generator, dtype=torch.float64)
    points = measure_retrieval(
        contexts, (weights, inputs), [2, 7], reads=7, real_part=real_part, expected=True
    )
    for point, count in zip(points, (2, 7), strict=True):
        matrices = contexts.matrix(torch.arange(count))
        stored = weights[:count].to(matrices.dtype) @ matrices.mH
        signal, noise, exact = [], [], []
        for s in range(count):
            x = inputs[s].to(matrices.dtype)
            exact_output = x @ weights[s].to(matrices.dtype).mT
            error = x @ (stored.sum(0) @ matrices[s]).mT - exact_output
            signal.append(exact_output.abs().square().sum(-1).mean())
            noise.append((error.real if real_part else error).abs().square().sum(-1).mean())
            exact.append(
                theory.expected_noise_power(
                    contexts, weights[:count], inputs[s], read=s, real_part=real_part
                ).mean()
            )
        assert (point.num_models, point.reads) == (count, count)
        assert point.signal == pytest.approx(torch.stack(signal).mean().item())
        assert point.noise == pytest.approx(torch.stack(noise).mean().item())
        assert point.expected_noise == pytest.approx(torch.stack(exact).mean().item())
        spread = torch.stack(noise).std().item() / math.sqrt(count)
        assert point.noise_error == pytest.approx(spread)
        readable = 2 if real_part and contexts.is_complex else 1  # noise is half imaginary
        predicted = readable * point.squared_alignment * 4 / (count - 1)
        assert point.predicted_snr == pytest.approx(predicted)
        assert point.snr == pytest.approx(point.signal / point.noise)
        assert point.expected_snr == pytest.approx(point.signal / point.expected_noise)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("family", "real_part"),
    [*((family, False) for family in FAMILIES)]
    + [(family, True) for family in (ComplexContexts, LocalMixContexts, OnePowerContexts)],
)
def test_noise_of_whole_superpositions_is_that_of_theory(family, shared, real_part):
    models = aligned_models(6, 2, 12, seed=3, shared=shared, dtype=torch.float64)
    differences = []
    for seed in range(120):
        contexts = family(12, 6, seed=seed)
        (point,) = measure_retrieval(
            contexts, models, [6], reads=3, real_part=real_part, expected=seed == 0
        )
        if seed == 0:
            expected = point.expected_noise
        differences.append(point.noise - expected)
    assert estimate(torch.tensor(differences)).agrees(0.0)


@pytest.mark.parametrize("family", [RotationContexts, SignedPermutationContexts])
def test_snr_of_aligned_models_falls_by_the_papers_formula(family):
    models = aligned_models(17, 4, 48, seed=0)
    counts = [2, 5, 17]
    ratios = {count: [] for count in counts}
    for seed in range(60):
        for point in measure_retrieval(family(48, 17, seed=seed), models, counts):
            assert point.squared_alignment == pytest.approx(1)
            assert point.predicted_snr == pytest.approx(48 / (point.num_models - 1))
            ratios[point.num_models].append(point.predicted_snr / point.snr)
    for count in counts:
        assert estimate(torch.tensor(ratios[count])).agrees(1.0)


def test_rectified_inputs_are_the_same_gaussians_after_a_relu():
    for shared in (False, True):
        weights, inputs = aligned_models(3, 2, 16, seed=0, shared=shared, rectified=True)
        _, gaussian = aligned_models(3, 2, 16, seed=0, shared=shared)
        expected = torch.nn.functional.normalize(gaussian.relu(), dim=-1)
        torch.testing.assert_close(inputs, expected)
        torch.testing.assert_close(theory.squared_alignment(weights, inputs), torch.ones(3, 1))
        torch.testing.assert_close(weights.norm(dim=(-2, -1)), torch.ones(3))


def test_generic_models_have_the_same_snr_in_every_family():
    models = generic_models(9, 8, 64, seed=0, num_inputs=50)
    for family in (IdentityContexts, BinaryContexts, KroneckerRotationContexts):
        (point,) = measure_retrieval(family(64, 9, seed=0), models, [9], reads=9)
        assert point.squared_alignment == pytest.approx(1 / 64, rel=0.1)
        assert point.predicted_snr == pytest.approx(1 / 8, rel=0.1)
        assert point.snr == pytest.approx(1 / 8, rel=0.2)


def test_a_shared_input_shows_what_contexts_are_for():
    models = aligned_models(33, 400, 256, seed=0, shared=True)
    snr = {
        family: measure_retrieval(family(256, 33, seed=0), models, [33], reads=33)[0].snr
        for family in (IdentityContexts, BinaryContexts, RotationContexts)
    }
    assert snr[IdentityContexts] == pytest.approx(1 / 32, rel=0.2)
    assert snr[RotationContexts] == pytest.approx(256 / 32, rel=0.3)
    # The span of one Gaussian input has κ = M Σx⁴ / (Σx²)² = 3.
    assert snr[BinaryContexts] == pytest.approx(256 / 32 / 3, rel=0.3)


def test_large_superpositions_are_measured_in_chunks():
    weights, inputs = aligned_models(1000, 2, 1024, seed=0)
    asked = []

    def give(index):
        asked.append(len(index))
        return weights[index], inputs[index]

    contexts = SignedPermutationContexts(1024, 1000, seed=0)
    counts = [2, 33, 1000]
    by_function = measure_retrieval(contexts, give, counts, chunk_bytes=2**20)
    assert max(asked) == 2**20 // (2 * 1024 * 4)
    whole = measure_retrieval(contexts, (weights, inputs), counts)
    for chunked, point in zip(by_function, whole, strict=True):
        assert chunked.noise == pytest.approx(point.noise, rel=1e-4)
        assert point.expected_noise is point.expected_snr is None
    # Eight reads of two outputs: a chi-square of 16 degrees of freedom, within five of its errors.
    assert whole[-1].snr == pytest.approx(1024 / 999, rel=5 * math.sqrt(2 / 16))


def test_bias_and_kurtosis_of_the_noise():
    dim, count = 64, 401
    ones = torch.ones(count, 1, dim) / dim
    contexts = PermutationContexts(dim, count, seed=0)
    (point,) = measure_retrieval(contexts, (ones, ones), [count])
    assert point.bias == pytest.approx((count - 1) / dim)  # (Σw)(Σx)/M for every model, no less
    models = aligned_models(count, 50, dim, seed=0)
    for family, kurtosis in ((RotationContexts, 3), (ComplexContexts, 2)):
        (point,) = measure_retrieval(family(dim, count, seed=0), models, [count], reads=100)
        assert abs(point.bias) < 5 * math.sqrt(point.noise / 50 / (100 * 50))
        assert point.kurtosis == pytest.approx(kurtosis, rel=0.15)


def test_a_single_read_has_no_standard_error():
    models = aligned_models(2, 1, 4, seed=0)
    (point,) = measure_retrieval(BinaryContexts(4, 2, seed=0), models, [2], reads=1)
    assert math.isnan(point.noise_error)
    quiet = Retrieval(2, 1, 1.0, 0.0, math.nan, 0.0, math.nan, 1.0, 4.0, 0.0)
    assert quiet.snr == quiet.expected_snr == math.inf


class OnSingleDevice(torch.Tensor):
    """Stands for a tensor on a device that has no double precision, until it is on the CPU."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        result = super().__torch_function__(func, types, args, kwargs)
        if isinstance(result, cls) and result.dtype in (torch.float64, torch.complex128):
            raise TypeError(f"{func} asks a device for {result.dtype} that does not have it")
        return result


@pytest.mark.parametrize("family", FAMILIES)
def test_curves_need_no_double_precision_of_the_device(family):
    models = aligned_models(5, 2, 16, seed=0)
    on_device = tuple(part.as_subclass(OnSingleDevice) for part in models)
    with pytest.raises(TypeError, match="does not have it"):
        on_device[0].double()
    contexts = family(16, 5, seed=0)
    for real_part in (False, True):
        arguments = {"num_models": [3, 5], "real_part": real_part, "expected": True}
        measured = measure_retrieval(contexts, on_device, **arguments)
        assert measured == measure_retrieval(contexts, models, **arguments)


def test_theory_answers_on_the_cpu_in_double_precision():
    w, x = (part.as_subclass(OnSingleDevice) for part in torch.rand(2, 1, 4))
    answers = [
        theory.mean(PermutationContexts, w, x),
        theory.second_moment(ComplexContexts, w * 1j, x),
        theory.expected_overlap(BinaryContexts, x.T / x.norm()),
        theory.snr(w[0] + 1, x[0] + 1, 1 - x),
        theory.largest_num_models(x + 1, w + 1).double(),
        theory.tail_bound(BinaryContexts, w, x, threshold=x[0]),
    ]
    for answer in answers:
        assert type(answer) is torch.Tensor
        assert answer.dtype in (torch.float64, torch.complex128)
    assert estimate(x[0]).value == x.cpu().double().mean().item()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_curves_are_the_same_on_every_device():
    models = aligned_models(9, 2, 16, seed=0)
    for family in FAMILIES:
        curves = [
            measure_retrieval(family(16, 9, seed=0), models, [3, 9], expected=True, device=device)
            for device in ("cpu", "cuda")
        ]
        for on_cpu, on_gpu in zip(*curves, strict=True):
            assert on_gpu.noise == pytest.approx(on_cpu.noise, rel=1e-4)
            assert on_gpu.expected_noise == pytest.approx(on_cpu.expected_noise)


def test_numbers_of_models_that_cannot_be_measured_are_refused():
    contexts = BinaryContexts(4, 3, seed=0)
    models = aligned_models(5, 2, 4, seed=0)
    for counts in ([], [1, 2], [3, 2], [2, 2]):
        with pytest.raises(ValueError, match="must increase from 2 or more"):
            measure_retrieval(contexts, models, counts)
    with pytest.raises(IndexError, match="build the contexts with num_contexts=5 or more"):
        measure_retrieval(contexts, models, [5])
    for reads in (0, -1):
        with pytest.raises(ValueError, match=f"reads={reads} must be at least 1"):
            measure_retrieval(contexts, models, [2], reads=reads)


def test_models_of_the_wrong_count_or_shape_are_refused():
    contexts = BinaryContexts(4, 3, seed=0)
    weights, inputs = aligned_models(3, 2, 4, seed=0)
    for pair in ((weights[:2], inputs[:2]), (weights, inputs[:2]), (weights[:2], inputs)):
        with pytest.raises(
            IndexError, match=r"3 models need weights and inputs, not . and . of them"
        ):
            measure_retrieval(contexts, pair, [3])
    for pair in ((weights, inputs[:, 0]), (weights[:, 0], inputs), (weights, inputs[:, :0])):
        with pytest.raises(ValueError, match=r"pass \(models, out, dim\) and \(models, n, dim\)"):
            measure_retrieval(contexts, pair, [3])
    with pytest.raises(ValueError, match="for 1 models; pass"):
        measure_retrieval(contexts, lambda index: (weights, inputs), [3])
    with pytest.raises(ValueError, match="expected=True needs models as tensors"):
        measure_retrieval(
            contexts, lambda index: (weights[index], inputs[index]), [2], expected=True
        )


def test_a_relu_that_leaves_nothing_is_refused():
    with pytest.raises(
        ValueError, match=r"leaves nothing of an input at dim=1, .*pass a larger dim"
    ):
        aligned_models(20, 2, 1, seed=0, rectified=True)


@pytest.mark.usefixtures("without_shape_annotations")
@pytest.mark.parametrize("samples", [torch.ones(1), torch.ones(2, 2), torch.ones(3) * 1j])
def test_an_estimate_needs_two_real_samples(samples):
    with pytest.raises(ValueError, match="real vector of 2 or more"):
        estimate(samples)


def test_complex_aligned_models_use_all_of_their_weights():
    models = aligned_models(3, 2, 8, seed=0, dtype=torch.complex64)
    torch.testing.assert_close(theory.squared_alignment(*models), torch.ones(3, 1))
