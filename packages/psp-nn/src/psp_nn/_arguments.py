"""What arguments must be: each check names the argument, says what arrived and what to do."""

import math
import numbers
import operator
import os
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def check_net(argument: str, value: Any) -> None:
    """Refuse what is not a network."""
    if not isinstance(value, nn.Module):
        raise TypeError(
            f"{argument} must be a torch.nn.Module, but is {_a(value)}; pass the network itself."
        )


def check_parameters(argument: str, value: Any) -> None:
    """Refuse what is not a network with parameters."""
    check_net(argument, value)
    if next(value.parameters(), None) is None:
        raise ValueError(f"{argument} is a {type(value).__name__} without parameters.")


def check_tensor(argument: str, value: Any) -> None:
    """Refuse what is not a dense tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{argument} must be a Tensor, but is {_a(value)}; pass a torch.Tensor.")
    if value.layout is not torch.strided:
        raise TypeError(
            f"{argument} must be a dense tensor, but its layout is {value.layout}; pass "
            f"{argument}.to_dense()."
        )


def check_flag(argument: str, value: Any) -> None:
    """Refuse what is neither True nor False, also if it counts as such."""
    if not isinstance(value, bool):
        raise TypeError(f"{argument} must be True or False, but is {_a(value)}.")


def check_choice(argument: str, value: Any, choices: type[Enum]) -> None:
    """Refuse what is not a member of an enumeration."""
    if not isinstance(value, choices):
        raise TypeError(
            f"{argument} must be one of {[str(choice) for choice in choices]}, but is {_a(value)}."
        )


def checked_integer(
    argument: str, value: Any, least: int | None = None, most: int | None = None
) -> int:
    """An int in least..most, or what stands for one, as numpy's integers do; no bool, no tensor."""
    integer = None
    if not isinstance(value, bool | Tensor):
        try:
            integer = operator.index(value)
        except TypeError:
            pass  # an array may have `__index__` and yet be no integer
    if integer is None:
        raise TypeError(f"{argument} must be an int, but is {_a(value)}; pass an int.")
    if least is not None and integer < least:
        raise ValueError(f"{argument} must be at least {least}, but is {integer}.")
    if most is not None and integer > most:
        raise ValueError(f"{argument} must be at most {most}, but is {integer}.")
    return integer


def checked_number(argument: str, value: Any, *, positive: bool = False) -> float:
    """A finite real number that is not negative or, if wanted, positive."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{argument} must be a real number, but is {_a(value)}; pass a float.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and (number > 0 if positive else number >= 0)):
        least = "positive" if positive else "0 or more"
        raise ValueError(f"{argument} must be finite and {least}, but is {value!r}.")
    return number


def checked_texts(argument: str, value: Any) -> tuple[str, ...]:
    """One str, or several."""
    if isinstance(value, str):
        return (value,)
    texts = tuple(several(argument, value, "names of layers or patterns of them"))
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(
            f"{argument} must be a str or several of them, but is {value!r}; pass names of layers "
            "or patterns of them."
        )
    return texts


def several(argument: str, value: Any, what: str) -> Iterator[Any]:
    """An iterator over what is in a list or another iterable, whatever that is."""
    try:
        if not isinstance(value, str | bytes | Tensor | Mapping):
            return iter(value)
    except TypeError:  # an array may have `__iter__` and yet hold but one number
        pass
    raise TypeError(f"{argument} must be {what}, but is {_a(value)}; pass a list.")


def checked_path(argument: str, value: Any) -> Path:
    """A path with a name at its end."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{argument} must be a str or a Path, but is {_a(value)}.")
    text = os.fspath(value)
    if not isinstance(text, str):
        raise TypeError(f"{argument} must be a path of text, but is {_a(text)}; use os.fsdecode.")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        text = ""
    if "\0" in text or not Path(text).name:
        raise ValueError(f"{argument}={value!r} names no file; pass the name of one.")
    return Path(text)


def _a(value: Any) -> str:
    """What arrived, short also if it is a network or a large tensor."""
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype} of shape {tuple(value.shape)}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value).__name__
    return f"{value!r}, a {kind}" if isinstance(value, str | numbers.Number) else f"a {kind}"
