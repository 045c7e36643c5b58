"""Inputs of the weights of recurrent layers, which their fused kernels do not show."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, unpack_sequence

from psp_nn import retrieve

Rows = dict[str, Tensor]


def recurrent_rows(layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Rows:
    """Return the rows of every weight in one call of a recurrent layer, by the weight's name."""
    given = {"hx": None, **dict(zip(("input", "hx"), args, strict=False)), **kwargs}
    x, state = given["input"], given["hx"]
    plain = retrieve(layer, layer.superposition.selection.index)
    if isinstance(x, PackedSequence):
        return _packed_rows(plain, x, state)
    if x.dim() == 2:  # one sequence
        x, state = x.unsqueeze(1), _map(state, lambda part: part.unsqueeze(1))
    elif layer.batch_first:
        x = x.transpose(0, 1)
    return _sequence_rows(plain, x, state)


def _packed_rows(plain: Any, packed: PackedSequence, state: Any) -> Rows:
    """Run sequences of different lengths one by one."""
    found: dict[str, list[Tensor]] = {}
    for index, sequence in enumerate(unpack_sequence(packed)):
        own = _map(state, lambda part, at=index: part[:, at : at + 1])
        for name, rows in _sequence_rows(plain, sequence.unsqueeze(1), own).items():
            found.setdefault(name, []).append(rows)
    return {name: torch.cat(rows) for name, rows in found.items()}


def _sequence_rows(plain: Any, x: Tensor, state: Any) -> Rows:
    """Run the inner layers one by one, which shows their states.

    Args:
        plain: An ordinary layer.
        x: Shape (time, batch, features).
        state: Its first state, with all inner layers, or None.
    """
    rows: Rows = {}
    directions = 1 + plain.bidirectional
    for depth in range(plain.num_layers):
        outputs = []
        for direction in range(directions):
            suffix = f"_l{depth}{'_reverse' * direction}"
            index = depth * directions + direction
            start = _map(state, lambda part, at=index: part[at : at + 1])
            sequence = x.flip(0) if direction else x
            output = _run(plain, suffix, sequence, start, rows)
            outputs.append(output.flip(0) if direction else output)
        x = torch.cat(outputs, -1)
    return rows


def _run(plain: Any, suffix: str, x: Tensor, start: Any, rows: Rows) -> Tensor:
    """Run one inner layer in one direction, and add the rows of its weights to `rows`."""
    weights = {
        name: plain.get_parameter(name + suffix)
        for name in ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") * plain.bias))
    }
    if plain.proj_size:
        weights["weight_hr"] = plain.get_parameter(f"weight_hr{suffix}")
    output: Tensor = _single(plain, weights)(x, start)[0]
    hidden, cell = start if isinstance(start, tuple) else (start, None)
    first = torch.zeros_like(output[:1]) if hidden is None else hidden
    before = torch.cat([first, output[:-1]])
    rows[f"weight_ih{suffix}"] = x.flatten(0, 1)
    rows[f"weight_hh{suffix}"] = before.flatten(0, 1)
    if plain.proj_size:
        # With the states among its inputs the layer needs neither recurrence nor projection, and
        # returns what is projected.
        inputs, states = weights["weight_ih"], weights.pop("weight_hh")
        weights["weight_ih"] = torch.cat([inputs, states], 1)
        weights["weight_hh"] = inputs.new_zeros(len(inputs), plain.hidden_size)
        del weights["weight_hr"]
        begin = None if cell is None else (torch.zeros_like(cell), cell)
        whole = _single(plain, weights)(torch.cat([x, before], -1), begin)[0]
        rows[f"weight_hr{suffix}"] = whole.flatten(0, 1)
    return output


def _single(plain: Any, weights: Mapping[str, Tensor]) -> Any:
    """Return a recurrent layer of the kind of `plain`, one layer deep, with these weights."""
    options: dict[str, Any] = {"bias": plain.bias}
    if type(plain) is nn.RNN:
        options["nonlinearity"] = plain.nonlinearity
    if "weight_hr" in weights:
        options["proj_size"] = plain.proj_size
    single = type(plain)(weights["weight_ih"].shape[1], plain.hidden_size, **options)
    for name, value in weights.items():
        single.get_parameter(f"{name}_l0").copy_(value)
    return single.to(weights["weight_ih"])


def _map(state: Any, change: Callable[..., Tensor]) -> Any:
    """Apply a function to a state: None, a tensor, or the two of an LSTM."""
    if state is None:
        return None
    return tuple(map(change, state)) if isinstance(state, tuple) else change(state)
