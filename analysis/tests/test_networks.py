"""Retrieval, overlap and interference inside networks, against their closed forms."""

import copy
import itertools
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import psp_contexts
from analysis.networks import (
    layer_inputs,
    network_overlap,
    network_retrieval,
    update_interference,
)
from analysis.retrieval import estimate
from psp_contexts import (
    BinaryContexts,
    ComplexContexts,
    IdentityContexts,
    KroneckerRotationContexts,
    PermutationContexts,
    SignedPermutationContexts,
)
from psp_data import PermutingStream, load
from psp_nn import store, superpose, superpose_models, use_context

FAMILIES = [
    getattr(psp_contexts, name)
    for name in psp_contexts.__all__
    if name.endswith("Contexts") and name not in ("Contexts", "DiagonalContexts")
]
REAL = [family for family in FAMILIES if not family.is_complex]
DRAWS = 16
"""Draws of the contexts over which a measurement is averaged."""

ERRORS = 7
"""Standard errors that a mean over draws may be off, which sixteen draws exceed once in 200,000."""


def superposed(net, family=BinaryContexts, num_contexts=3, base=False, **options):
    net = superpose(net, family=family, num_contexts=num_contexts, seed=0, base=base, **options)
    use_context(net, 1)
    return net.eval()


def weight_rows(net, path, key="weight"):
    layer = net.get_submodule(path)
    return layer.to_rows(key, getattr(layer, key))


CONVOLUTIONS = {
    "strides": (nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False), (5, 4, 9, 8)),
    "dilated": (nn.Conv2d(4, 6, (3, 2), dilation=(2, 1), bias=False), (5, 4, 9, 8)),
    "groups": (nn.Conv2d(4, 6, 3, groups=2, bias=False), (5, 4, 7, 7)),
    "same": (nn.Conv1d(4, 6, 3, padding="same", bias=False), (5, 4, 9)),
    "reflected": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect", bias=False), (2, 4, 5, 5)),
    "volume": (nn.Conv3d(2, 3, 2, bias=False), (2, 2, 4, 3, 3)),
    "one image": (nn.Conv2d(4, 6, 3, bias=False), (4, 5, 5)),
    "transposed": (
        nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 1), padding=1, bias=False),
        (5, 4, 6, 7),
    ),
    "transposed groups": (
        nn.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1, groups=2, bias=False),
        (5, 4, 7),
    ),
    "transposed volume": (
        nn.ConvTranspose3d(2, 4, 2, dilation=2, padding=3, bias=False),
        (3, 2, 5, 5, 5),
    ),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_patches_times_the_kernel_are_the_output_of_a_convolution(kind):
    layer, shape = CONVOLUTIONS[kind]
    net, x = superposed(nn.Sequential(layer)), torch.randn(shape)
    patches = layer_inputs(net, x, max_rows=10**6)["0.weight"]
    outputs = patches @ weight_rows(net, "0").mT
    with torch.no_grad():
        expected = net(x if x.dim() == layer.weight.dim() else x.unsqueeze(0))
    if layer.groups > 1:
        outputs = outputs.movedim(0, 1).flatten(1)
    torch.testing.assert_close(outputs, expected.movedim(1, -1).flatten(0, -2))


def test_contexts_of_channels_act_on_pixels():
    net, x = superposed(nn.Conv2d(4, 6, 1, bias=False), per_channel=True), torch.randn(2, 4, 3, 3)
    pixels = layer_inputs(net, x)["weight"]
    expected = net(x).movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(pixels @ net.to_rows("weight", net.weight).mT, expected)
    for layer in (nn.Conv2d(4, 6, 3), nn.ConvTranspose2d(4, 6, 3)):
        net = superposed(layer, per_channel=True)
        assert torch.equal(layer_inputs(net, x)["weight"], x.movedim(1, -1).flatten(0, -2))


