from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import theory
from analysis.theory import coherence_penalty, expected_overlap, leverage_scores
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

exact = settings(deadline=None, derandomize=True, database=None, max_examples=20)
ROTATIONS = [RotationContexts, SignedPermutationContexts, KroneckerRotationContexts]
DIAGONALS = [BinaryContexts, ComplexContexts, OnePowerContexts]
OTHERS = [IdentityContexts, PermutationContexts, BlockRotationContexts, LocalMixContexts]


@st.composite
def bases(draw):
    dim = draw(st.sampled_from([4, 6, 12]))
    rank = draw(st.integers(1, dim))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    # Units of very different size, so that some hold most of the subspace.
    scale = torch.logspace(0, draw(st.floats(0, 3)), dim, dtype=torch.float64)
    vectors = torch.randn(dim, rank, generator=generator, dtype=torch.float64) + 0.3
    return torch.linalg.qr(vectors * scale[:, None]).Q


@pytest.mark.parametrize("family", ROTATIONS + DIAGONALS + OTHERS)
@exact
@given(basis=bases())
def test_overlap_is_the_sum_of_second_moments_over_the_basis(family, basis):
    columns = basis.T
    pairs = theory.second_moment(family, columns[:, None], columns)
    torch.testing.assert_close(expected_overlap(family, basis), pairs.sum() / basis.shape[1])


@exact
@given(basis=bases())
def test_diagonal_contexts_pay_the_coherence_penalty(basis):
    dim, rank = basis.shape
    penalty = coherence_penalty(basis)
    assert 1 - 1e-12 <= penalty <= dim / rank + 1e-12
    torch.testing.assert_close(leverage_scores(basis).sum().item(), float(rank))
    for family in ROTATIONS:
        assert expected_overlap(family, basis).item() == pytest.approx(rank / dim)
    for family in DIAGONALS:
        overlap = expected_overlap(family, basis)
        torch.testing.assert_close(overlap, penalty * rank / dim)


def test_the_penalty_is_one_for_incoherent_subspaces_alone():
    hadamard = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    hadamard = torch.kron(hadamard, hadamard) / 2
    assert coherence_penalty(hadamard[:, :2]).item() == pytest.approx(1)
    dead_units = torch.cat((hadamard[:, :2], torch.zeros(4, 2)))
    assert coherence_penalty(dead_units).item() == pytest.approx(2)


def test_near_contexts_of_a_mixture_share_more():
    basis = torch.eye(8)[:, :2]
    spread = torch.linalg.qr(torch.randn(8, 2, generator=torch.Generator().manual_seed(0))).Q
    overlaps = [expected_overlap(LocalMixContexts, spread, offset=d).item() for d in (1, 2, 3, 9)]
    assert overlaps[0] > overlaps[1] > overlaps[2] == overlaps[3]
    assert expected_overlap(LocalMixContexts, basis, offset=1).item() == pytest.approx(1)


@pytest.mark.parametrize("basis", [torch.ones(4, 2), torch.eye(4)[:2], torch.eye(4) * torch.nan])
def test_bases_that_are_not_orthonormal_are_refused(basis):
    for function in (coherence_penalty, leverage_scores, partial(expected_overlap, BinaryContexts)):
        with pytest.raises(ValueError, match=r"not orthonormal .* use analysis\.overlap"):
            function(basis)


def test_overlap_refuses_one_context_and_complex_bases_of_real_families():
    with pytest.raises(ValueError, match="offset=0 is not a distance between two"):
        expected_overlap(BinaryContexts, torch.eye(4), offset=0)
    with pytest.raises(TypeError, match="is real, but basis is"):
        expected_overlap(BinaryContexts, torch.eye(4).to(torch.complex64))
