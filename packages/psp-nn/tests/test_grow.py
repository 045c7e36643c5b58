import copy
from functools import partial

import pytest
import torch
from torch import nn

from psp_contexts import BinaryContexts, KroneckerRotationContexts
from psp_nn import grow, learn_contexts, load, retrieve, save, store, superpose, use_context


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 4, 2, groups=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 2)
    )


def trained(family=BinaryContexts, num_contexts=3, **options):
    """A superposition whose models differ in everything that they have."""
    options = {"seed": 0, "base": False, "bias_per_context": True, **options}
    net = superpose(convolutional(), family=family, num_contexts=num_contexts, **options)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)
    for k in range(num_contexts):
        use_context(net, k)
        optimiser.zero_grad()
        net(torch.randn(5, 4, 5, 5)).square().sum().backward()
        optimiser.step()
    return net.requires_grad_(False).eval()


def outputs(net, num_contexts=3):
    x = torch.linspace(-1, 1, 4 * 25).reshape(1, 4, 5, 5)
    results = []
    for k in range(num_contexts):
        with use_context(net, k):
            results.append(net(x))
    return torch.stack(results)


def test_grown_networks_read_the_same_bits(family):
    net = trained(family)
    before = outputs(net)
    grow(net, 5)
    assert torch.equal(outputs(net), before)
    assert torch.equal(outputs(net, 5)[:3], before)
    with use_context(net, torch.tensor([4, 0])):
        assert net(torch.randn(2, 4, 5, 5)).shape == (2, 6, 4 - 1, 4 - 1)


@pytest.mark.parametrize("two_sided", [True, False])
def test_a_network_over_a_base_grows_by_models_that_start_as_the_base(two_sided):
    plain = convolutional().eval()
    net = trained(base=True, two_sided=two_sided)
    before = outputs(net)
    grow(net, 4)
    assert torch.equal(outputs(net), before)
    model = copy.deepcopy(plain)
    with torch.no_grad():
        model[3].weight += 1
    store(net, 3, model)
    empty = superpose(
        plain, family=BinaryContexts, num_contexts=3, seed=0, base=True, bias_per_context=True
    )
    grow(empty, 4)
    with use_context(empty, 3):
        x = torch.randn(2, 4, 5, 5)
        torch.testing.assert_close(empty(x), plain(x))


def test_new_models_are_drawn_as_in_a_network_of_that_size():
    net = trained(num_contexts=3)
    grow(net, 4)
    larger = superpose(convolutional(), family=BinaryContexts, num_contexts=4, seed=0, base=False)
    for i in (0, 3):
        assert net[i].contexts.spec() == larger[i].contexts.spec()
        assert net[i].contexts.checksum() == larger[i].contexts.checksum()
        larger[i].stored().data.copy_(net[i].stored())
        use_context(net, 3), use_context(larger, 3)
        assert torch.equal(net[i].weight, larger[i].weight)


def test_the_new_entries_are_those_of_the_first_model_without_a_base():
    net = trained()
    grow(net, 4)
    tables = net.state_dict()
    for name in ("1.running_mean", "1.weight", "1.num_batches_tracked", "3.bias"):
        assert torch.equal(tables[name][3], tables[name][0])


def train_step(net, optimiser):
    optimiser.zero_grad()
    net(torch.randn(5, 4, 5, 5)).square().sum().backward()
    optimiser.step()


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_an_optimiser_trains_the_grown_network_or_says_that_its_state_is_too_small(kind):
    net = trained().requires_grad_(True).train()
    parameters = list(net.parameters())
    optimiser = kind(parameters, lr=0.01)
    train_step(net, optimiser)
    grow(net, 4)
    assert all(p is q for p, q in zip(net.parameters(), parameters, strict=True))
    use_context(net, 3)
    if kind is not torch.optim.SGD:
        with pytest.raises(RuntimeError, match="size"):
            train_step(net, optimiser)
        optimiser = kind(net.parameters(), lr=0.01)
    before = net[3].stored("bias").detach().clone()
    train_step(net, optimiser)
    assert (net[3].stored("bias") != before).any(1).tolist() == [False, False, False, True]


