"""Table 1, as closed forms and by counting real tensors."""

from functools import partial

import pytest
import torch

from psp_contexts import (
    BinaryContexts,
    BlockRotationContexts,
    ComplexContexts,
    IdentityContexts,
    KroneckerRotationContexts,
    OnePowerContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
    num_parameters,
)
from psp_contexts.testing import FAMILIES, family_name

M, N = 16, 5  # dim and out_features, the paper's M and N

TABLE_1 = [
    (IdentityContexts, M * N, M * N),
    (RotationContexts, M * (N + M), M**2),
    (BinaryContexts, M * (N + 1), M),
    (ComplexContexts, 2 * M * (N + 0.5), M),
    (OnePowerContexts, 2 * M * (N + 0.5), 1),
]
BEYOND = [
    (partial(BlockRotationContexts, block_size=8), M * (N + 8), M * 8),
    (KroneckerRotationContexts, M * N + 3 * M, 3 * M),  # 16 = 4 · 4, so A and B have M parameters
    (PermutationContexts, M * (N + 1), M),
    (SignedPermutationContexts, M * (N + 1), M),
]


@pytest.mark.parametrize(("family", "parameters", "one_more"), TABLE_1 + BEYOND)
def test_the_counts_are_those_of_table_1(family, parameters, one_more):
    contexts = family(M, 10, seed=0)
    assert num_parameters(contexts, N) == parameters
    for models in (1, 2, 9):
        more = num_parameters(contexts, N, models + 1) - num_parameters(contexts, N, models)
        assert more == one_more


@pytest.mark.parametrize("family", FAMILIES, ids=family_name)
@pytest.mark.parametrize("num_models", [1, 2, 7])
def test_the_counts_are_those_of_real_tensors(family, num_models):
    contexts = family(M, num_models, seed=0)
    weight = torch.zeros(N, M, dtype=torch.cfloat if contexts.is_complex else torch.float)
    models = num_models if isinstance(contexts, IdentityContexts) else 1
    counted = models * torch.view_as_real(weight + 0j)[..., : 1 + contexts.is_complex].numel()
    counted += sum(part.numel() for index in range(num_models) for part in contexts.draw(index))
    if isinstance(contexts, OnePowerContexts):
        # One vector of phases serves all, and the first power needs no storage.
        counted += contexts.shared_phases().numel() - 1
    assert num_parameters(contexts, N, num_models) == counted


@pytest.mark.parametrize("argument", ["out_features", "num_models"])
def test_counts_of_nothing_are_refused(argument):
    contexts = BinaryContexts(4, 1, seed=0)
    with pytest.raises(ValueError, match=f"{argument} must be at least 1, but is 0"):
        num_parameters(contexts, **{"out_features": 2, argument: 0})
