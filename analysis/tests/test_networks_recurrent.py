"""Inputs of recurrent layers, against a loop over the steps of each sequence."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from analysis.networks import layer_inputs, update_interference
from psp_contexts import BinaryContexts
from psp_nn import superpose, use_context

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")

KINDS = {
    "RNN": (nn.RNN, {}),
    "RNN, relu": (nn.RNN, {"nonlinearity": "relu"}),
    "GRU": (nn.GRU, {}),
    "LSTM": (nn.LSTM, {}),
    "LSTM, projected": (nn.LSTM, {"proj_size": 2}),
}


class Reader(nn.Module):
    """A layer whose network receives its state, too."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, given):
        return self.layer(*given)


def superposed(layer):
    net = superpose(Reader(layer), family=BinaryContexts, num_contexts=3, seed=0, base=False)
    use_context(net, 2)
    return net


def step(layer, suffix, x, hidden, cell, found):
    """Take one step, and note what each weight multiplies."""
    w = {key: getattr(layer, f"{key}_{suffix}") for key in ("weight_ih", "weight_hh")}
    found.setdefault(f"layer.weight_ih_{suffix}", []).append(x)
    found.setdefault(f"layer.weight_hh_{suffix}", []).append(hidden)
    ih, hh = w["weight_ih"] @ x, w["weight_hh"] @ hidden
    if layer.bias:
        ih = ih + getattr(layer, f"bias_ih_{suffix}")
        hh = hh + getattr(layer, f"bias_hh_{suffix}")
    if isinstance(layer, nn.LSTM):
        i, f, g, o = (ih + hh).chunk(4)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
        if layer.proj_size:
            found.setdefault(f"layer.weight_hr_{suffix}", []).append(hidden)
            hidden = getattr(layer, f"weight_hr_{suffix}") @ hidden
    elif isinstance(layer, nn.GRU):
        (r, z, n), (hr, hz, hn) = ih.chunk(3), hh.chunk(3)
        z = (z + hz).sigmoid()
        hidden = (1 - z) * (n + (r + hr).sigmoid() * hn).tanh() + z * hidden
    else:
        hidden = getattr(torch, layer.nonlinearity)(ih + hh)
    return hidden, cell


def rows_of_steps(layer, sequences, hidden, cell):
    found = {}
    for index, sequence in enumerate(sequences):
        x = list(sequence)
        for depth in range(layer.num_layers):
            outputs = []
            for direction in range(1 + layer.bidirectional):
                at = (depth * (1 + layer.bidirectional) + direction, index)
                h, c, states = hidden[at], cell[at], []
                for row in reversed(x) if direction else x:
                    h, c = step(layer, f"l{depth}" + "_reverse" * direction, row, h, c, found)
                    states.append(h)
                outputs.append(states[::-1] if direction else states)
            x = [torch.cat(parts) for parts in zip(*outputs, strict=True)]
    return {name: torch.stack(rows) for name, rows in found.items()}


def in_any_order(rows):
    return rows[(rows @ torch.arange(1.0, rows.shape[1] + 1).sqrt()).argsort()]


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    bias=st.booleans(),
    given_state=st.booleans(),
    form=st.sampled_from(["padded", "batch first", "single", "packed"]),
    seed=st.integers(0, 10**6),
)
def test_rows_of_recurrent_weights_are_those_of_a_loop_over_steps(
    kind, lengths, layers, bidirectional, bias, given_state, form, seed
):
    torch.manual_seed(seed)
    build, options = KINDS[kind]
    options = {**options, "num_layers": layers, "bidirectional": bidirectional, "bias": bias}
    layer = build(3, 4, batch_first=form == "batch first", **options)
    if form != "packed":
        lengths = [lengths[0]] * (1 if form == "single" else len(lengths))
    sequences = [torch.randn(length, 3) for length in lengths]
    count = layers * (1 + bidirectional)
    hidden = torch.zeros(count, len(lengths), layer.proj_size or 4)
    cell = torch.zeros(count, len(lengths), 4)
    if given_state:
        hidden, cell = torch.randn_like(hidden), torch.randn_like(cell)
    if form == "packed":
        x = pack_sequence(sequences, enforce_sorted=False)
    else:
        x = torch.stack(sequences, int(form != "batch first"))
    state = (hidden, cell)
    if form == "single":
        x, state = x.squeeze(1), (hidden.squeeze(1), cell.squeeze(1))
    state = state if isinstance(layer, nn.LSTM) else state[0]
    net = superposed(layer)
    found = layer_inputs(net, (x, state) if given_state else (x,))
    with torch.no_grad():
        expected = rows_of_steps(net.layer, sequences, hidden, cell)
    assert found.keys() == expected.keys()
    for name, rows in found.items():
        torch.testing.assert_close(in_any_order(rows), in_any_order(expected[name]))


def test_a_projection_is_measured_as_other_weights_are():
    torch.manual_seed(0)
    layer = nn.LSTM(3, 6, proj_size=2)
    net, states = superpose(layer, family=BinaryContexts, num_contexts=2, seed=0, base=False), []
    for model in range(2):
        with torch.no_grad():
            net.add_to_model("weight_hr_l0", model, torch.ones(2, 6))
        states.append({name: value.clone() for name, value in net.state_dict().items()})
    x = torch.randn(5, 40, 3)
    net.load_state_dict(states[0])
    power = layer_inputs(net, x)["weight_hr_l0"].square().sum(-1).mean().item()
    (*_, projection) = update_interference(net, states, x, model=0)
    assert projection.name == "weight_hr_l0"
    assert projection.expected == pytest.approx((2 * power,), rel=1e-4)
