"""What the configs check, each field by its name."""


class Checked:
    """A base of dataclasses that refuse bad values, in cooperation: see `__post_init__`."""

    def __post_init__(self) -> None:
        """Refuse what cannot be; classes that derive from it check their own fields after this."""

    def check_counts(self, *names: str) -> None:
        """Refuse fields, or members of fields, that are less than 1."""
        for name in names:
            value = getattr(self, name)
            if min(value if isinstance(value, tuple) else (value,), default=1) < 1:
                raise ValueError(f"{name} must be at least 1, not {value}.")

    def check_positive(self, *names: str) -> None:
        """Refuse fields, or members of fields, that are not positive and finite."""
        for name in names:
            value = getattr(self, name)
            members = value if isinstance(value, tuple) else (value,)
            if not all(0 < member < float("inf") for member in members):
                raise ValueError(f"{name} must be positive, not {value}.")

    def check_choices(self, choices: dict[str, tuple[str, ...]]) -> None:
        """Refuse members of fields that are not among the choices for that field."""
        for name, known in choices.items():
            for value in getattr(self, name):
                if value not in known:
                    raise ValueError(f"{name}: {value!r} is none; choose from {', '.join(known)}.")

    def check_different(self, *names: str) -> None:
        """Refuse fields that hold a value twice."""
        for name in names:
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} must be different values, not {values}.")