@pytest.mark.parametrize("batch_first", [True, False])
def test_rows_of_attention_give_its_projections(batch_first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=batch_first)
    net, x = superposed(layer), torch.randn(3, 5, 8)
    inputs = layer_inputs(net, x)
    assert set(inputs) == {
        *(f"self_attn.in_proj_weight[{part}]" for part in ("query", "key", "value")),
        "self_attn.out_proj.weight",
        "linear1.weight",
        "linear2.weight",
    }
    for part in ("query", "key", "value"):
        assert torch.equal(inputs[f"self_attn.in_proj_weight[{part}]"], x.reshape(-1, 8))
    attention = net.self_attn
    attended = inputs["self_attn.out_proj.weight"] @ attention.out_proj.weight.T
    expected = attention(x, x, x)[0].reshape(-1, 8)
    torch.testing.assert_close(attended + attention.out_proj.bias, expected)
    crossed = superposed(nn.MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=True))
    query, key, value = x, torch.randn(3, 4, 6), torch.randn(3, 4, 4)

    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = crossed

        def forward(self, query):
            return self.attention(query, value=value, key=key)

    rows = layer_inputs(Cross(), query)
    assert torch.equal(rows["attention.k_proj_weight"], key.flatten(0, 1))
    assert torch.equal(rows["attention.v_proj_weight"], value.flatten(0, 1))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_rows_of_a_recurrent_layer_give_its_states(kind, bidirectional, batch_first):
    options = {"batch_first": batch_first, "bidirectional": bidirectional}
    net, x = superposed(kind(4, 6, num_layers=2, **options)), torch.randn(3, 5, 4)
    inputs, outputs = layer_inputs(net, x), net(x)[0]
    if batch_first:
        x, outputs = x.transpose(0, 1), outputs.transpose(0, 1)
    assert torch.equal(inputs["weight_ih_l0"], x.flatten(0, 1))
    states = torch.cat([torch.zeros_like(outputs[:1]), outputs[:-1]])[..., :6].flatten(0, 1)
    torch.testing.assert_close(inputs["weight_hh_l1"], states)
    if kind is nn.RNN:
        for suffix, part in (("_l1", 0), ("_l1_reverse", 1))[: 1 + bidirectional]:
            total = net.get_parameter(f"bias_ih{suffix}") + net.get_parameter(f"bias_hh{suffix}")
            for key in ("weight_ih", "weight_hh"):
                total = total + inputs[key + suffix] @ getattr(net, key + suffix).T
            expected = outputs.unflatten(-1, (-1, 6))[..., part, :]
            expected = expected.flip(0) if part else expected
            torch.testing.assert_close(total.tanh(), expected.flatten(0, 1))


def test_a_cell_has_rows_and_an_embedding_none():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.cell = nn.Embedding(7, 4), nn.GRUCell(4, 3)

        def forward(self, words):
            state = None
            for word in self.words(words).unbind(1):
                state = self.cell(word, state)
            return state

    net, words = superposed(Reader()), torch.tensor([[1, 6, 0], [3, 3, 2]])
    inputs = layer_inputs(net, words)
    assert list(inputs) == ["cell.weight_ih", "cell.weight_hh"]
    assert inputs["cell.weight_ih"].shape == (6, 4)
    assert inputs["cell.weight_hh"].shape == (6, 3)
    assert not inputs["cell.weight_hh"][:2].any()


def test_a_tied_weight_has_the_rows_of_all_of_its_layers():
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 4, bias=False))
    net[2].weight = net[0].weight
    net, x = superposed(net), torch.randn(5, 4)
    rows = layer_inputs(net, x)
    assert list(rows) == ["0.weight"]
    torch.testing.assert_close(rows["0.weight"], torch.cat([x, net[:2](x).detach()]))


def test_a_transformer_with_padding_calls_its_layers_on_plain_tensors():
    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=True)

        def forward(self, x):
            padding = torch.arange(5) >= torch.tensor([[5], [3]])
            return self.encoder(x, src_key_padding_mask=padding)

    enabled = torch.backends.mha.get_fastpath_enabled()
    rows = layer_inputs(superposed(Padded()), torch.randn(2, 5, 8))
    assert len(rows) == 2 * 6
    assert {len(x) for x in rows.values()} == {10}
    assert torch.backends.mha.get_fastpath_enabled() == enabled


