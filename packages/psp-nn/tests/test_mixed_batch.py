"""Batches that mix contexts equal single calls, or are refused by name, and are never wrong."""

import copy
import pickle
from collections import deque
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.checkpoint import checkpoint

from psp_contexts import BinaryContexts, RotationContexts
from psp_nn import retrieve, superpose, use_context
from psp_nn.layers.selection import MixedBatchError
from psp_nn.mixed import forward, rehearsal

INDEX = torch.tensor([3, 0, 3, 1, 2])


def built(net, **options):
    options = {"family": BinaryContexts, "num_contexts": 5, "seed": 0, "base": True} | options
    net = superpose(net.double(), **options)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value))
    return net


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def single(net, *inputs, index=INDEX, **options):
    """The results of one call for each sample, joined."""
    outputs = []
    for i, k in enumerate(index.tolist()):
        with use_context(net, k):
            outputs.append(net(*(x[i : i + 1] for x in inputs), **options))
    return torch.cat(outputs)


def assert_equals_single_calls(net, *inputs, index=INDEX, batch_dim=0, **options):
    with use_context(net, index, batch_dim=batch_dim):
        for _ in range(2):  # the second call knows whether the network vectorises
            mixed = net(*inputs, **options)
            torch.testing.assert_close(mixed, single(net, *inputs, index=index, **options))


@pytest.fixture(autouse=True, params=[1, 128], ids=["apart", "at once"])
def many_samples(request, monkeypatch):
    """Serve every batch in both ways, which the number of samples per context decides."""
    monkeypatch.setattr("psp_nn.mixed.forward.MANY_SAMPLES", request.param)
    monkeypatch.setattr("psp_nn.mixed.forward.MANY_IMAGES", request.param)


@pytest.fixture
def ways(monkeypatch):
    """The ways in which calls were served, in order."""
    monkeypatch.setattr("psp_nn.mixed.forward.MANY_SAMPLES", 128)
    found = []
    for name in ("at_once", "by_context"):
        way = getattr(rehearsal, name)

        def noted(*args, _name=name, _way=way):
            result = _way(*args)
            found.append(_name)
            return result

        for module in (forward, rehearsal):
            monkeypatch.setattr(module, name, noted)
    return found


@pytest.mark.parametrize(("per_channel", "many"), [(False, 8), (True, 128)])
def test_contexts_of_many_samples_get_a_call_each(per_channel, many, ways, monkeypatch):
    monkeypatch.setattr("psp_nn.mixed.forward.MANY_IMAGES", 8)
    net = built(nn.Conv1d(2, 3, 2), per_channel=per_channel)
    for count, way in ((3 * many - 1, "at_once"), (3 * many, "by_context")):
        index = torch.arange(count) % 3
        assert_equals_single_calls(net, draw(count, 2, 4), index=index)
        assert ways[-1] == way


class Prototypes(nn.Module):
    """Compares the samples with a bank of as many vectors as there are classes."""

    def __init__(self):
        super().__init__()
        self.body, self.words, self.prototypes = (
            nn.Linear(4, 8),
            nn.Embedding(5, 6),
            nn.Linear(6, 8),
        )

    def forward(self, x):
        bank = self.words(torch.arange(5, device=x.device))
        return self.body(x) @ self.prototypes(bank).T


class Swapped(nn.Module):
    """Layers along samples and along positions in turn."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        x = self.second(self.first(x).transpose(0, 1))
        return x.transpose(0, 1)


class Tied(nn.Module):
    """Reads out with the transposed weight of the first layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 5)

    def forward(self, x):
        return torch.tanh(self.first(x)) @ self.first.weight


class Tokens(nn.Module):
    """Folds positions into the batch."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3))

    def forward(self, x):
        return self.body(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Siamese(nn.Module):
    """Runs two views as one batch."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x, other):
        first, second = self.body(torch.cat([x, other])).chunk(2)
        return first - second


