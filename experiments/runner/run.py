"""Runs: frozen dataclasses with everything that a result depends on, and sweeps of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any, TypeVar

from experiments.runner.checks import Checked

AnyRun = TypeVar("AnyRun", bound="Run")


@dataclass(frozen=True, kw_only=True)
class Run(Checked, ABC):
    """Everything that the result of one training depends on.

    An experiment derives its own run, with a default for every field. Its `__post_init__` checks
    the fields and fills in the ones that depend on others.
    """

    batch: int = 128
    """Samples in a training batch."""

    learning_rate: float = 1e-4
    """RMSprop learning rate."""

    curve_every: int = 125
    """Steps between two points of the curve."""

    curve_images: int = 500
    """Test images for a point of the curve."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        self.check_counts("batch", "curve_every", "curve_images")
        self.check_positive("learning_rate")

    @property
    @abstractmethod
    def name(self) -> str:
        """Stem of the run's files; no two runs share it."""

    @property
    @abstractmethod
    def image_sets(self) -> tuple[str, ...]:
        """Names of the image sets that the run needs."""

    @abstractmethod
    def cost(self) -> float:
        """Estimate the run's time, in arbitrary units."""

    def fill(self, field: str, value: Any) -> None:
        """Set a field of this frozen dataclass; for `__post_init__` alone."""
        object.__setattr__(self, field, value)

    def spell(self, parts: Iterable[str], spelled: Iterable[str]) -> str:
        """Return a file name with every field that differs from its default.

        Args:
            parts: First words of the name.
            spelled: Fields that those words contain. Other fields are added unless they have
                their default.
        """
        words, skipped = list(parts), set(spelled)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in skipped and value != field.default:
                text = spell_number(value) if isinstance(value, float) else str(value)
                words.append(field.name.replace("_", "") + text)
        return "-".join(words)


def spell_number(value: float) -> str:
    """Return a number for a file name: in short form if that is exact, else in full.

    Example:
        >>> from experiments.runner.run import spell_number
        >>> spell_number(100.0), spell_number(0.1), spell_number(0.123456789)
        ('100', '0.1', '0.123456789')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def sweep(run: type[AnyRun], **values: Any) -> tuple[AnyRun, ...]:
    """Return the runs with every combination of the values, each once; the first field is slowest.

    Args:
        run: Class of the runs.
        values: By field, one value or a tuple of them; other fields have their defaults.
    """
    options = [value if isinstance(value, tuple) else (value,) for value in values.values()]
    runs = (run(**dict(zip(values, combination, strict=True))) for combination in product(*options))
    return tuple(dict.fromkeys(runs))


def select(runs: Sequence[AnyRun], values: Mapping[str, tuple[Any, ...]]) -> tuple[AnyRun, ...]:
    """Return the part of a preset that has the given values of its fields.

    If the preset has several values of a field, the given ones choose from them. If it has one,
    the given ones replace it.

    Args:
        runs: The preset.
        values: The given values by field.

    Raises:
        ValueError: If the preset has no such run.
    """
    varied = [name for name in values if len({getattr(run, name) for run in runs}) > 1]
    chosen = [run for run in runs if all(getattr(run, name) in values[name] for name in varied)]
    if not chosen:
        wanted = " ".join(f"{name}={','.join(map(str, values[name]))}" for name in varied)
        raise ValueError(f"the preset has no run with {wanted}; leave the preset out to run it.")
    others = {name: values[name] for name in values if name not in varied}
    return tuple(
        dict.fromkeys(
            replace(run, **dict(zip(others, combination, strict=True)))
            for run in chosen
            for combination in product(*others.values())
        )
    )
