"""Effect of a step on other models, with the gradients of autograd through W (C_k x)."""

import pytest
import torch

from analysis.retrieval import estimate
from analysis.theory import step_mean, step_on_other, step_second_moment
from psp_contexts import (
    BinaryContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
)
from psp_contexts.testing import FIXED_FAMILIES

ETA = 0.3


def loss(y):
    return (y.real - 1).square().sum() + y.abs().pow(3).sum()


def problem(contexts):
    dtype = torch.complex128 if contexts.is_complex else torch.float64
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, contexts.dim, generator=generator, dtype=dtype)
    return weight, torch.randn(5, contexts.dim, generator=generator, dtype=dtype)


@pytest.mark.parametrize("family", FIXED_FAMILIES)
def test_a_step_on_one_model_moves_another_as_predicted(family):
    contexts = family(6, 4, seed=0)
    weight, x = problem(contexts)
    weight.requires_grad_()
    loss(contexts.bind(x, 1) @ weight.mT).backward()
    stepped = (weight - ETA * weight.grad).detach()

    alone = contexts.retrieve(weight.detach(), 1).requires_grad_()  # model 1, outside
    loss(x @ alone.mT).backward()
    for read in (0, 1, 3):
        moved = contexts.retrieve(stepped - weight.detach(), read)
        predicted = step_on_other(contexts, alone.grad, ETA, trained=1, read=read)
        torch.testing.assert_close(moved, predicted)
    torch.testing.assert_close(moved := contexts.retrieve(stepped, 1), alone - ETA * alone.grad)
    assert not torch.allclose(moved, alone)


@pytest.mark.parametrize(
    "family", [BinaryContexts, RotationContexts, PermutationContexts, SignedPermutationContexts]
)
def test_moments_of_the_step_on_others(family):
    # One step for each of 1500 disjoint pairs of contexts.
    # Five standard errors of the sample for each of 2 · 6 means; fixed seeds.
    contexts = family(4, 3000, seed=1)
    generator = torch.Generator().manual_seed(1)
    gradient = torch.randn(3, 4, generator=generator, dtype=torch.float64) + 0.5
    x = torch.randn(2, 4, generator=generator, dtype=torch.float64) + 0.5
    moved = torch.stack(
        [
            x @ step_on_other(contexts, gradient, ETA, trained=k, read=k + 1).mT
            for k in range(0, 3000, 2)
        ]
    )
    means = step_mean(family, gradient, x, ETA)
    seconds = step_second_moment(family, gradient, x, ETA)
    assert means.shape == seconds.shape == (2, 3)
    for n in range(2):
        for out in range(3):
            assert estimate(moved[:, n, out]).agrees(means[n, out].item())
            assert estimate(moved[:, n, out].square()).agrees(seconds[n, out].item())
    biased = family is PermutationContexts
    assert bool(means.any()) == biased


def test_learned_contexts_are_refused():
    learned = BinaryContexts(4, 2, seed=0, learned=True)
    with pytest.raises(ValueError, match="not Cᵀ for learned BinaryContexts; pass the fixed"):
        step_on_other(learned, torch.ones(1, 4), ETA, trained=0, read=1)


def test_a_complex_gradient_of_a_real_family_is_refused_by_name():
    gradient = torch.ones(1, 4, dtype=torch.complex64)
    with pytest.raises(TypeError, match="BinaryContexts is real, but gradient is torch"):
        step_mean(BinaryContexts, gradient, torch.ones(1, 4), ETA)
