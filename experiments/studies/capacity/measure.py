"""The measurements of a capacity study, in a grid of processes."""

from functools import partial
from typing import Any

from experiments.runner.device import resolve_device
from experiments.runner.grid import run_grid
from experiments.runner.record import Record, start_record
from experiments.studies.capacity.config import CapacityConfig
from experiments.studies.capacity.prediction import Plan, train_and_predict
from experiments.studies.capacity.retrieval import (
    AlignedCell,
    TrainedCell,
    retrieve_aligned,
    retrieve_trained,
)

PREDICTED = 4
"""Networks to predict for, as a multiple of those trained: more may fit than are trained."""


def measure(config: CapacityConfig) -> Record:
    """Measure everything, in `config.jobs` processes.

    Args:
        config: The study.

    Returns:
        The record, to be written: `aligned`, `trained`, `networks` and `predicted`.

    Raises:
        Diverged: If a network diverged.
    """
    record = start_record("capacity", config)
    device = str(resolve_device(config.device))
    folder = config.out / f"{config.name}.parts"
    grid: Any = partial(run_grid, settings=config, folder=folder)

    aligned = [
        AlignedCell(family, dim, config.models, seed, device)
        for family in config.families
        for dim in config.dims
        for seed in range(config.draws)
    ]
    curves = grid(retrieve_aligned, aligned, title="retrieval")
    record["aligned"] = [
        {"family": cell.family, "dim": cell.dim, "seed": cell.seed, **curve}
        for cell, curve in zip(aligned, curves, strict=True)
    ]

    trained = [
        TrainedCell(config.families, run, device)
        for width in config.widths
        for run in config.runs("Identity", width, config.trained_models)
    ]
    layers = grid(retrieve_trained, trained, title="layers")
    record["trained"] = [
        {"width": cell.run.width, "seed": cell.run.seed, "families": by_family}
        for cell, by_family in zip(trained, layers, strict=True)
    ]

    plan = Plan(config.observed, PREDICTED * config.tasks, config.tolerance)
    networks = [
        (family, run)
        for family in config.trained
        for width in config.widths
        for run in config.runs(family, width, config.tasks)
    ]
    results = grid(
        partial(train_and_predict, plan=plan, folder=folder.absolute(), device=config.device),
        [run for _, run in networks],
        title="networks",
    )
    cells = [
        ({"family": family, "width": run.width, "seed": run.seed}, result)
        for (family, run), result in zip(networks, results, strict=True)
    ]
    record["networks"] = [cell | _rows_of(result) for cell, result in cells]
    record["predicted"] = [
        cell | result["predicted"] for cell, result in cells if cell["family"] in config.predicted
    ]
    return record


def _rows_of(record: Record) -> Record:
    """Return the rows of the accuracy matrix: `correct` of the `test_images` of each task."""
    return {"test_images": record["rows"]["images"], "correct": record["rows"]["correct"]}
