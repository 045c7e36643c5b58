"""Tensors of a superposition that go into a file, as views of its own."""

from typing import Any

import torch
from torch import Tensor, nn

from psp_contexts import Contexts
from psp_nn._context_index import checked_layers, num_contexts_of, one_context, superposed_layers
from psp_nn._model_values import dotted
from psp_nn.layers.layer import Layer
from psp_nn.layers.linear_per_context import NUM_OUTPUTS, LinearPerContext
from psp_nn.layers.model_record import ModelRecord
from psp_nn.layers.resize import resize_contexts
from psp_nn.layers.superposed import base_name, contexts_name


def state_tensors(caller: str, argument: str, net: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of a superposition without the specs of contexts and the record.

    Raises:
        ValueError: If nothing in the network is superposed, or part of its state is not a tensor
            with data.
    """
    checked_layers(caller, argument, net)
    extra = {
        dotted(path, "_extra_state"): isinstance(module, Contexts | ModelRecord)
        for path, module in net.named_modules(remove_duplicate=False)
        if type(module).get_extra_state is not nn.Module.get_extra_state
    }
    tensors = {name: value for name, value in net.state_dict().items() if not extra.get(name)}
    for name, value in tensors.items():
        if name in extra or not isinstance(value, Tensor) or value.is_meta:
            raise ValueError(
                f"{caller}: in {argument}, '{name}' is the extra state of a module or a tensor "
                "without data, which the file format does not support."
            )
    return tensors


def first_entries(
    net: nn.Module, tensors: dict[str, Tensor], num_contexts: int
) -> dict[str, Tensor]:
    """Return the tensors of the first models of a superposition, as views of its own."""
    tensors = dict(tensors)
    for path, layer in net.named_modules(remove_duplicate=False):
        if isinstance(layer, Layer):
            for key in layer.superposition.per_context:
                name = dotted(path, key)
                tensors[name] = tensors[name][:num_contexts]
    for path, contexts in first_contexts(net, num_contexts).items():
        for key, table in contexts.named_parameters():
            name = dotted(path, key)
            tensors[name] = tensors[name][: len(table)]
    return tensors


def without_base_entries(net: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without the norms and biases of the base, which version 1 did not save."""
    names = {
        dotted(path, base_name(key))
        for path, layer in net.named_modules(remove_duplicate=False)
        if isinstance(layer, Layer)
        for key in layer.superposition.per_context
    }
    return {name: value for name, value in tensors.items() if name not in names}


def model_tensors(
    caller: str, argument: str, net: nn.Module, context: int | str | Tensor
) -> dict[str, Tensor]:
    """Return what belongs to one model alone, as views: norms, biases and learned contexts.

    Raises:
        ValueError: If nothing does, or learned parameters belong to several models.
    """
    layers = checked_layers(caller, argument, net)
    k, tensors = one_context(caller, layers, context), {}
    for path, layer in net.named_modules(remove_duplicate=False):
        if not isinstance(layer, Layer):
            continue
        state = layer.superposition
        for key in state.per_context:
            table = layer.table(key)
            assert table is not None
            tensors[dotted(path, key)] = table.detach()[k]
        for key in state.superposed:
            contexts = layer.contexts_for(key)
            each = contexts.num_contexts // state.num_contexts
            for name, rows in contexts.named_parameters():
                if rows.shape != (contexts.num_contexts, contexts.dim):
                    raise ValueError(
                        f"{caller}: the learned {type(contexts).__name__} of layer '{state.name}' "
                        "share parameters between models; save the whole network."
                    )
                name = dotted(path, f"{contexts_name(key)}.{name}")
                tensors[name] = rows.detach()[k * each : (k + 1) * each]
    if not tensors:
        raise ValueError(
            f"{caller}: no tensor of {argument} belongs to one model alone, no norm, bias or "
            "learned context; a whole model is what retrieve returns."
        )
    return tensors


def output_dims(net: nn.Module) -> dict[str, int]:
    """Return the dimension of the outputs in the tensors of heads of different sizes, by name."""
    return {
        dotted(path, name): dim
        for path, layer in net.named_modules(remove_duplicate=False)
        if isinstance(layer, LinearPerContext) and layer.has_sizes
        for key, dim in layer.row_dims.items()
        for name in (key, base_name(key))
    }


def without_unused_rows(net: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without the rows of heads that none of their models uses."""
    tensors = dict(tensors)
    for name, dim in output_dims(net).items():
        path = name.rpartition(".")[0]
        sizes = [dotted(path, key) for key in (NUM_OUTPUTS, base_name(NUM_OUTPUTS))]
        used = max(int(tensors[key].max()) for key in sizes if key in tensors)
        if name in tensors:
            tensors[name] = tensors[name].narrow(dim, 0, used)
    return tensors


def with_saved_rows(net: nn.Module, tensors: dict[str, Tensor], file: Any) -> dict[str, Tensor]:
    """Return the tensors with as many outputs as heads of different sizes have in the file.

    Those with another number than in the network have no data.
    """
    tensors, names = dict(tensors), set(file.keys())
    for name, dim in output_dims(net).items():
        if name in tensors and name in names:
            shape, saved = list(tensors[name].shape), file.get_slice(name).get_shape()
            if len(saved) == len(shape) and saved[dim] != shape[dim]:
                shape[dim] = saved[dim]
                tensors[name] = tensors[name].new_empty(shape, device="meta")
    return tensors


def as_real(value: Tensor) -> Tensor:
    """View a complex tensor as a real one: safetensors has no complex dtype."""
    return torch.view_as_real(value) if value.is_complex() else value


def first_contexts(net: nn.Module, num_contexts: int) -> dict[str, Contexts]:
    """Return the contexts of a superposition by all their names, for the first models."""
    present = num_contexts_of(superposed_layers(net))
    first: dict[Contexts, Contexts] = {}
    for module in net.modules():
        if isinstance(module, Contexts):
            count = module.num_contexts // present * num_contexts
            same = count == module.num_contexts
            first[module] = module if same else resize_contexts(module, count)
    return {
        path: first[module]
        for path, module in net.named_modules(remove_duplicate=False)
        if isinstance(module, Contexts)
    }