def test_reading_inputs_leaves_norms_and_modes_alone():
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 2))
    net = superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    use_context(net, 1)
    net.train()
    net[2].eval()
    before, modes = copy.deepcopy(net.state_dict()), [each.training for each in net.modules()]
    first, second = (layer_inputs(net, torch.ones(5, 4) * 3)["3.weight"] for _ in range(2))
    assert torch.equal(first, second)
    assert [each.training for each in net.modules()] == modes
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_rows_are_drawn_from_all_and_unused_layers_left_out():
    net = nn.ModuleDict({"used": nn.Linear(4, 4), "unused": nn.Linear(4, 4)})
    net.forward = lambda x: net["used"](net["used"](x))
    net = superposed(net)
    net.forward = lambda x: net["used"](net["used"](x))
    x = torch.randn(100, 4)
    inputs = layer_inputs(net, x, max_rows=50, seed=1)
    assert list(inputs) == ["used.weight"]
    both = torch.cat([x, net["used"](x).detach()])
    drawn = [int((row == both).all(-1).nonzero()[0]) for row in inputs["used.weight"]]
    assert len(set(drawn)) == 50
    assert min(drawn) < 100 <= max(drawn)
    with pytest.raises(ValueError, match="nothing in net is superposed"):
        layer_inputs(nn.Linear(2, 2), x)


def mlp(sizes):
    layers = [nn.Linear(*pair) for pair in itertools.pairwise(sizes)]
    return nn.Sequential(*(module for layer in layers for module in (layer, nn.Tanh())))


def fine_tuned(base, count):
    models = [copy.deepcopy(base) for _ in range(count)]
    with torch.no_grad():
        for value in (value for model in models for value in model.parameters()):
            value.add_(0.3 * torch.randn_like(value))
    return models


BUILDS = {
    "linear": lambda size: (mlp([size, size, 6]), (64, size)),
    "convolution": lambda size: (
        nn.Sequential(nn.Conv2d(2, 4, 2), nn.ReLU(), nn.Conv2d(4, 6, 2, groups=2)),
        (4, 2, 6, 6),
    ),
    "attention": lambda size: (
        nn.TransformerEncoderLayer(8, 2, size, dropout=0.0, batch_first=True).eval(),
        (4, 6, 8),
    ),
    "recurrent": lambda size: (nn.GRU(4, 6, batch_first=True), (8, 5, 4)),
}


@settings(max_examples=3, deadline=None)
@given(
    kind=st.sampled_from(sorted(BUILDS)),
    seed=st.integers(0, 10**6),
    models=st.integers(2, 4),
    size=st.sampled_from([6, 9, 12]),
    two_sided=st.booleans(),
)
@pytest.mark.parametrize("family", REAL)
def test_noise_in_networks_is_that_of_the_closed_form(family, kind, seed, models, size, two_sided):
    torch.manual_seed(seed)
    base, shape = BUILDS[kind](size)
    tuned, samples = fine_tuned(base, models), torch.randn(shape)
    measured, expected = {}, {}
    for draw in range(DRAWS):
        options = {"family": family, "seed": draw, "base": base, "two_sided": two_sided}
        net = superpose_models(tuned, **options).net
        for layer in network_retrieval(net, tuned, samples, read=models - 1):
            # The inputs of deeper layers vary with the noise of those before.
            measured.setdefault(layer.name, []).append(layer.noise - layer.expected_noise)
            expected.setdefault(layer.name, []).append(layer.expected_noise)
    for name, differences in measured.items():
        found = estimate(torch.tensor(differences))
        scale = sum(expected[name]) / len(expected[name])
        assert found.agrees(0.0, errors=ERRORS, rounding=1e-5 * max(scale, 1.0)), name


def test_signal_and_alignment_are_those_of_the_models_difference():
    base = mlp([5, 4])
    models = fine_tuned(base, 3)
    net = superpose_models(models, family=SignedPermutationContexts, seed=0, base=base).net
    x = torch.randn(50, 5)
    (layer,) = network_retrieval(net, models, x, read=1)
    difference = (models[1][0].weight - base[0].weight).detach()
    powers = (x @ difference.T).square().sum(-1)
    assert layer.signal == pytest.approx(float(powers.mean()), rel=1e-4)
    rho2 = powers / (difference.square().sum() * x.square().sum(-1))
    assert layer.squared_alignment == pytest.approx(float(rho2.mean()), rel=1e-4)
    with use_context(net, 1), torch.no_grad():
        noise = (net[0](x) - models[1][0](x)).square().sum(-1).mean()
    assert layer.noise == pytest.approx(float(noise), rel=1e-3)
    assert layer.snr == pytest.approx(layer.signal / layer.noise)