class Hypernetwork(nn.Module):
    """Computes the weights of a layer from each sample, and from a batch of chunk embeddings."""

    def __init__(self):
        super().__init__()
        self.chunks, self.weights = nn.Embedding(5, 6), nn.Linear(6, 6)

    def forward(self, x):
        return F.linear(x, self.weights(self.chunks.weight[:5]))


class Unsqueezed(nn.Module):
    """Reads a value, which vmap cannot run."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 3)

    def forward(self, x):
        return self.body(x) * (2.0 if x.abs().max().item() > 1e9 else 1.0)


@pytest.mark.parametrize("family", [BinaryContexts, RotationContexts])
@pytest.mark.parametrize(
    ("plain", "shapes"),
    [
        (Prototypes, [(5, 4)]),
        (Swapped, [(5, 5, 6)]),
        (Swapped, [(5, 1, 6)]),
        (Tied, [(5, 6)]),
        (Tokens, [(5, 5, 6)]),
        (Siamese, [(5, 6), (5, 6)]),
        (Hypernetwork, [(5, 6)]),
        (Unsqueezed, [(5, 6)]),
    ],
)
def test_networks_in_which_lengths_prove_nothing_equal_single_calls(plain, shapes, family):
    torch.manual_seed(0)
    net = built(plain(), family=family)
    assert_equals_single_calls(net, *(draw(*shape) for shape in shapes))
    one = torch.tensor([2])  # a batch of one
    assert_equals_single_calls(net, *(draw(1, *shape[1:]) for shape in shapes), index=one)


def test_a_bank_given_as_an_argument_is_shared_if_it_is_said_so():
    class Compare(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(6, 4)

        def forward(self, x, bank):
            return self.body(x) @ self.body(bank).T

    net, x = built(Compare()), draw(5, 6)
    for count in (4, 5):
        bank = draw(count, 6)
        with use_context(net, INDEX, batch_dim={"bank": None}):
            mixed = net(x, bank)
        for i, k in enumerate(INDEX.tolist()):
            with use_context(net, k):
                torch.testing.assert_close(mixed[i : i + 1], net(x[i : i + 1], bank))
    with (
        use_context(net, INDEX),
        pytest.raises(
            MixedBatchError, match=r"bank has shape \(4, 6\).*batch_dim=\{'bank': None\}"
        ),
    ):
        net(x, draw(4, 6))
    with pytest.raises(ValueError, match=r"'bnak', which is no argument .* choose from x, bank"):
        use_context(net, INDEX, batch_dim={"bnak": None})


def test_samples_may_lie_along_another_dimension():
    net, x = built(Swapped()), draw(7, 5, 6)
    with use_context(net, INDEX, batch_dim=1):
        mixed = net(x)
    for i, k in enumerate(INDEX.tolist()):
        with use_context(net, k):
            torch.testing.assert_close(mixed[:, i : i + 1], net(x[:, i : i + 1]))


@pytest.mark.parametrize("plain", [Tokens, Unsqueezed])
def test_gradients_are_the_sum_of_those_of_single_calls(plain, ways):
    net, x = built(plain()), draw(5, 5, 6).requires_grad_()
    gradients = []
    for call in (lambda: single(net, x), lambda: use_and_call(net, x)):
        net.zero_grad()
        x.grad = None
        call().square().sum().backward()
        gradients.append([x.grad, *(value.grad for value in net.parameters())])
    torch.testing.assert_close(*gradients)
    assert ways[-1] == ("at_once" if plain is Tokens else "by_context")


def use_and_call(net, *inputs):
    with use_context(net, INDEX):
        return net(*inputs)


def test_a_kind_of_call_is_rehearsed_once(ways, monkeypatch):
    net, x = built(Unsqueezed()), draw(5, 6)
    calls = []
    monkeypatch.setattr(
        net.body, "forward", lambda x, f=net.body.forward: (calls.append(1), f(x))[1]
    )
    for _ in range(3):
        use_and_call(net, x)
    assert ways == ["by_context"] * 4  # with a rehearsal
    assert len(calls) == 5 + 3 * 4  # the last three are one call for each context


def test_batch_norm_in_training_takes_the_samples_of_each_context():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    net, index = built(plain).train(), torch.tensor([1, 0, 1, 0, 1, 0])
    other, x = copy.deepcopy(net), draw(6, 6)
    with use_context(net, index):
        mixed = net(x)
    for k in range(2):
        with use_context(other, k):
            torch.testing.assert_close(mixed[index == k], other(x[index == k]))
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name])


def test_every_sample_draws_its_own_dropout():
    net = built(nn.Sequential(nn.Linear(6, 64), nn.Dropout())).train()
    with use_context(net, torch.ones(5, dtype=torch.int64)):
        kept = net(draw(1, 6).expand(5, 6)) != 0
    assert len({tuple(row.tolist()) for row in kept}) == 5


def test_a_checkpointed_call_computes_the_same_gradient(ways):
    net, x = built(Tokens()), draw(5, 5, 6).requires_grad_()
    expected = torch.autograd.grad(use_and_call(net, x).square().sum(), x)
    for reentrant in (False, True):
        with use_context(net, INDEX):
            y = checkpoint(net, x, use_reentrant=reentrant)
            torch.testing.assert_close(
                torch.autograd.grad(y.square().sum(), x) if not reentrant else backward(y, x),
                expected,
            )
    assert "by_context" not in ways


def backward(y, x):
    x.grad = None
    y.square().sum().backward()
    return (x.grad,)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_inside_is_refused_by_name(reentrant):
    class Inside(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Linear(6, 6)

        def forward(self, x):
            return checkpoint(self.block, x, use_reentrant=reentrant)

    net = built(Inside())
    refused = "layer 'block' is (checkpointed inside|used outside)"
    with use_context(net, INDEX), pytest.raises(MixedBatchError, match=refused):
        net(draw(5, 6).requires_grad_()).sum().backward()


@pytest.mark.parametrize("plain", [Tokens, Unsqueezed])
def test_autocast_gives_the_dtype_and_the_values_of_single_calls(plain):
    net, x = built(plain()).float(), draw(5, 5, 6).float()
    with torch.autocast("cpu", torch.bfloat16):
        with use_context(net, INDEX):
            mixed = net(x)
        expected = single(net, x)
    assert mixed.dtype == expected.dtype
    torch.testing.assert_close(mixed, expected, rtol=0.05, atol=0.1)


def test_a_layer_outside_the_call_is_refused_by_name():
    net, x = built(nn.Sequential(Tokens(), nn.LayerNorm(3))), draw(5, 5, 6)
    with use_context(net, INDEX):
        for part in (net[0], net[0].body[0], net[1]):
            with pytest.raises(MixedBatchError, match=r"give use_context the module that you call"):
                part(draw(5, 5, 3) if part is net[1] else x)
        with use_context(net[0], INDEX):
            assert net[0](x).shape == (5, 5, 3)
        assert net(x).shape == (5, 5, 3)


def test_a_network_inside_another_mixes_contexts_when_it_is_called():
    inner = built(Tokens())
    outer, x = nn.Sequential(inner, nn.Tanh()), draw(5, 5, 6)
    with use_context(inner, INDEX):
        mixed = outer(x)
    torch.testing.assert_close(mixed, single(inner, x).tanh())


class Cached(nn.Module):
    """Keeps the inputs so far in a cache, by in-place changes if `static`."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 6)

    def forward(self, x, cache, static=False, read=False):
        key = self.body(x)
        if read:
            key = key * (1.0 if x.sum().item() > -1e9 else 0.0)
        if static:
            cache.keys[:, cache.length] = key
        else:
            cache.keys = torch.cat([cache.keys, key.unsqueeze(1)], 1)
        cache.length += 1
        cache.count += 1  # one counter for all samples, in place
        return {"y": cache.keys.sum(1), "cache": cache}


