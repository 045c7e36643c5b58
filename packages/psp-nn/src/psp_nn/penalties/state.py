"""Helpers for the state dicts of penalties."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

State = dict[str, Any]


def zero_penalty(net: nn.Module) -> Tensor:
    """Return a real zero with the dtype and on the device of the network's parameters."""
    parameter = next(net.parameters(), torch.empty(0))
    return parameter.detach().real.new_zeros(())


def fit_rows(caller: str, name: str, value: Tensor, parameter: Tensor, fill: Tensor) -> Tensor:
    """Return a tensor of an earlier task with the rows of `fill` for those that were added since.

    Raises:
        ValueError: If the parameter has another shape otherwise.
    """
    if value.shape == parameter.shape:
        return value
    if not (
        value.dim()
        and value.shape[1:] == parameter.shape[1:]
        and value.shape[0] < parameter.shape[0]
    ):
        raise ValueError(
            f"{caller}: '{name}' had shape {tuple(value.shape)} in an earlier task, but has "
            f"{tuple(parameter.shape)} now; only rows can be added, as where a head grows."
        )
    return torch.cat([value, fill.detach()[len(value) :].to(value)])


def missing(caller: str, name: str) -> ValueError:
    """Return the error for a parameter that the network no longer has."""
    return ValueError(
        f"{caller}: the network no longer has the parameter '{name}' of an earlier task; keep the "
        "names of its layers, or build a new penalty."
    )


def copy_tensors(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return detached copies of named tensors."""
    return {name: value.detach().clone() for name, value in values.items()}


def check_keys(caller: str, state: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise a ValueError if the keys of a state are not the expected ones."""
    if set(state) != set(expected):
        raise ValueError(f"{caller}: the state has {[*state]}, but must have {[*expected]}.")


def load_tensors(
    caller: str, key: str, values: Mapping[str, Tensor], parameters: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Copy the tensors of one key of a state to the dtypes and devices of the parameters.

    Raises:
        ValueError: If the names, the shapes, or which tensors are complex differ.
    """
    for name in [*parameters, *values]:
        if name not in values or name not in parameters:
            owner = "state" if name in values else "network"
            raise ValueError(f"{caller}: only the {owner} has '{name}' in state['{key}'].")
        value, parameter = values[name], parameters[name]
        # copy_ would broadcast another shape, and drop the imaginary part of a complex tensor.
        if value.shape != parameter.shape or value.is_complex() != parameter.is_complex():
            raise ValueError(
                f"{caller}: '{name}' in state['{key}'] is {value.dtype} of shape "
                f"{tuple(value.shape)}, but in the network {parameter.dtype} of shape "
                f"{tuple(parameter.shape)}."
            )
    return {
        name: torch.empty_like(parameter).copy_(values[name].detach())
        for name, parameter in parameters.items()
    }
