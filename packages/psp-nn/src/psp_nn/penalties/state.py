"""What penalties keep of earlier tasks, on its way out and back in."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

State = dict[str, Any]


def copied(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors as they are now."""
    return {name: value.detach().clone() for name, value in values.items()}


def check_parts(who: str, state: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a state of something else.

    Raises:
        TypeError: If it is no dict.
        ValueError: If it has not the parts that are expected.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"{who}: state must be a dict, but is a {type(state).__name__}.")
    if set(state) != set(expected):
        raise ValueError(
            f"{who} needs a state with {sorted(expected)}, but this one has "
            f"{sorted(map(str, state))}; pass what state_dict of the same class gave."
        )


def fitting(who: str, part: str, values: Any, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the tensors of one part, with the dtype and on the device of the network's.

    Raises:
        TypeError: If the part is no dict of tensors.
        ValueError: If names, shapes or kinds of numbers are not those of `like`.
    """
    if not isinstance(values, Mapping) or not all(isinstance(v, Tensor) for v in values.values()):
        raise TypeError(
            f"{who}: state['{part}'] is not a dict of tensors by the names of parameters."
        )
    for name in [*like, *values]:
        if name not in values or name not in like:
            where = "the state" if name in values else "the network"
            raise ValueError(f"{who}: only {where} has '{name}' in state['{part}'].")
        theirs, ours = values[name], like[name]
        if theirs.layout is not torch.strided or (theirs.is_meta and not ours.is_meta):
            raise ValueError(
                f"{who}: '{name}' in state['{part}'] is {theirs.layout} on {theirs.device}, "
                "without numbers that could be copied."
            )
        if theirs.shape != ours.shape or theirs.is_complex() != ours.is_complex():
            raise ValueError(
                f"{who}: '{name}' in state['{part}'] is {theirs.dtype} of shape "
                f"{tuple(theirs.shape)}, but in the network {ours.dtype} of shape "
                f"{tuple(ours.shape)}; pass the state of a penalty on the same architecture."
            )
    return {
        name: torch.empty_like(ours).copy_(values[name].detach()) for name, ours in like.items()
    }