class Cache:
    def __init__(self, keys):
        self.keys, self.length, self.unused, self.count = keys, 0, None, torch.zeros(1)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("read", [False, True])
def test_a_cache_is_carried_from_call_to_call(static, read, mode):
    torch.manual_seed(0)
    net = built(Cached()).requires_grad_(False)
    x = draw(5, 3, 6)

    def run(x):
        cache = Cache(torch.zeros(len(x), 3 if static else 0, 6, dtype=torch.float64))
        for step in range(3):
            output = net(x[:, step], cache, static=static, read=read)
            assert output["cache"] is cache
        assert cache.length == cache.count == 3
        return output["y"], cache.keys

    with use_context(net, INDEX), mode():
        y, keys = run(x)
    for i, k in enumerate(INDEX.tolist()):
        with use_context(net, k):
            expected = run(x[i : i + 1])
        torch.testing.assert_close((y[i : i + 1], keys[i : i + 1]), expected)


@pytest.mark.parametrize("read", [False, True])
def test_results_without_samples_are_shared_or_refused(read):
    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.scale = nn.Linear(6, 2), nn.Parameter(torch.ones(()))

        def forward(self, x, mean=False):
            if read:
                x.sum().item()
            y = self.body(x)
            state = torch.zeros(len(x), 3)
            return (y.mean() if mean else y), [state, None, 3], {"scale": self.scale}

    net, x = built(Many()), draw(6, 6)
    index = torch.tensor([0, 0, 1, 1, 2, 2])
    with use_context(net, index):
        y, (state, _, number), shared = net(x)
        with pytest.raises(
            MixedBatchError, match=r"a result has shape \(\).*loss without reduction"
        ):
            net(x, mean=True)
    assert y.shape == (6, 2)
    assert state.shape == (6, 3)
    assert number == 3
    assert shared["scale"] is net.scale


