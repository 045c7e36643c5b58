"""Checks of the values of flags, each of which names its field."""

from typing import Any


class Checked:
    """Base of dataclasses that check their fields in `__post_init__`, base classes first."""

    def __post_init__(self) -> None:
        """Check nothing; subclasses check their own fields after calling this."""

    def check_counts(self, *names: str, least: int = 1) -> None:
        """Raise ValueError for fields, or members of tuple fields, below `least`."""
        for name in names:
            for value in _members(getattr(self, name)):
                if value < least:
                    raise ValueError(f"{name} must be at least {least}, not {value}.")

    def check_positive(self, *names: str) -> None:
        """Raise ValueError for fields, or members of tuple fields, that are not in (0, inf)."""
        for name in names:
            for value in _members(getattr(self, name)):
                if not 0 < value < float("inf"):
                    raise ValueError(f"{name} must be positive, not {value}.")

    def check_choices(self, name: str, known: tuple[str, ...]) -> None:
        """Raise ValueError if the field, or a member of a tuple field, is not a known name."""
        for value in map(str, _members(getattr(self, name))):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}; choose from {', '.join(known)}.")


def _members(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)
