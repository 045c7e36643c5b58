"""Linear layers of which each model has a whole one."""

import copy

import pytest
import torch
from safetensors import safe_open
from torch import nn

from psp_contexts import BinaryContexts, ComplexContexts
from psp_nn import (
    grow,
    load,
    remove,
    report,
    retrieve,
    save,
    store,
    superpose,
    use_context,
)


def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def with_heads(family=BinaryContexts, base=False, **options):
    net = superpose(plain(), family=family, num_contexts=4, seed=0, base=base, own="2", **options)
    with torch.no_grad():
        for value in net[2].parameters():
            value.add_(torch.randn_like(value))
    return net


def test_each_model_has_a_whole_layer_without_noise():
    net, x = with_heads(), torch.randn(5, 4)
    for k in range(4):
        with use_context(net, k):
            hidden = net[1](net[0](x))
            weight, bias = net[2].stored()[k], net[2].stored("bias")[k]
            torch.testing.assert_close(net(x), hidden @ weight.T + bias)
            torch.testing.assert_close(retrieve(net, k)(x), net(x))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch_dim", [0, 1])
def test_a_mixed_batch_uses_the_layer_of_each_sample(bias, batch_dim):
    net = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3, bias=bias))
    net = superpose(net, family=BinaryContexts, num_contexts=4, seed=0, base=False, own="1")
    nn.init.normal_(net[1].stored())
    x, contexts = torch.randn(5, 7, 4), torch.tensor([3, 0, 3, 1, 2, 2, 0][: 5 + 2 * batch_dim])
    with use_context(net, contexts, batch_dim=batch_dim):
        mixed = net(x)
    for i, k in enumerate(contexts.tolist()):
        with use_context(net, k):
            alone = net(x.select(batch_dim, i))
        torch.testing.assert_close(mixed.select(batch_dim, i), alone)


def test_training_one_model_leaves_the_layers_of_the_others():
    net = with_heads()
    before = net[2].stored().detach().clone()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    use_context(net, 2)
    net(torch.randn(5, 4)).square().sum().backward()
    optimiser.step()
    assert (net[2].stored() != before).flatten(1).any(1).tolist() == [False, False, True, False]


def test_models_with_their_own_layers_come_and_go(tmp_path):
    base = plain()
    net = superpose(
        base,
        family=BinaryContexts,
        num_contexts=4,
        seed=0,
        base=True,
        bias_per_context=True,
        own="2",
    )
    model = copy.deepcopy(base)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value))
    store(net, 1, model)
    x = torch.randn(5, 4)
    with use_context(net, 1):
        torch.testing.assert_close(net(x), model(x))
    with use_context(net, None):
        assert torch.equal(net(x), base(x))
    save(net, tmp_path / "net")
    save(net, tmp_path / "model", context=1)
    grow(net, 5)
    assert net[2].stored().shape == (5, 3, 6)
    load(tmp_path / "model", into=net, context=4)
    assert torch.equal(net[2].stored()[4], model[2].weight)
    load(tmp_path / "net", into=net)
    assert remove(net, 1, model) == ()
    with use_context(net, 1):
        torch.testing.assert_close(net(x), base(x))
    assert report(net).layers[1].num_per_model == 5 * (6 * 3 + 3)


SIZES = [3, 1, 5, 2]


def head_of(outputs):
    model = plain()
    model[2] = nn.Linear(6, outputs)
    return model


@pytest.mark.parametrize("family", [BinaryContexts, ComplexContexts])
@pytest.mark.parametrize("base", [True, False])
def test_models_have_different_numbers_of_outputs(family, base, tmp_path):
    options = {"family": family, "num_contexts": 4, "seed": 0, "base": base}
    options |= {"own": {"2": SIZES}, "bias_per_context": True}
    net, x = superpose(plain(), **options), torch.randn(5, 4)
    singles = []
    for k, outputs in enumerate(SIZES):
        with use_context(net, k):
            singles.append(net(x))
        assert singles[k].shape == (5, outputs)
        model = retrieve(net, k, example=x)
        assert (type(model[2]), model[2].out_features) == (nn.Linear, outputs)
        torch.testing.assert_close(model(x), singles[k])
    contexts = torch.tensor([1, 3, 0, 1, 3])
    with use_context(net, contexts):
        mixed = net(x)
    assert mixed.shape == (5, 3)
    for i, k in enumerate(contexts.tolist()):
        torch.testing.assert_close(mixed[i, : SIZES[k]], singles[k][i])
        assert (mixed[i, SIZES[k] :] == -torch.inf).all()
    save(net, tmp_path / "net")
    other = superpose(plain(), **options | {"own": {"2": [5, 4, 3, 2]}})
    load(tmp_path / "net", into=other)
    twin = superpose(plain(), **options | {"own": {"2": [5, 4, 3, 2]}})
    twin.load_state_dict(net.state_dict())
    for k in range(4):
        with use_context(other, k), use_context(net, k), use_context(twin, k):
            assert torch.equal(other(x), net(x))
            assert torch.equal(twin(x), net(x))