class Stateful(nn.Module):
    """Keeps something of the batch for the next call."""

    def __init__(self, keep):
        super().__init__()
        self.body, self.keep = nn.Linear(6, 6), keep
        self.last, self.history, self.memory = None, [], SimpleNamespace(rows={})
        self.queue, self.found = deque(maxlen=3), set()
        self.register_buffer("cache", torch.zeros(8, 6, dtype=torch.float64))
        self.rows = torch.zeros(8, 6, dtype=torch.float64)

    def forward(self, x):
        y = self.body(x)
        self.keep(self, y.detach())
        return y


@pytest.mark.parametrize(
    ("keep", "name"),
    [
        (lambda net, y: setattr(net, "last", y), "last"),
        (lambda net, y: setattr(net, "last", (y, y + 1)), "last"),
        (lambda net, y: net.history.append(y), "history"),
        (lambda net, y: net.memory.rows.update(y=y), "memory"),
        (lambda net, y: net.queue.append(y), "queue"),
        (lambda net, y: net.found.add(y), "found"),
        (lambda net, y: net.cache[: len(y)].copy_(y), "cache"),
        (lambda net, y: net.rows[: len(y)].copy_(y), "rows"),
    ],
)
def test_a_module_that_keeps_a_tensor_of_the_batch_is_refused_by_name(keep, name):
    net = built(nn.Sequential(Stateful(keep)))
    with use_context(net, INDEX), pytest.raises(MixedBatchError, match=rf"'0\.{name}' keeps a"):
        net(draw(5, 6))
    assert net[0].last is None
    assert not net[0].history
    assert not net[0].memory.rows
    assert not net[0].queue
    assert not net[0].found
    assert not net[0].cache.any()
    assert not net[0].rows.any()


def test_a_layer_of_a_class_of_its_own_that_keeps_its_output_is_refused_by_name():
    class Keeping(nn.Linear):
        def forward(self, input):
            self.last = super().forward(input)
            return self.last

    net = built(nn.Sequential(Keeping(6, 6)))
    with use_context(net, INDEX), pytest.raises(MixedBatchError, match=r"'0\.last' keeps a tensor"):
        net(draw(5, 6))


