"""How nets are trained and tested, in every experiment."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from experiments.runner.checks import Checked

AnyRun = TypeVar("AnyRun")


@dataclass(frozen=True, kw_only=True)
class Recipe(Checked):
    """What the results of a run depend on and all runs of a grid share.

    An experiment derives from it its own recipe, from which both its `Run` and its `Config` derive.
    """

    batch: int = 128
    """Samples in a training batch."""

    learning_rate: float = 1e-4
    """Of RMSprop."""

    curve_every: int = 125
    """Steps between two points of the curve."""

    curve_images: int = 500
    """How many test images a point of the curve takes."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        super().__post_init__()
        self.check_counts("batch", "curve_every", "curve_images")
        self.check_positive("learning_rate")

    def check_choices(self, choices: dict[str, tuple[str, ...]]) -> None:  # type: ignore[override]
        """Refuse members of fields that are not among the choices for that field."""
        for name, known in choices.items():
            super().check_choices(name, known)

    def check_different(self, *names: str) -> None:
        """Refuse fields that hold a value twice."""
        for name in names:
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} must be different values, not {values}.")


def runs_of(
    config: Recipe,
    run: type[AnyRun],
    cells: Iterable[dict[str, Any]],
    chosen_by: Iterable[str],
) -> list[AnyRun]:
    """The runs of a config, each once.

    Args:
        config: It shares the fields of its recipe with `run`, and has a tuple of values for every
            field of `chosen_by`.
        run: The class of the runs.
        cells: What the runs differ in: fields of `run` that the recipe does not have.
        chosen_by: The fields whose values in the config choose among the cells; an empty tuple
            chooses all.

    Raises:
        ValueError: If no cell is chosen.
    """
    wanted = {name: getattr(config, name) for name in chosen_by}
    chosen = [
        cell
        for cell in cells
        if all(not values or cell[name] in values for name, values in wanted.items())
    ]
    if not chosen:
        asked = ", ".join(f"{name}={values or 'any'}" for name, values in wanted.items())
        raise ValueError(f"the preset has no run with {asked}; leave the preset out to run it.")
    shared = {field.name for field in fields(config)}
    own = {field.name for field in fields(run)}  # type: ignore[arg-type]
    recipe = {name: getattr(config, name) for name in shared & own - set(chosen[0])}
    return list(dict.fromkeys(run(**cell, **recipe) for cell in chosen))