def test_what_is_no_sum_of_models_is_refused():
    base, x = mlp([6, 4, 6]), torch.randn(3, 6)
    models = fine_tuned(base, 2)
    net = superpose_models(models, family=PermutationContexts, seed=0, base=base).net
    with pytest.raises(IndexError, match="read=2 is not one of the 2 models"):
        network_retrieval(net, models, x, read=2)
    fresh = superposed(base, num_contexts=2)
    with pytest.raises(ValueError, match=r"'0\.weight' holds something else than the 2 models"):
        network_retrieval(fresh, models, x, read=0)
    alone = superpose(base, family=BinaryContexts, num_contexts=1, seed=0, base=False)
    with pytest.raises(ValueError, match="needs two contexts"):
        network_overlap(alone, x)
    states = [net.state_dict()] * 2
    with pytest.raises(IndexError, match="model=1 must be followed by another one"):
        update_interference(net, states, x, model=1)


COMPLEX = [family for family in FAMILIES if family.is_complex]


def exact(values):
    return estimate(torch.tensor(values, dtype=torch.float64))


@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize("family", [*COMPLEX, PermutationContexts, IdentityContexts])
def test_biased_and_complex_families_keep_to_the_closed_form_in_groups(family, two_sided):
    torch.manual_seed(0)
    base = nn.Sequential(nn.Conv2d(4, 6, 2, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 5))
    models = fine_tuned(base, 3)
    for model in models:  # differences and inputs with means, which biased families leave in place
        for value in model.parameters():
            value.data.add_(0.3)
    samples = torch.randn(3, 4, 3, 3) + 1
    measured, expected = {}, {}
    for draw in range(DRAWS):
        options = {"family": family, "seed": draw, "num_contexts": 3, "bias_per_context": True}
        net = superpose(base, base=True, two_sided="*" if two_sided else False, **options)
        for k, model in enumerate(models):
            store(net, k, model)
        for layer in network_retrieval(net, models, samples, read=1):
            measured.setdefault(layer.name, []).append(layer.noise / layer.expected_noise - 1)
            expected[layer.name] = layer.expected_noise
    assert list(measured) == ["0.weight", "3.weight"]
    for name, ratios in measured.items():
        assert exact(ratios).agrees(0.0, errors=ERRORS, rounding=1e-4), name
        assert two_sided or family is IdentityContexts or exact(ratios).error > 1e-3


def test_permuted_outputs_have_the_noise_of_every_order_of_the_units():
    # Without contexts on the inputs all that is drawn is the order of the units of the two other
    # models, relative to that of the model read.
    torch.manual_seed(0)
    base, x = nn.Linear(4, 3), torch.randn(5, 4)
    models = fine_tuned(base, 3)
    options = {"family": IdentityContexts, "seed": 0, "num_contexts": 3, "bias_per_context": True}
    net = superpose(base, base=True, two_sided="*", **options)
    for k, model in enumerate(models):
        store(net, k, model)
    (layer,) = network_retrieval(net, models, x, read=0)
    first, second = (x @ (model.weight - base.weight).T.detach() for model in models[1:])
    orders = [list(order) for order in itertools.permutations(range(3))]
    powers = [
        (first[:, one] + second[:, other]).square().sum(-1).mean()
        for one, other in itertools.product(orders, orders)
    ]
    assert layer.expected_noise == pytest.approx(float(torch.stack(powers).mean()), rel=1e-4)


def test_attention_between_sequences_has_its_own_inputs_in_every_projection():
    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x, 2 * x, torch.zeros_like(x))[0]

    base, x = Cross(), torch.randn(3, 5, 8)
    models = fine_tuned(base, 2)
    for model in models:
        model.attention.out_proj.weight.data.copy_(base.attention.out_proj.weight)
    net = superpose_models(models, family=BinaryContexts, seed=0, base=base).net
    layers = {layer.name: layer for layer in network_retrieval(net, models, x, read=0)}
    thirds = (models[0].attention.in_proj_weight - base.attention.in_proj_weight).chunk(3)
    for part, third, scale in zip(("query", "key", "value"), thirds, (1, 2, 0), strict=True):
        power = float((scale * x @ third.T.detach()).square().sum(-1).mean())
        assert layers[f"attention.in_proj_weight[{part}]"].signal == pytest.approx(power, rel=1e-4)