@pytest.mark.parametrize("learned", [False, True])
def test_files_and_state_dicts_from_before_fit_the_larger_network(tmp_path, learned):
    family = partial(BinaryContexts, learned=True) if learned else BinaryContexts
    net = trained(family)
    save(net, tmp_path / "net")
    for size in (3, 5):
        for read in ("load", "load_state_dict", "assign"):
            larger = trained(family)
            with torch.no_grad():
                for value in larger.parameters():
                    value.add_(1)
            if size > 3:
                grow(larger, size)
            tail = {name: value[3:].clone() for name, value in tables(larger).items()}
            if read == "load":
                load(tmp_path / "net", into=larger)
            else:
                larger.load_state_dict(net.state_dict(), assign=read == "assign")
            assert torch.equal(outputs(larger), outputs(net))
            assert all(torch.equal(value[3:], tail[name]) for name, value in tables(larger).items())


def tables(net):
    return {
        f"{i}.{name}": layer.table(name).detach()
        for i, layer in enumerate(net)
        if hasattr(layer, "superposition")
        for name in layer.superposition.per_context
    }


def test_a_file_from_before_fits_a_network_that_uses_a_layer_twice(tmp_path):
    def build():
        layer = nn.Linear(4, 4)
        net = nn.Sequential(layer, nn.ReLU(), layer)
        family = partial(BinaryContexts, learned=True)
        options = {"num_contexts": 3, "seed": 0, "base": False, "bias_per_context": True}
        return superpose(net, family=family, **options)

    net, larger = build(), build()
    grow(larger, 4)
    save(net, tmp_path / "net")
    load(tmp_path / "net", into=larger)
    assert torch.equal(larger[2](torch.ones(4)), net[2](torch.ones(4)))


def test_files_and_state_dicts_of_a_larger_network_are_refused(tmp_path):
    net, larger = trained(), trained()
    grow(larger, 4)
    save(larger, tmp_path / "net")
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=r"holds 4 models, but .* room for 3; call grow\(net, 4\)"):
        load(tmp_path / "net", into=net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    with pytest.raises((RuntimeError, ValueError), match=r"num_contexts=|size mismatch"):
        net.load_state_dict(larger.state_dict())
    other = superpose(
        convolutional(), family=KroneckerRotationContexts, num_contexts=5, seed=0, base=False
    )
    with pytest.raises((RuntimeError, ValueError), match="other contexts"):
        other.load_state_dict(net.state_dict(), strict=False)


def test_learned_contexts_keep_what_they_have_learned():
    net = trained()
    learn_contexts(net)
    (parameter,) = net[3].contexts.parameters()
    with torch.no_grad():
        parameter.mul_(1.5)
    before = outputs(net)
    grow(net, 4)
    assert net[3].contexts.learned_numbers is parameter
    assert torch.equal(outputs(net), before)
    assert torch.equal(parameter[3], BinaryContexts(16, 4, seed=0, name="3").draw(3)[0].float())


def test_tied_layers_grow_together():
    plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    plain[2].weight, plain[2].bias = plain[0].weight, plain[0].bias
    net = superpose(
        plain, family=BinaryContexts, num_contexts=3, seed=0, base=False, bias_per_context=True
    )
    grow(net, 4)
    assert net[0].contexts is net[2].contexts
    assert net[0].stored("bias") is net[2].stored("bias")
    assert net[0].stored("bias").shape == (4, 4)
    retrieve(net, 3)


def test_a_count_that_is_not_larger_and_ordinary_networks_are_refused():
    net = trained()
    for count in (2, 3):
        with pytest.raises(ValueError, match="must be more than the 3 that net has"):
            grow(net, count)
    with pytest.raises(ValueError, match="call superpose first"):
        grow(nn.Linear(2, 2), 4)


def test_a_family_that_draws_by_the_number_of_contexts_is_refused_and_nothing_changes():
    class Counted(BinaryContexts):
        def _draw(self, index):
            return super()._draw(index * self.num_contexts)

    net = trained(Counted)
    before = outputs(net)
    with pytest.raises(ValueError, match="Counted draws another context 5 for num_contexts=8") as e:
        grow(net, 4)
    assert e.value.__notes__ == ["grow: 'weight' of layer '0'."]
    assert torch.equal(outputs(net), before)


def test_a_grown_network_saves_and_copies_as_any_other(tmp_path):
    net = trained()
    grow(net, 4)
    save(net, tmp_path / "net")
    other = trained(num_contexts=4)
    load(tmp_path / "net", into=other)
    assert torch.equal(outputs(other, 4), outputs(net, 4))
    assert torch.equal(outputs(copy.deepcopy(net), 4), outputs(net, 4))