def test_hooks_inside_are_refused_by_name():
    net, x = built(Tokens()), draw(5, 5, 6)
    kept = []
    keep = net.body[0].register_forward_hook(lambda module, args, output: kept.append(output))
    with use_context(net, INDEX), pytest.raises(MixedBatchError, match=r"'body\.0' has a hook"):
        net(x)
    keep.remove()
    keep = register_module_forward_hook(lambda module, args, output: None)
    with use_context(net, INDEX), pytest.raises(MixedBatchError, match="hooks of all modules"):
        net(x)
    keep.remove()
    net.register_forward_hook(lambda module, args, output: kept.append(output))
    assert_equals_single_calls(net, x)
    assert kept[0].shape == (5, 5, 3)


def test_the_call_exists_only_while_the_batch_mixes_contexts(ways):
    net, x = built(Tokens()), draw(5, 5, 6)
    with use_context(net, INDEX):
        expected = net(x)
        for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            torch.testing.assert_close(twin(x), expected)
            assert vars(twin)["forward"]._net is twin
        assert len(ways) == 6  # copies rehearse, too
        assert "forward" not in vars(retrieve(net, 2))
        with use_context(net, 3):
            assert "forward" not in vars(net)
        assert "forward" in vars(net)
    assert "forward" not in vars(net)


def test_millions_of_contexts_cost_nothing_until_they_are_used():
    net = built(nn.Sequential(nn.Linear(64, 8)), num_contexts=10**6, base=False)
    assert_equals_single_calls(net, draw(3, 64), index=torch.tensor([999_999, 5, 999_999]))


class Two(nn.Module):
    """Two layers whose outputs a test combines."""

    def __init__(self, combine):
        super().__init__()
        self.a, self.b, self.combine = nn.Linear(6, 6), nn.Linear(6, 6), combine

    def forward(self, *inputs):
        return self.combine(self, *inputs)


@pytest.mark.parametrize(
    ("combine", "shapes"),
    [
        (lambda net, x, bank: net.a(x) @ net.b(bank).T, [(5, 6), (5, 6)]),
        (lambda net, x, bank: (net.a(x)[:, None] * net.b(bank)).sum(1), [(5, 6), (5, 6)]),
        (lambda net, x, mask: (net.a(x) @ x.mT + mask).softmax(-1) @ x, [(5, 5, 6), (5, 5)]),
        (lambda net, x, position: net.a(x + position[:, None]), [(5, 5, 6), (5,)]),
        (lambda net, x: net.a(x - x.mean(0)), [(5, 6)]),
        (lambda net, x: net.a(x) @ net.b(x).T, [(5, 6)]),
        (lambda net, x: net.a(x).mean(0, keepdim=True), [(5, 6)]),
        (lambda net, x: torch.cat([net.a(x[:2]), net.b(x[2:])]), [(5, 6)]),
        (lambda net, x: net.a(x.roll(1, 0)), [(5, 6)]),
        (lambda net, x: (net.a(x), 2 * len(x)), [(5, 6)]),
        (lambda net, x: {net.a(x)}, [(5, 6)]),
    ],
)
def test_what_depends_on_other_samples_is_refused_by_name(combine, shapes):
    net = built(Two(combine))
    with (
        use_context(net, INDEX),
        pytest.raises(MixedBatchError, match=r"batch (that )?mixes context"),
    ):
        net(*(draw(*shape) for shape in shapes))


@pytest.mark.parametrize("features", [1, 3])
def test_results_may_have_their_samples_along_any_dimension(features):
    net, x = built(Transposed(features)), draw(5, 6)
    with use_context(net, INDEX):
        mixed = net(x)
    assert mixed.shape == (features, 5)
    for i, k in enumerate(INDEX.tolist()):
        with use_context(net, k):
            torch.testing.assert_close(mixed[:, i : i + 1], net(x[i : i + 1]))


