import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils._pytree import tree_leaves, tree_map

from psp_contexts import BinaryContexts, ComplexContexts
from psp_nn import (
    ElasticWeightConsolidation,
    infer_context,
    learn_contexts,
    load,
    report,
    retrieve,
    save,
    store,
    superpose,
    use_context,
)

LAYERS = {
    "rnn": lambda: nn.RNN(6, 8, nonlinearity="relu"),
    "lstm": lambda: nn.LSTM(6, 8, num_layers=2, batch_first=True),
    "gru": lambda: nn.GRU(6, 8, bidirectional=True, bias=False),
    "projected": lambda: nn.LSTM(6, 8, num_layers=2, bidirectional=True, proj_size=4),
}
CELLS = {
    "rnn cell": lambda: nn.RNNCell(6, 8),
    "lstm cell": lambda: nn.LSTMCell(6, 8),
    "gru cell": lambda: nn.GRUCell(6, 8, bias=False),
}
CONTEXT = torch.tensor([3, 0, 3, 1])


def built(make, family=BinaryContexts, **options):
    torch.manual_seed(0)
    fixed = {"num_contexts": 4, "seed": 0, "base": False, "bias_per_context": True}
    options = fixed | options
    return superpose(make().double(), family=family, **options)


def sample_dim(layer):
    return 0 if isinstance(layer, nn.RNNCellBase) or layer.batch_first else 1


def sample_dims(layer):
    """Dimensions of the samples in the arguments."""
    if isinstance(layer, nn.RNNCellBase):
        return 0
    return {"input": sample_dim(layer), "hx": 1}


def inputs(layer, positions=7):
    shape = [4] if isinstance(layer, nn.RNNCellBase) else [positions]
    if not isinstance(layer, nn.RNNCellBase):
        shape.insert(sample_dim(layer), 4)
    return torch.randn(*shape, 6, dtype=torch.float64)


def states(layer):
    if isinstance(layer, nn.RNNCellBase):
        sizes = [(4, 8)] * (2 if isinstance(layer, nn.LSTMCell) else 1)
    else:
        rows = layer.num_layers * (1 + layer.bidirectional)
        sizes = [(rows, 4, layer.proj_size or 8), (rows, 4, 8)][: 1 + isinstance(layer, nn.LSTM)]
    drawn = tuple(torch.randn(size, dtype=torch.float64) for size in sizes)
    return drawn if len(drawn) > 1 else drawn[0]


