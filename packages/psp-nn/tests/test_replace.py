"""A second model in one context: what `store` replaces, and what it does to the other models."""

import copy

import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts, RotationContexts
from psp_nn import Norms, learn_contexts, retrieve, store, superpose, use_context

OPTIONS = {"num_contexts": 4, "seed": 0, "bias_per_context": True}


def nearby(net, seed, size=0.1):
    """Return a network that differs a little from another in every parameter."""
    generator = torch.Generator().manual_seed(seed)
    model = copy.deepcopy(net)
    with torch.no_grad():
        for value in model.parameters():
            value += size * torch.randn(value.shape, generator=generator, dtype=value.dtype)
    return model


def weights_read(net, context):
    with torch.no_grad(), use_context(net, context):
        return [layer.weight.clone() for layer in net if isinstance(layer, nn.Linear)]


def read_change(net, before, after, trained, read):
    """Return what changes in one model when another one changes, by the dense matrices."""
    changes = []
    for layer, w, v in zip(
        (layer for layer in net if isinstance(layer, nn.Linear)), before, after, strict=True
    ):
        change, outputs = v - w, layer.output_contexts_for()
        if outputs is not None:
            change = outputs.matrix(read).T @ outputs.matrix(trained) @ change
        inverse = layer.contexts.matrix(trained).inverse()
        changes.append(change.to(inverse.dtype) @ inverse @ layer.contexts.matrix(read))
    return changes


@pytest.fixture(params=["without a base", "one-sided", "two-sided"])
def filled(request, mlp):
    """A superposition with three stored models, and these models."""
    base = request.param != "without a base"
    options = {"two_sided": request.param == "two-sided"} if base else {}
    net = superpose(mlp, family=RotationContexts, base=base, **OPTIONS, **options)
    models = [nearby(mlp, seed) for seed in range(3)]
    for k, model in enumerate(models):
        store(net, k, model)
    return net, models


def test_a_second_model_in_one_context_is_refused(filled):
    net, models = filled
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=r"context 1 holds a model, and both would read as their"):
        store(net, 1, models[0])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_model_fine_tuned_from_what_is_read_reads_exactly_once_it_is_put_back(filled):
    net, _ = filled
    others = [weights_read(net, k) for k in range(4)]
    model = nearby(retrieve(net, 1), 5)
    store(net, 1, model, replace=True)
    for name, value in retrieve(net, 1).state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name])
    for k in (0, 2, 3):
        changes = read_change(net, others[1], weights_read(net, 1), 1, k)
        for now, before, change in zip(weights_read(net, k), others[k], changes, strict=True):
            torch.testing.assert_close(now, before + change)


def test_replacing_a_stored_model_changes_the_others_by_the_difference_alone(filled):
    net, models = filled
    others = [weights_read(net, k) for k in range(4)]
    second = nearby(models[1], 5)
    store(net, 1, second, replace=models[1])
    before, after = (
        [layer.weight.detach() for layer in model if isinstance(layer, nn.Linear)]
        for model in (models[1], second)
    )
    for k in range(4):
        changes = read_change(net, before, after, 1, k)
        for now, then, change in zip(weights_read(net, k), others[k], changes, strict=True):
            torch.testing.assert_close(now, then + change)
    use_context(net, 1)
    torch.testing.assert_close(net[0].bias, second[0].bias)
    store(net, 1, models[1], replace=second)  # the new one is the stored one now
    for k in range(4):
        for now, then in zip(weights_read(net, k), others[k], strict=True):
            torch.testing.assert_close(now, then)


def test_replacing_what_is_read_by_another_model_would_erase_the_others_and_is_refused(filled):
    net, models = filled
    before = copy.deepcopy(net.state_dict())
    torch.manual_seed(1)
    other = nn.Sequential(
        nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)
    )
    for context, model in ((1, other.double()), (3, nearby(models[0], 7))):
        with pytest.raises(ValueError, match=r"replace=True would erase \d+% of the superposition"):
            store(net, context, model, replace=True)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_model_that_was_not_stored_cannot_be_replaced(filled):
    net, models = filled
    with pytest.raises(ValueError, match="another model than this one was stored in context 1"):
        store(net, 1, models[0], replace=models[2])
    with pytest.raises(ValueError, match=r"no model was stored in context 3; .* '0\.weight', '2\."):
        store(net, 3, models[0], replace=models[2])


def test_an_empty_superposition_takes_any_model_in_place_of_what_is_read(mlp):
    net = superpose(mlp, family=BinaryContexts, base=True, **OPTIONS)
    model = nearby(mlp, 0)
    store(net, 2, model, replace=True)
    for now, then in zip(weights_read(net, 2), model[::2], strict=True):
        torch.testing.assert_close(now, then.weight.detach())
    with pytest.raises(ValueError, match="context 2 holds a model"):
        store(net, 2, model)


def test_tied_and_shared_tensors_are_replaced_once(family):
    plain = nn.Sequential(nn.Embedding(6, 4), nn.LayerNorm(4), nn.Linear(4, 6, bias=False))
    plain[2].weight = plain[0].weight
    if getattr(family, "func", family).is_complex:
        pytest.skip("a complex network has no ordinary form")
    net = superpose(plain.double(), family=family, num_contexts=3, seed=0, base=False)
    model = nearby(retrieve(net, 1), 0, 0.01)
    assert model[2].weight is model[0].weight
    store(net, 1, model, replace=True)
    for name, value in retrieve(net, 1).state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name])


def test_a_shared_bias_that_differs_is_refused_when_a_model_is_replaced(mlp):
    net = superpose(mlp, family=BinaryContexts, num_contexts=3, seed=0, base=True)
    model = nearby(mlp, 0)
    with pytest.raises(ValueError, match=r"'0\.bias' is shared by all models"):
        store(net, 1, model, replace=True)
    assert not any(value.abs().sum() for layer in net[::2] for value in [layer.stored()])


def test_learned_contexts_put_a_model_back_exactly(mlp):
    net = superpose(mlp, family=BinaryContexts, base=False, norms=Norms.SHARED, **OPTIONS)
    learn_contexts(net)
    with torch.no_grad():
        net[0].contexts.learned_numbers.mul_(1.1)
    model = nearby(retrieve(net, 1), 5)
    store(net, 1, model, replace=True)
    for name, value in retrieve(net, 1).state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name])