class Transposed(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.body = nn.Linear(6, features)

    def forward(self, x):
        return self.body(x).T


def test_a_rehearsal_leaves_the_generator():
    net, x = built(nn.Sequential(nn.Linear(6, 6), nn.Dropout())).train(), draw(5, 6)
    results = []
    for _ in range(2):  # only the first call is rehearsed
        torch.manual_seed(0)
        results.append(use_and_call(net, x))
    torch.testing.assert_close(*results)


class Counted(nn.Module):
    """Returns the number of samples, and notes it in a cache."""

    def __init__(self, norm):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 2), norm)

    def forward(self, x, cache):
        cache["samples"] = len(x)
        return self.layers(x), len(x)


@pytest.mark.parametrize(
    ("norm", "way"), [(nn.Identity(), "at_once"), (nn.BatchNorm1d(2), "by_context")]
)
def test_a_number_of_samples_is_that_of_the_whole_batch(norm, way, ways):
    net, cache = built(Counted(norm)), {}
    index = torch.tensor([3, 0, 3, 0])
    with use_context(net, index):
        _, count = net(draw(4, 3), cache)
    assert count == cache["samples"] == 4
    assert ways[-1] == way


def test_a_vmap_inside_the_network_keeps_the_samples_apart():
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(2, 3, 3)

        def forward(self, x):
            return torch.vmap(self.body, in_dims=1, out_dims=1)(x)

    assert_equals_single_calls(built(Views()), draw(5, 5, 2, 4, 4))  # as many views as samples


class Centred(nn.Module):
    """Couples the samples in training mode."""

    def __init__(self, scale):
        super().__init__()
        self.body, self.centre, self.scale = nn.GRU(6, 6), nn.Identity(), scale

    def forward(self, x):
        y = self.body(x.transpose(0, 1))[0].transpose(0, 1)
        y = y - y.mean(0) if self.centre.training else y
        return torch.cat([y, torch.full_like(y, self.scale)], -1)


@pytest.mark.parametrize("scale", [0.0, -1e9])  # a number that masks others
def test_the_mode_of_a_part_makes_another_kind_of_call(scale):
    net, x = built(Centred(scale)).eval(), draw(5, 2, 6)
    assert_equals_single_calls(net, x)
    net.centre.train()
    with use_context(net, INDEX), pytest.raises(MixedBatchError, match="has other values"):
        net(x)


def test_samples_that_depend_on_each_other_beside_batch_norm_are_refused_by_name():
    net = built(Two(lambda net, x: net.norm(net.a(x - x.mean(0))))).eval()
    net.norm = nn.BatchNorm1d(6).double().train()
    with use_context(net, INDEX), pytest.raises(MixedBatchError, match="has other values"):
        net(draw(5, 6))


@pytest.mark.parametrize(
    "combine",
    [
        lambda net, x: net.a(x).detach().numpy(),
        lambda net, x: partial(print, net.a(x)).__call__,
        lambda net, x: deque([(net.a(x),)]),
        lambda net, x: net.slot.filled(net.a(x)),
    ],
)
def test_results_of_unknown_forms_are_refused_by_name(combine):
    net = built(Two(combine))
    net.slot = Slot()
    with use_context(net, INDEX), pytest.raises(MixedBatchError, match=r"batch (that )?mixes con"):
        net(draw(5, 6))


class Slot:
    """Has no attributes that can be found, and is the same object in every call."""

    __slots__ = ("value",)

    def filled(self, value):
        self.value = value
        return self


def test_arguments_are_as_before_after_a_call_that_fails():
    def combine(net, given, fails):
        given["x"].append(given["x"].pop() * 2)
        if fails[0]:
            raise ArithmeticError
        return net.a(given["x"][0])

    net, x = built(Two(combine)), draw(5, 6)
    given = {"x": [x]}
    with use_context(net, INDEX):
        net(given, [False])
        assert given["x"][0].equal(2 * x)
        given["x"][0] = x
        with pytest.raises(ArithmeticError):
            net(given, [True])
    assert given["x"][0] is x


