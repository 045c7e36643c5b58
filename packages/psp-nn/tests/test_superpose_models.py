import copy

import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts, ComplexContexts, SignedPermutationContexts
from psp_nn import retrieve, superpose_models, use_context


def drawn(width, count, scale=1.0, base=None):
    models = []
    for seed in range(count):
        torch.manual_seed(seed + 100)
        model = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.Linear(width, 8))
        if base is not None:
            moved = copy.deepcopy(base)
            with torch.no_grad():
                for value, step in zip(moved.parameters(), model.parameters(), strict=True):
                    value.add_(scale * step)
            model = moved
        models.append(model.double())
    return models


@pytest.mark.parametrize("family", [BinaryContexts, SignedPermutationContexts])
@pytest.mark.parametrize("count", [2, 5])
def test_without_a_base_the_snr_is_what_the_theory_says_and_so_does_the_warning(family, count):
    models = drawn(64, count)
    with pytest.warns(UserWarning, match=rf"1/\(K-1\) = 1/{count - 1}, whatever the width"):
        together = superpose_models(models, family=family, seed=0)
    assert len(together.snr) == count
    for snr in together.snr:
        assert snr == pytest.approx(1 / (count - 1), rel=0.15)


def test_small_differences_from_a_base_are_read_back_with_a_high_snr():
    (base,) = drawn(64, 1)
    models = drawn(64, 5, scale=0.03, base=base)
    together = superpose_models(models, family=BinaryContexts, seed=0, base=base)
    expected = 1 / (0.03**2 * 4)
    for k, (snr, model) in enumerate(zip(together.snr, models, strict=True)):
        assert snr == pytest.approx(expected, rel=0.2)
        model.eval()
        together.net.eval()
        x = torch.randn(50, 64, dtype=torch.float64)
        with use_context(together.net, k):
            y = together.net(x)
            torch.testing.assert_close(retrieve(together.net, k)(x), y)
        error = (y - model(x)).square().sum() / model(x).square().sum()
        assert error < 5 / expected
    context = torch.arange(50) % 5
    with use_context(together.net, context):
        mixed = together.net(x)
    with use_context(together.net, 3):
        torch.testing.assert_close(mixed[context == 3], together.net(x)[context == 3])


def test_one_model_alone_is_read_back_exactly():
    (model,) = drawn(16, 1)
    together = superpose_models([model], family=BinaryContexts, seed=0, num_contexts=3)
    assert together.snr == (float("inf"),)


def test_models_that_cannot_be_superposed_are_refused():
    (model,) = drawn(16, 1)
    with pytest.raises(ValueError, match="got no models"):
        superpose_models([], family=BinaryContexts, seed=0)
    with pytest.raises(ValueError, match="models are real, but the family is complex"):
        superpose_models([model], family=ComplexContexts, seed=0)
    with pytest.raises(TypeError, match="models is a single Sequential; pass a list"):
        superpose_models(model, family=BinaryContexts, seed=0)
    with pytest.raises(ValueError, match=r"models\[0\] does not fit base: .*'0\.weight' is"):
        superpose_models(drawn(8, 1), family=BinaryContexts, seed=0, base=model)
    with pytest.raises(IndexError, match="context=1 is not one of the 1 contexts"):
        superpose_models([model] * 2, family=BinaryContexts, seed=0, base=model, num_contexts=1)


def test_models_may_come_from_a_generator():
    base, *models = drawn(16, 3)
    together = superpose_models(iter(models), family=BinaryContexts, seed=0, base=base)
    assert len(together.snr) == 2


class Words(nn.Module):
    """Uses one table for its input and its output."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 16)
        self.out = nn.Linear(16, 20, bias=False)
        self.out.weight = self.table.weight

    def forward(self, x):
        return self.out(self.table(x))


def test_a_tied_weight_has_one_base_for_all_that_hold_it():
    torch.manual_seed(0)
    base = Words().double()
    models = [copy.deepcopy(base) for _ in range(3)]
    for model in models:
        model.table.weight.data.add_(1e-3 * torch.randn(20, 16))
    together = superpose_models(models, family=BinaryContexts, seed=0, base=base)
    x = torch.arange(20)
    for k, model in enumerate(models):
        with use_context(together.net, k):
            torch.testing.assert_close(together.net(x), model(x), rtol=0, atol=0.2)
            torch.testing.assert_close(together.net(x), retrieve(together.net, k)(x))