def test_learned_contexts_are_measured_without_a_closed_form():
    base, x = nn.Linear(8, 4), torch.randn(20, 8)
    models = fine_tuned(base, 2)
    options = {"family": partial(BinaryContexts, learned=True), "seed": 0, "num_contexts": 2}
    net = superpose(base, base=True, bias_per_context=True, **options)
    states = [copy.deepcopy(net.state_dict())]
    for k, model in enumerate(models):
        store(net, k, model)
        states.append(copy.deepcopy(net.state_dict()))
    (layer,) = network_retrieval(net, models, x, read=0)
    assert layer.noise > 0
    assert layer.expected_noise is layer.expected_snr is None
    (overlap,) = network_overlap(net, x)
    assert 0 < overlap.overlap <= 1
    assert overlap.expected_overlap is None
    (update,) = update_interference(net, states, x, model=0)
    assert len(update.measured) == 2
    assert update.expected is None


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([8, 12]), share=st.floats(0.3, 0.99))
@pytest.mark.parametrize("family", FAMILIES)
def test_overlap_in_networks_is_that_of_the_closed_form(family, seed, size, share):
    torch.manual_seed(seed)
    net, x = mlp([size, size]), torch.randn(40, size) * torch.rand(size)
    overlaps, expected = [], 0.0
    for draw in range(6):
        many = superpose(net, family=family, num_contexts=40, seed=draw, base=False)
        (layer,) = network_overlap(many, x, energy=share, pairs=50, seed=seed)
        overlaps.append(layer.overlap)
        expected = layer.expected_overlap
        assert 1 <= layer.coherence * (1 + 1e-6)
    energies = torch.linalg.svdvals(x).square()
    assert energies[: layer.rank].sum() >= share * energies.sum() * (1 - 1e-6)
    assert energies[: layer.rank - 1].sum() < share * energies.sum()
    assert estimate(torch.tensor(overlaps)).agrees(expected, errors=ERRORS, rounding=1e-5)


def test_overlap_is_reported_for_each_group():
    net = superposed(nn.Conv2d(4, 6, 2, groups=2), base=True)
    layers = network_overlap(net, torch.randn(4, 4, 5, 5))
    assert [layer.name for layer in layers] == ["weight[0]", "weight[1]"]
    assert {layer.dim for layer in layers} == {8}


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10**6), tasks=st.integers(2, 4), base=st.booleans())
@pytest.mark.parametrize("family", FAMILIES)
def test_updates_interfere_as_the_closed_form_says(family, seed, tasks, base):
    torch.manual_seed(seed)
    seen = [torch.randn(4, 8) for _ in range(tasks)]
    x, differences = torch.randn(30, 8), []
    for draw in range(DRAWS):
        options = {"base": base, "two_sided": "*" if base else None}
        net = superpose(nn.Linear(8, 4), family=family, num_contexts=tasks, seed=draw, **options)
        states = []
        for task, update in enumerate(seen):
            with torch.no_grad():
                net.add_to_model("weight", task, update.to(net.stored()))
            states.append(copy.deepcopy(net.state_dict()))
        (layer,) = update_interference(net, states, x, model=0)
        differences.append([m - e for m, e in zip(layer.measured, layer.expected, strict=True)])
    for column in zip(*differences, strict=True):
        assert estimate(torch.tensor(column)).agrees(0.0, errors=ERRORS, rounding=1e-4)


@pytest.mark.parametrize("family", [BinaryContexts, KroneckerRotationContexts, ComplexContexts])
def test_a_network_trained_on_a_stream_forgets_by_the_closed_form(family):
    tasks, steps = 5, 40
    stream = PermutingStream(load("digits"), tasks, seed=0, batch_size=64, steps_per_task=steps)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    net = superpose(net, family=family, num_contexts=tasks, seed=0, base=False)
    optimiser, states = torch.optim.RMSprop(net.parameters(), lr=1e-3), []
    for step in range(tasks * steps):
        use_context(net, stream.context(step))
        x, labels = stream.train_batch(step)
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()
        optimiser.step()
        if (step + 1) % steps == 0:
            states.append(copy.deepcopy(net.state_dict()))
    samples = stream.test_set(0)[0][:200]
    layers = update_interference(net, states, samples, model=0)
    assert [layer.name for layer in layers] == ["1.weight", "3.weight"]
    for layer in layers:
        assert len(layer.measured) == tasks - 1
        ratio = sum(layer.measured) / sum(layer.expected)
        assert 0.5 < ratio < 2  # one draw of contexts, few units
        assert 0 < max(layer.measured) < layer.signal
