import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from analysis.overlap import principal_angles, principal_basis, subspace_overlap
from analysis.retrieval import estimate
from analysis.theory import expected_overlap
from psp_contexts import BinaryContexts, RotationContexts
from psp_contexts.testing import FIXED_FAMILIES

exact = settings(deadline=None, derandomize=True, database=None, max_examples=10)


def uneven_basis(dim, rank, seed=0):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(dim, rank, generator=generator, dtype=torch.float64) + 0.5
    return torch.linalg.qr(vectors * torch.logspace(0, 1.5, dim)[:, None]).Q


@pytest.mark.parametrize("family", FIXED_FAMILIES)
@exact
@given(seed=st.integers(0, 2**31), rank=st.integers(1, 6))
def test_overlap_and_angles_are_those_of_the_dense_matrices(family, seed, rank):
    contexts = family(6, 5, seed=seed)
    basis = uneven_basis(6, rank, seed)
    stored, read = torch.tensor([0, 4, 2]), torch.tensor([1, 3, 2])
    overlaps = subspace_overlap(contexts, basis, stored, read)
    angles = principal_angles(contexts, basis, stored, read)
    assert overlaps.shape == (3,)
    assert angles.shape == (3, rank)
    torch.testing.assert_close(overlaps, angles.cos().square().mean(-1))
    torch.testing.assert_close(overlaps[2].item(), 1.0)  # a context and itself
    for at in range(3):
        k, s = stored[at].item(), read[at].item()
        planes = [(contexts.matrix(i) @ basis.to(contexts.matrix(i).dtype)) for i in (k, s)]
        expected = torch.from_numpy(subspace_angles(*(plane.numpy() for plane in planes)))
        # A cosine does not resolve angles below the square root of the precision.
        torch.testing.assert_close(angles[at], expected.flip(0), rtol=0, atol=1e-6)
        single = subspace_overlap(contexts, basis, k, s)
        torch.testing.assert_close(single, overlaps[at])


@pytest.mark.parametrize("family", FIXED_FAMILIES)
def test_mean_overlap_is_that_of_theory(family):
    # Independent families, so independent samples; five standard errors of theirs.
    basis = uneven_basis(12, 3)
    samples = torch.stack(
        [subspace_overlap(family(12, 9, seed=seed), basis, 0, 8) for seed in range(400)]
    )
    assert estimate(samples).agrees(expected_overlap(family, basis).item())


def test_a_subspace_on_few_units_stays_there_under_diagonal_contexts():
    basis = torch.eye(16, dtype=torch.float64)[:, :4]
    angles = principal_angles(BinaryContexts(16, 2, seed=0), basis, 0, 1)
    torch.testing.assert_close(angles, torch.zeros_like(angles))
    assert principal_angles(RotationContexts(16, 2, seed=0), basis, 0, 1).max() > 0.5


def test_principal_basis_spans_what_the_inputs_span():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 3, generator=generator) @ torch.randn(3, 8, generator=generator)
    basis = principal_basis(x, 3)
    torch.testing.assert_close(basis.T @ basis, torch.eye(3))
    torch.testing.assert_close(x @ basis @ basis.T, x, rtol=1e-3, atol=1e-4)
    largest = principal_basis(x, 1)
    assert (x @ largest).norm() > 0.999 * torch.linalg.matrix_norm(x, 2)
    complex_basis = principal_basis(x.to(torch.complex64) * (1 + 1j) / math.sqrt(2), 2)
    torch.testing.assert_close(complex_basis.mH @ complex_basis, torch.eye(2).to(torch.complex64))


@pytest.mark.parametrize("rank", [-1, 0, 5])
def test_principal_basis_refuses_a_rank_beyond_the_inputs(rank):
    with pytest.raises(ValueError, match=rf"rank={rank} must be in 1.* not \(4, 8\)"):
        principal_basis(torch.ones(4, 8), rank)


@pytest.mark.usefixtures("without_shape_annotations")
def test_overlap_refuses_tensors_of_another_shape():
    contexts = BinaryContexts(4, 2, seed=0)
    with pytest.raises(ValueError, match=r"rank=2 must be .*, not \(3, 4, 8\)"):
        principal_basis(torch.ones(3, 4, 8), 2)
    for basis in (torch.ones(4), torch.eye(4)[:, :0], torch.eye(2).expand(2, 2, 2)):
        with pytest.raises(ValueError, match=r"basis must have shape \(dim, d\)"):
            subspace_overlap(contexts, basis, 0, 1)
    for basis in (torch.eye(4)[:2], torch.ones(4, 2), torch.full((4, 2), math.nan)):
        with pytest.raises(ValueError, match=r"not orthonormal .* use analysis\.overlap"):
            subspace_overlap(contexts, basis, 0, 1)