def same(first, second):
    for one, other in zip(tree_leaves(first), tree_leaves(second), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_a_model_is_that_of_the_products_of_stored_weights_and_contexts(name, family):
    make = {**LAYERS, **CELLS}[name]
    if family(6, 1, seed=0).is_complex:
        with pytest.raises(ValueError, match="has no complex form"):
            built(make, family)
        return
    layer = built(make, family)
    x, hx = inputs(layer), states(layer)
    for k in (0, 3):
        plain = make().double()
        with torch.no_grad():
            for key, value in plain.named_parameters():
                stored = layer.stored(key)
                if key in layer.superposition.superposed:
                    dense = layer.contexts_for(key).matrix(k, dtype=torch.float64)
                    value.copy_(stored @ dense)
                else:
                    value.copy_(stored[k])
        model = retrieve(layer, k)
        assert type(model) is type(plain)
        with use_context(layer, k):
            same(layer(x), plain(x))
            same(layer(x, hx), plain(x, hx))
            same(model(x, hx), plain(x, hx))


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
@pytest.mark.parametrize("stateful", [False, True])
def test_a_mixed_batch_equals_one_call_for_each_sample(name, stateful):
    layer = built({**LAYERS, **CELLS}[name])
    dim = sample_dim(layer)
    state_dim = 0 if isinstance(layer, nn.RNNCellBase) else 1
    x = inputs(layer)
    hx = states(layer) if stateful else None
    with use_context(layer, CONTEXT, batch_dim=sample_dims(layer)):
        mixed = layer(x, hx)
    for n, k in enumerate(CONTEXT.tolist()):
        state = tree_map(lambda h, n=n: h.narrow(state_dim, n, 1), hx) if stateful else None
        with use_context(layer, k):
            alone = layer(x.narrow(dim, n, 1), state)
        is_cell = isinstance(layer, nn.RNNCellBase)
        for at, (one, all_) in enumerate(zip(tree_leaves(alone), tree_leaves(mixed), strict=True)):
            along = dim if at == 0 and not is_cell else state_dim
            torch.testing.assert_close(all_.narrow(along, n, 1), one)


@pytest.mark.parametrize("name", [*LAYERS, *CELLS])
def test_hooks_run_once_for_a_mixed_batch(name):
    layer = built({**LAYERS, **CELLS}[name])
    seen = []
    layer.register_forward_hook(lambda layer, args, output: seen.append(args[0].shape))
    x = inputs(layer)
    with use_context(layer, CONTEXT, batch_dim=sample_dims(layer)):
        layer(x)
    assert seen == [x.shape]


@pytest.mark.parametrize("name", LAYERS)
def test_sequences_as_long_as_the_batch_mix_contexts(name):
    layer = built(LAYERS[name])
    x = inputs(layer, positions=4)
    with use_context(layer, CONTEXT, batch_dim=sample_dims(layer)):
        mixed = layer(x)[0]
    with use_context(layer, 3):
        same(
            mixed.select(sample_dim(layer), 2),
            layer(x)[0].select(sample_dim(layer), 2),
        )


def test_mixed_batches_that_cannot_be_served_are_refused_by_name():
    layer = built(nn.Sequential(LAYERS["lstm"]()).double)[0]
    x = inputs(layer)
    with (
        use_context(layer, CONTEXT, batch_dim=1),
        pytest.raises(ValueError, match=r"input has shape \(4, 7, 6\), but .* along dimension 1"),
    ):
        layer(x)
    packed = pack_padded_sequence(x, [7, 5, 5, 2], batch_first=True)
    short = tree_map(lambda h: h[:, :3], states(layer))
    with use_context(layer, CONTEXT, batch_dim=sample_dims(layer)):
        with pytest.raises(ValueError, match="a PackedSequence holds tensors"):
            layer(packed)
        with pytest.raises(ValueError, match=r"hx has shape \(2, 3, 8\), but the batch mixes 4"):
            layer(x, short)
        with pytest.raises(ValueError, match=r"input has shape \(7, 6\), but the batch mixes 4"):
            layer(x[0])
        with pytest.raises(ValueError, match="layer '0' is used outside a call"):
            _ = layer.weight_ih_l0
    with pytest.raises(RuntimeError, match="Expected 6, got 5"):
        layer(x[..., :5])


def test_packed_and_unbatched_sequences_are_accepted():
    layer = built(LAYERS["lstm"])
    x = inputs(layer)
    use_context(layer, 2)
    output, _ = pad_packed_sequence(
        layer(pack_padded_sequence(x, [7, 5, 5, 2], batch_first=True))[0], batch_first=True
    )
    same(output[0], layer(x[0])[0])
    same(output[3, :2], layer(x[3, :2])[0])


def test_stored_and_saved_models_are_read_back(tmp_path):
    base = LAYERS["lstm"]().double().requires_grad_(False)
    for value in base.parameters():
        value.zero_()
    layer = built(lambda: base)
    model = LAYERS["lstm"]().double()
    store(layer, 3, model)
    x = inputs(layer)
    same(retrieve(layer, 3)(x), model(x))
    save(layer, tmp_path / "layer.safetensors")
    other = built(lambda: base)
    load(tmp_path / "layer.safetensors", into=other)
    with use_context(other, 3):
        same(other(x), model(x))


def test_every_weight_and_every_learned_context_gets_a_gradient():
    layer = built(LAYERS["projected"])
    use_context(layer, 1)
    layer(inputs(layer))[0].square().sum().backward()
    assert all(value.grad.abs().sum() > 0 for value in layer.parameters())
    learned = built(LAYERS["gru"], lambda *a, **o: BinaryContexts(*a, learned=True, **o))
    learn_contexts(learned)
    use_context(learned, 1)
    learned(inputs(learned))[0].square().sum().backward()
    assert all(c.grad.abs().sum() > 0 for c in learned.parameters() if c.requires_grad)


def test_copies_other_dtypes_and_assigned_tensors_are_used():
    layer = built(LAYERS["lstm"])
    x = inputs(layer)
    with use_context(layer, CONTEXT, batch_dim=sample_dims(layer)):
        expected = layer(x)
        same(copy.deepcopy(layer)(x), expected)
    use_context(layer, 3)
    assert layer.float()(x.float())[0].dtype == torch.float32
    layer.double()
    doubled = {
        key: 2 * value if value.is_floating_point() else value
        for key, value in layer.state_dict().items()
    }
    before = layer(x)[0]
    functional = torch.func.functional_call(layer, doubled, (x,))[0]
    layer.load_state_dict(doubled, assign=True)
    same(layer(x)[0], functional)
    assert not torch.equal(before, functional)
    assert not any(
        isinstance(value, list) and any(isinstance(v, torch.Tensor) for v in value)
        for value in vars(layer).values()
    )
    with pytest.raises(RuntimeError, match="'weight_hh_l1' of layer '' holds all models"):
        layer.weight_hh_l1 = nn.Parameter(torch.ones(32, 8))


class Last(nn.Module):
    """Classifies a sequence by the last state."""

    def __init__(self):
        super().__init__()
        self.read = nn.GRU(6, 16, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.read(x)[0][:, -1])


def test_a_network_with_a_recurrent_layer_learns_two_tasks():
    net = built(lambda: Last().float(), num_contexts=3).float()
    assert all(layer.superposed for layer in report(net).layers)
    x = torch.randn(60, 5, 6)
    labels = torch.stack([x[:, 1, :3].argmax(1), x[:, 3, 3:].argmax(1)])
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for step in range(160):
        use_context(net, step % 2)
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), labels[step % 2]).backward()
        optimiser.step()
    for k in range(2):
        with use_context(net, k):
            assert (net(x).argmax(1) == labels[k]).float().mean() > 0.9
    assert infer_context(net.eval(), x).evidence.shape == (3,)
    ewc = ElasticWeightConsolidation(net, strength=1.0)
    ewc.consolidate([x[:4]])
    assert ewc.penalty() == 0


def test_a_complex_family_is_refused_by_the_layers_name():
    with pytest.raises(ValueError, match="layer 'read' has no complex form, which ComplexCont"):
        built(Last, ComplexContexts)