def test_a_stored_model_brings_a_head_of_its_size(tmp_path):
    base, x = plain(), torch.randn(5, 4)
    options = {"family": BinaryContexts, "seed": 0, "base": True, "bias_per_context": True}
    net = superpose(base, num_contexts=3, **options, own={"2": [3, 3, 3]})
    models = [head_of(2), head_of(7)]
    for k, model in enumerate(models):
        store(net, k, model)
    grow(net, 4)
    store(net, 3, head_of(4))
    for k, model in enumerate(models):
        with use_context(net, k):
            torch.testing.assert_close(net(x), model(x))
    for untouched in (2, None):
        with use_context(net, untouched):
            torch.testing.assert_close(net(x), base(x))
    save(net, tmp_path / "model", context=1)
    load(tmp_path / "model", into=net, context=2)
    with use_context(net, 2):
        torch.testing.assert_close(net(x), models[1](x))
    remove(net, 1, models[1])
    with use_context(net, 1):
        torch.testing.assert_close(net(x), base(x))


def test_heads_of_different_sizes_train_apart():
    net = superpose(
        plain(), family=BinaryContexts, num_contexts=4, seed=0, base=False, own={"2": SIZES}
    )
    x, contexts = torch.randn(8, 4), torch.tensor([0, 2, 2, 3, 0, 1, 3, 2])
    with use_context(net, contexts):
        logits = net(x)
    logits.log_softmax(-1)[:, 0].sum().backward()
    mixed = net[2].stored().grad.clone()
    net.zero_grad()
    for i, k in enumerate(contexts.tolist()):
        with use_context(net, k):
            net(x[i : i + 1]).log_softmax(-1)[:, 0].sum().backward()
    torch.testing.assert_close(mixed, net[2].stored().grad)