def test_a_number_that_was_the_number_of_samples_by_chance_is_refused_by_name():
    net, x = built(Two(lambda net, x: (net.a(x), int((x[:, 0] > 0).sum())))), draw(5, 6).abs()
    with use_context(net, INDEX):
        net(x)
        x[0] *= -1
        with pytest.raises(MixedBatchError, match="for some samples"):
            net(x)


class Attributes(dict):
    """A dictionary whose keys are its attributes."""

    def __init__(self, **values):
        super().__init__(**values)
        self.__dict__ = self


def test_dictionaries_may_have_their_keys_as_attributes_and_lose_some():
    net, x = built(Two(lambda net, given: Attributes(y=net.a(given.pop("x"))))), draw(5, 6)
    given = Attributes(x=x, other=1)
    with use_context(net, INDEX):
        y = net(given).y
    assert list(given) == ["other"]
    for i, k in enumerate(INDEX.tolist()):
        with use_context(net, k):
            torch.testing.assert_close(y[i : i + 1], net(Attributes(x=x[i : i + 1])).y)


@pytest.mark.parametrize("read", [False, True])
def test_a_tensor_may_be_given_twice_and_changed(read):
    def combine(net, x, same):
        x.add_(x.sum().item() > 1e9 if read else 1)
        return net.a(same.mul_(2))

    net, x = built(Two(combine)), draw(5, 6)
    with use_context(net, INDEX):
        given = x.clone()
        mixed = net(given, given)
    for i, k in enumerate(INDEX.tolist()):
        with use_context(net, k):
            one = x[i : i + 1].clone()
            torch.testing.assert_close(mixed[i : i + 1], net(one, one))
            torch.testing.assert_close(given[i : i + 1], one)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_changed_argument_may_leave_its_container_and_another_be_expanded(mode):
    def combine(net, given, x, shared):
        y = given.pop("y")
        y.add_(1 if x.sum().item() > -1e9 else 2)
        return net.a(x + y + shared.nan_to_num())

    net, y, x = built(Two(combine)), draw(5, 6), draw(1, 6).expand(5, 6)
    shared = torch.full((1, 6), torch.nan, dtype=torch.float64)
    given, before = {"y": y}, y.clone()
    with use_context(net, INDEX), mode():
        mixed = net(given, x, shared)
    assert not given
    assert y.equal(before + 1)
    for i, k in enumerate(INDEX.tolist()):
        with use_context(net, k):
            expected = net({"y": before[i : i + 1]}, x[i : i + 1], shared)
        torch.testing.assert_close(mixed[i : i + 1], expected)


def test_what_batch_norm_in_training_keeps_of_the_batch_is_refused_by_name():
    def combine(net, x):
        net.last = net.norm(net.a(x))
        return net.last

    net = Two(combine)
    net.norm = nn.BatchNorm1d(6)
    net, index = built(net).train(), torch.tensor([0, 0, 0, 1, 1, 1])
    with use_context(net, index), pytest.raises(MixedBatchError, match="'last' keeps a tensor"):
        net(draw(6, 6))


@pytest.mark.parametrize("family", [BinaryContexts, RotationContexts])
def test_a_gradient_transform_may_be_around_the_first_call(family):
    torch.manual_seed(0)
    net, x = built(Tokens(), family=family), draw(5, 5, 6)
    with use_context(net, INDEX):
        mixed = torch.func.grad(lambda x: net(x).square().sum())(x)
    x.requires_grad_()
    torch.testing.assert_close(mixed, *torch.autograd.grad(single(net, x).square().sum(), x))


def test_an_argument_may_be_sparse():
    net, x = built(Two(lambda net, x: net.a(x.to_dense()))), draw(5, 6)
    torch.testing.assert_close(use_and_call(net, x.to_sparse()), use_and_call(net, x))
