"""What arguments must be: each check names the argument, says what arrived and what to do."""

import math
import operator
from numbers import Real
from typing import Any

import torch
from torch import Tensor


def checked_integer(name: str, value: Any) -> int:
    """The value as an int: a numpy integer would overflow in the arithmetic of steps."""
    if not isinstance(value, bool) and getattr(value, "dtype", None) != torch.bool:
        try:
            return int(operator.index(value))
        except (TypeError, RuntimeError):
            pass  # tensors and arrays have `__index__` even where they are no integer
    raise TypeError(
        f"{name}={_short(value)} must be an integer, but is a {type(value).__name__}; pass an int."
    )


def checked_count(name: str, value: Any) -> int:
    """The value as an int, if it is at least 1."""
    count = checked_integer(name, value)
    if count < 1:
        raise ValueError(f"{name}={count} must be at least 1.")
    return count


def checked_step(value: Any, num_steps: int | None = None, name: str = "step") -> int:
    """The step as an int, if it is one of 0..num_steps-1 (or any from 0 on)."""
    if type(value) is int and 0 <= value and (num_steps is None or value < num_steps):
        return value  # every training step comes here several times
    step = checked_integer(name, value)
    if step < 0:
        raise IndexError(f"{name}={step} is negative; the first step of a stream is 0.")
    if num_steps is not None and step >= num_steps:
        raise IndexError(
            f"{name}={step} is beyond the last step of the stream, {num_steps - 1}; build it with "
            "more tasks or more steps_per_task."
        )
    return step


def checked_number(name: str, value: Any) -> float:
    """The value as a float, if it is a finite real number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"{name}={_short(value)} must be a number, but is a {type(value).__name__}; pass a "
            "float."
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name}={number} must be finite; pass a number of any size and sign.")
    return number


def checked_flag(name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as such, as "no" does."""
    if not isinstance(value, bool):
        raise TypeError(
            f"{name}={_short(value)} must be True or False, but is a {type(value).__name__}."
        )
    return value


def checked_device(name: str, value: Any) -> torch.device:
    """The device, if tensors with contents can be put there."""
    if not isinstance(value, str | torch.device):
        raise TypeError(
            f"{name}={_short(value)} must be a torch.device or its name, but is a "
            f"{type(value).__name__}; pass 'cpu' or 'cuda'."
        )
    try:
        device = torch.device(value)
        torch.empty(0, device=device)
    except Exception as error:  # every backend has its own way to say that it is not there
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{name}={str(value)!r} cannot be used on this machine ({reason}); pass 'cpu', or a "
            "device that is there."
        ) from error
    if device.type == "meta":
        raise ValueError(f"{name}='meta' holds no pixels; pass 'cpu' or 'cuda'.")
    return device


def checked_tensor(name: str, value: Any) -> Tensor:
    """The value, if it is a dense tensor with contents.

    Raises:
        TypeError: If it is no tensor.
        ValueError: If it is sparse, or on the meta device.
    """
    check_type(name, value, Tensor, "a tensor")
    if value.is_meta or value.layout != torch.strided:
        found = "on the meta device" if value.is_meta else f"of layout {value.layout}"
        raise ValueError(f"{name} must be a dense tensor with contents, but is {found}.")
    tensor: Tensor = value
    return tensor


def check_type(name: str, value: Any, kind: type | tuple[type, ...], wanted: str) -> None:
    """Refuse what is not of this kind."""
    if not isinstance(value, kind):
        raise TypeError(
            f"{name} must be {wanted}, but {_short(value)} is a {type(value).__name__}."
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