def test_heads_of_different_sizes_depend_on_the_seed_alone():
    net = plain()
    options = {"family": BinaryContexts, "num_contexts": 4, "base": False, "own": {"2": SIZES}}
    state = torch.get_rng_state()
    first = superpose(net, **options, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    second = superpose(net, **options, seed=0)
    assert torch.equal(first[2].stored(), second[2].stored())
    assert not torch.equal(first[2].stored(), superpose(net, **options, seed=1)[2].stored())
    store(first, 1, head_of(7))
    bound = 6**-0.5
    assert 0 < second[2].stored()[:, 3:].abs().max() <= bound
    assert torch.equal(first[2].stored()[0, :5], second[2].stored()[0])


@pytest.mark.parametrize("base", [True, False])
@pytest.mark.parametrize(("saved", "present"), [(9, 3), (3, 9), (9, 4)])
def test_files_and_state_dicts_fit_heads_of_any_size(base, saved, present, tmp_path):
    options = {"family": BinaryContexts, "seed": 0, "base": base, "bias_per_context": True}
    net = superpose(plain(), num_contexts=3, **options, own={"2": [3, 3, 3]})
    store(net, 1, head_of(saved))
    save(net, tmp_path / "net")
    save(net, tmp_path / "model", context=1)
    x = torch.randn(5, 4)

    def built():
        other = superpose(plain(), num_contexts=4, **options, own={"2": [3, 3, 3, 3]})
        store(other, 3, head_of(present))
        return other

    loaded, copied, one = built(), built(), built()
    expected = retrieve(loaded, 3)[2]
    load(tmp_path / "net", into=loaded)
    copied.load_state_dict(net.state_dict())
    load(tmp_path / "model", into=one, context=2)
    for other in (loaded, copied):
        for k in (0, 1, 2):
            with use_context(net, k), use_context(other, k):
                assert torch.equal(other(x), net(x))
        with use_context(other, 3):
            assert torch.equal(other[2].weight, expected.weight)
    with use_context(one, 2), use_context(net, 1):
        assert torch.equal(one[2].weight, net[2].weight)
        assert torch.equal(one[2].bias, net[2].bias)


def test_a_file_holds_no_unused_rows(tmp_path):
    net = superpose(
        plain(), family=BinaryContexts, num_contexts=2, seed=0, base=False, own={"2": [3, 900]}
    )
    store(net, 1, head_of(2))
    save(net, tmp_path / "net")
    save(net, tmp_path / "model", context=1)
    with safe_open(tmp_path / "net", "pt") as file:
        assert file.get_slice("2.weight").get_shape() == [2, 3, 6]
    with safe_open(tmp_path / "model", "pt") as file:
        assert file.get_slice("2.weight").get_shape() == [2, 6]


def test_a_file_that_does_not_fit_changes_no_head(tmp_path):
    options = {"family": BinaryContexts, "num_contexts": 3, "base": False}
    save(superpose(plain(), seed=1, **options, own={"2": [3, 9, 3]}), tmp_path / "net")
    net = superpose(plain(), seed=0, **options, own={"2": [3, 3, 3]})
    with pytest.raises(ValueError, match="saved with another context"):
        load(tmp_path / "net", into=net)
    assert net[2].stored().shape == (3, 3, 6)


def test_heads_compile_once_for_each_size():
    torch.compiler.reset()
    options = {"family": BinaryContexts, "num_contexts": 12, "seed": 0, "base": False}
    net = superpose(plain(), **options, own={"2": [3, 7] * 6})
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    x = torch.randn(3, 4)
    selections = [*range(12), *map(torch.tensor, ([0, 2, 4], [0, 1, 4], [1, 3, 5]))]
    for selection in selections:
        use_context(net, selection)
        torch.testing.assert_close(compiled(x), net(x))


def test_the_report_counts_the_original_head():
    net = superpose(
        plain(), family=BinaryContexts, num_contexts=4, seed=0, base=False, own={"2": SIZES}
    )
    layer = report(net).layers[1]
    assert layer.parameters_before == 6 * 3 + 3
    assert layer.num_per_model == 4 * (6 * 5 + 5)
    assert layer.reason == "weight, bias per context"


@pytest.mark.parametrize("sizes", [[3, 3], [3, 3, 0, 3]])
def test_wrong_numbers_of_outputs_are_refused(sizes):
    options = {"family": BinaryContexts, "num_contexts": 4, "seed": 0, "base": False}
    with pytest.raises(ValueError, match="a positive number of outputs for each of the 4 models"):
        superpose(plain(), **options, own={"2": sizes})


def test_they_take_the_real_part_of_a_complex_body():
    net, x = with_heads(ComplexContexts), torch.randn(5, 4)
    with use_context(net, 2):
        hidden = net[1](net[0](x)).real
        expected = hidden @ net[2].stored()[2].T + net[2].stored("bias")[2]
        torch.testing.assert_close(net(x), expected)
        torch.testing.assert_close(retrieve(net, 2, example=x)(x), expected)
    with use_context(net, torch.tensor([0, 2, 2, 1, 3])):
        torch.testing.assert_close(net(x)[1], expected[1])


def test_a_pattern_without_a_linear_layer_and_tied_layers_are_refused():
    options = {"family": BinaryContexts, "num_contexts": 4, "seed": 0, "base": False}
    with pytest.raises(
        ValueError, match=r"own='1' matches no layer of the class Linear; .* '0', '2'"
    ):
        superpose(plain(), **options, own="1")
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    with pytest.raises(ValueError, match="tied"):
        superpose(tied, **options, own="1")
    computed = torch.nn.utils.weight_norm
    with pytest.warns(FutureWarning):
        normed = nn.Sequential(nn.Linear(4, 4), computed(nn.Linear(4, 4)))
    with pytest.raises(ValueError, match="'weight' of layer '1' is computed from other parameters"):
        superpose(normed, **options, own="1", exclude="1")
    net = superpose(plain(), **options, own=["0", "2"])
    with pytest.raises(ValueError, match=r"layer '2' needs 6 features along dimension -1"):
        net[2](torch.randn(5, 4))
