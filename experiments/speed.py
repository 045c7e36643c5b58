"""How fast is training in superposition beside a bare loop?

Binary superposition on permuted images, through the runner of the experiments (stream, contexts,
step, optimiser, log and progress), as a ratio to

- a *bare* loop written by hand: the plain net, the images already scaled in one tensor, the same
  optimiser; and the same with torch's own RMSprop (*textbook*), which the runner's is faster than;
- a loop that feeds the same plain net from a `DataLoader` over single pictures, as torchvision's
  sets and transforms make it;
- the matrix *products* of a step alone;

and what a step on *rotating* images takes beside one on permuted images, and what testing on the
images of 50 tasks costs, as a part of a run of 50 tasks of 1000 steps.

    python experiments/speed.py                          # MNIST at 128, 256 and 2048 units, minutes
    python experiments/speed.py smoke                    # the digits, seconds

Everything is timed in one process with one thread, in turns, and the median of many turns counts:
the best is a matter of luck with wide nets, whose place in memory is worth some percent. For the
same reason all nets are built several times. On the CPU it is the process's own time that counts,
so that other work on the machine disturbs less.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import torch

from experiments._speed_bench import Bench
from experiments._speed_summary import ratios
from experiments.runner import (
    Settings,
    load_images,
    parse,
    reported,
    resolve_device,
    start_record,
    write_record,
)
from experiments.runner.record import Record
from experiments.studies.permuting.run import Dataset


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """What to time. Every bad value is refused before any work starts."""

    dataset: Dataset = "mnist"
    """The images."""

    widths: tuple[int, ...] = (128, 256, 2048)
    """Units in each of the two hidden layers."""

    batch: int = 128
    """Samples in a training batch."""

    arithmetic: float = 1e10
    """How many multiplications one turn is about: its number of steps follows from the width."""

    builds: int = 5
    """How many times everything is built."""

    rounds: int = 5
    """How many turns each then has."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        super().__post_init__()
        if not self.widths:
            raise ValueError("widths must be at least one number.")
        self.check_counts("widths", "batch", "builds", "rounds")
        self.check_positive("arithmetic")


PRESETS = {
    "smoke": Config(dataset="digits", widths=(32,), batch=32, arithmetic=1e6, builds=2, rounds=2),
}


@contextmanager
def one_thread() -> Iterator[None]:
    """Within this, torch computes with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def run(config: Config) -> Record:
    """Time everything at every width.

    Args:
        config: What to time.

    Returns:
        The record, to be written: `speeds`, a list with `width`, `milliseconds` and `ratios`.
    """
    record = start_record("speed", config)
    record["speeds"] = []
    images, progress = load_images(config.dataset), config.out / "speed.progress"
    with one_thread():
        for width in config.widths:
            turns: defaultdict[str, list[float]] = defaultdict(list)
            for _ in range(config.builds):
                bench = Bench(
                    images,
                    width=width,
                    batch=config.batch,
                    device=resolve_device(config.device),
                    progress=progress,
                )
                steps = bench.steps_of(config.arithmetic)
                for name, taken in bench.milliseconds(steps=steps, rounds=config.rounds).items():
                    turns[name] += taken
            times = {name: median(taken) for name, taken in turns.items()}
            rounded = {name: round(value, 4) for name, value in times.items()}
            record["speeds"].append(
                {"width": width, "milliseconds": rounded, "ratios": ratios(times)}
            )
    progress.unlink(missing_ok=True)
    return record


def main() -> None:
    """The command."""
    config = parse(Config, PRESETS, __doc__)
    with reported():
        path = config.out / f"speed-{config.dataset}.json"
        record = write_record(path, run(config))
        for speed in record["speeds"]:
            print(f"2×{speed['width']}:")
            for part in ("milliseconds", "ratios"):
                print(f"  {part}: " + ", ".join(f"{k} {v:.4g}" for k, v in speed[part].items()))
        print(f"Written: {path}")


if __name__ == "__main__":
    main()
