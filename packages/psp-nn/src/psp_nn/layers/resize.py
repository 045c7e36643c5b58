"""Contexts and tables for another number of models."""

import json
from typing import Any

import torch
from torch import Tensor

from psp_contexts import Contexts
from psp_nn.layers.superposed import Superposed, contexts_name, output_contexts_name


def resize_contexts(contexts: Contexts, num_contexts: int) -> Contexts:
    """Return contexts of the same family and seed in another number.

    Learned ones start as drawn.

    Raises:
        ValueError: If the family draws other contexts for another number.
    """
    arguments = {key: value for key, value in contexts.spec().items() if key != "family"}
    resized = type(contexts)(**{**arguments, "num_contexts": num_contexts})
    if "cache_bytes" in contexts.__dict__:
        resized.cache_bytes = contexts.cache_bytes
    last = min(num_contexts, contexts.num_contexts) - 1
    for context in (0, last):
        if not all(map(torch.equal, contexts.draw(context), resized.draw(context))):
            raise ValueError(
                f"{type(contexts).__name__} draws another context {context} for num_contexts="
                f"{num_contexts} than for {contexts.num_contexts}; superpose a new network."
            )
    return resized


def fit_smaller_state(layer: Superposed, state_dict: dict[str, Any], prefix: str) -> None:
    """Fit the state that a layer had before `grow` to its present size.

    The entries of later models stay as they are in the layer.
    """
    for name in layer.superposition.per_context:
        table = layer._parameters.get(name)
        _fit(state_dict, prefix + name, layer._buffers.get(name) if table is None else table)
    for name in layer.superposition.superposed:
        for child in (contexts_name(name), output_contexts_name(name)):
            contexts = layer._modules.get(child)
            if isinstance(contexts, Contexts):
                _fit_contexts(contexts, state_dict, f"{prefix}{child}.")


def _fit_contexts(contexts: Contexts, state_dict: dict[str, Any], prefix: str) -> None:
    key = f"{prefix}_extra_state"
    saved, spec = _read_spec(state_dict.get(key)), contexts.spec()
    count = saved.get("num_contexts")
    if not isinstance(count, int) or saved != {**spec, "num_contexts": count}:
        return  # the contexts themselves refuse it
    if count < contexts.num_contexts:
        state_dict[key] = contexts.get_extra_state()
        for name, parameter in contexts.named_parameters():
            _fit(state_dict, prefix + name, parameter)


def _read_spec(state: Any) -> dict[str, Any]:
    try:
        return dict(json.loads(bytes(map(round, state.tolist()))))
    except (AttributeError, ValueError, TypeError, OverflowError, RecursionError):
        return {}


def _fit(state_dict: dict[str, Any], key: str, table: Tensor | None) -> None:
    """Append to a saved table the entries that it lacks."""
    value = state_dict.get(key)
    if (
        isinstance(value, Tensor)
        and table is not None
        and value.dim() == table.dim()
        and value.shape[1:] == table.shape[1:]
        and len(value) < len(table)
    ):
        state_dict[key] = torch.cat([value, table.detach()[len(value) :].to(value)])
