import copy

import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts
from psp_nn import name_context, remove, retrieve, store, superpose, use_context


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 2, groups=2)
    ).double()


def nearby(net, seed):
    torch.manual_seed(seed)
    model = copy.deepcopy(net)
    with torch.no_grad():
        for value in model.parameters():
            value += 0.1 * torch.randn_like(value)
    model(torch.randn(9, 3, 6, 6, dtype=value.dtype))  # other running statistics
    return model


def over(net, **options):
    options = {"num_contexts": 4, "seed": 0, "bias_per_context": True, **options}
    return superpose(net, family=BinaryContexts, **options)


def test_a_removed_model_leaves_the_superposition_as_if_it_had_never_been_stored():
    base = convolutional()
    models = [nearby(base, seed) for seed in range(3)]
    net, without = over(base, base=True), over(base, base=True)
    for k, model in enumerate(models):
        store(net, k, model)
        if k != 1:
            store(without, k, model)
    assert remove(net, 1, models[1]) == ()
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, without.state_dict()[name], msg=name)
    store(net, 1, models[1])  # there is room again
    assert remove(net, 1, models[1]) == ()


def test_without_a_base_the_norms_and_biases_that_stay_are_named():
    base = convolutional()
    net, model = over(base, base=False), nearby(base, 0)
    before = [net[i].stored().clone() for i in (0, 3)]
    store(net, 2, model)
    assert remove(net, 2, model) == (
        "0.bias",
        "1.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
        "3.bias",
    )
    for i, weight in zip((0, 3), before, strict=True):
        torch.testing.assert_close(net[i].stored(), weight)


def test_what_was_learned_in_superposition_cannot_be_removed():
    base = convolutional()
    net, model = over(base, base=True), nearby(base, 0)
    with pytest.raises(ValueError, match=r"no model was stored in context 1; .* '0\.weight', '3\."):
        remove(net, 1, base)
    store(net, 1, model)
    with pytest.raises(ValueError, match="another model than this one was stored in context 1"):
        remove(net, 1, base)
    tuned = nearby(retrieve(net, 1), 1)
    store(net, 1, tuned, replace=True)
    with pytest.raises(ValueError, match="another model than this one"):
        remove(net, 1, tuned)  # it contains all other models
    assert remove(net, 1, model) == ("0.weight", "3.weight")
    left = [
        (net[i].stored() - 0).abs().sum() < (tuned[i].weight - base[i].weight).abs().sum()
        for i in (0, 3)
    ]
    assert all(left)


def test_the_error_that_is_left_is_one_of_rounding():
    base = nn.Sequential(nn.Linear(64, 64, bias=False), nn.ReLU(), nn.Linear(64, 8, bias=False))
    net = superpose(base, family=BinaryContexts, num_contexts=40, seed=0, base=True)
    models = []
    for k in range(40):
        torch.manual_seed(k)
        model = copy.deepcopy(base)
        with torch.no_grad():
            for value in model.parameters():
                value += 0.02 * torch.randn_like(value)
        models.append(model)
        store(net, k, model)
    size = net[0].stored().norm()
    for k, model in enumerate(models):
        remove(net, k, model)
    assert 0 < net[0].stored().norm() < 2e-6 * size


def test_a_name_is_free_again_once_its_model_is_removed():
    base = convolutional()
    net, model = over(base, base=True), nearby(base, 0)
    name_context(net, 3, "customer-7")
    store(net, "customer-7", model)
    remove(net, "customer-7", model.float())  # the same weights in another dtype
    with pytest.raises(ValueError, match=r"'customer-7' is the name of no model"):
        use_context(net, "customer-7")
    name_context(net, 1, "customer-7")


def test_arguments_that_are_no_model_of_the_network_are_refused():
    base = convolutional()
    net = over(base, base=True)
    with pytest.raises(IndexError, match="context=4 is not one of the 4 contexts"):
        remove(net, 4, base)
    with pytest.raises(TypeError, match=r"remove needs one context, but got shape \(2,\)"):
        remove(net, torch.tensor([1, 2]), base)
    with pytest.raises(ValueError, match="remove: only the network has"):
        remove(net, 1, base[:2])
    with pytest.raises(ValueError, match="call superpose first"):
        remove(base, 1, base)
