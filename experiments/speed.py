"""How fast is training in superposition beside a bare loop?

Binary superposition on permuted images, through the runner of the experiments (stream, contexts,
step, optimiser, log and progress), as a ratio to

- a *bare* loop written by hand: the plain net, the images already scaled in one tensor, the same
  optimiser;
- a loop that feeds the same plain net from a `DataLoader` over single pictures, as torchvision's
  sets and transforms make it;
- the matrix *products* of a step alone;

and what a step on *rotating* images takes beside one on permuted images, and what testing on the
images of 50 tasks costs, as a part of a run of 50 tasks of 1000 steps.

    python experiments/speed.py                          # MNIST at 256 and 2048 units, minutes
    python experiments/speed.py smoke                    # the digits, seconds

Everything is timed in one process with one thread, in turns, and the best of many turns counts. On
the CPU it is the process's own time that counts, so that other work on the machine disturbs less.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from experiments._permuting_measure import TestSets
from experiments._permuting_run import Dataset as ImageSet
from experiments.methods import build_learner
from experiments.runner import (
    Learner,
    Progress,
    Settings,
    build_mlp,
    parse,
    resolve_device,
    rmsprop,
    start_record,
    train,
    write_record,
)
from experiments.runner.record import Record
from psp_data import Images, PermutingStream, RotatingStream, Stream, load

LEARNING_RATE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """What to time. Every bad value is refused before any work starts."""

    dataset: ImageSet = "mnist"
    """The images."""

    widths: tuple[int, ...] = (256, 2048)
    """Units in each of the two hidden layers."""

    batch: int = 128
    """Samples in a training batch."""

    arithmetic: float = 1e10
    """How many multiplications one turn is about: its number of steps follows from the width."""

    rounds: int = 10
    """How many turns each has."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        super().__post_init__()
        if not self.widths:
            raise ValueError("widths must be at least one number.")
        self.check_counts("widths", "batch", "rounds")
        self.check_positive("arithmetic")


PRESETS = {
    "smoke": Config(dataset="digits", widths=(32,), batch=32, arithmetic=1e6, rounds=2),
}


class OneByOne(Dataset[tuple[Tensor, int]]):
    """Permuted images as they are often fed: torchvision's way, a picture at a time.

    Args:
        images: On the CPU.
        order: Of the pixels, shape (C·H·W,).
    """

    def __init__(self, images: Images, order: Tensor) -> None:
        """Put the transforms together."""
        self._pictures = images.train_images.permute(0, 2, 3, 1).squeeze(-1).numpy()
        self._labels = images.train_labels.tolist()
        self._transform = transforms.Compose(
            [
                transforms.ToTensor(),
                transforms.Normalize((images.mean,), (images.std,)),
                transforms.Lambda(lambda pixels: pixels.view(-1)[order]),
            ]
        )

    def __len__(self) -> int:
        """How many training images there are."""
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """One sample."""
        return self._transform(Image.fromarray(self._pictures[index])), self._labels[index]


class Bench:
    """The things to be timed at one width, each a function of a number of steps.

    Args:
        config: What to time.
        width: Units in each hidden layer.
        folder: Where the runner leaves its progress.
    """

    def __init__(self, config: Config, width: int, folder: Path) -> None:
        """Build every net once."""
        self._config = config
        self._width = width
        self._progress = folder / "speed.progress"
        self._device = resolve_device(config.device)
        self._raw = load(config.dataset)
        images = self._raw.to(self._device)
        self._stream = PermutingStream(
            images, num_tasks=50, seed=0, batch_size=config.batch, steps_per_task=10**6
        )
        self._scaled = images.scaled(images.train_images.flatten(1))
        self._labels = images.train_labels
        inputs, classes = self._scaled.shape[1], images.num_classes

        def build(seed: int) -> torch.nn.Sequential:
            return build_mlp(inputs, width, classes, seed)

        self._net = build(0).to(self._device)
        self._optimiser = rmsprop(self._net.parameters(), lr=LEARNING_RATE)
        self._learner = self._binary(build, 50)
        self._turning = RotatingStream(images, num_tasks=1, batch_size=config.batch)
        self._turned = self._binary(
            lambda seed: torch.nn.Sequential(torch.nn.Flatten(), *build(seed)), 10
        )
        self._tests = TestSets(self._stream)
        # Task 1: its pixels are permuted, which task 0's are not. So many steps in that the
        # samples are never those of the turn before.
        self._first = self._stream.first_step(1)
        self._first_turning = 1
        self._loader: Iterator[list[Tensor]] = iter(())

    def _binary(self, build: Callable[[int], torch.nn.Module], num_contexts: int) -> Learner:
        return build_learner(
            "Binary",
            build,
            num_contexts=num_contexts,
            seed=0,
            learning_rate=LEARNING_RATE,
            device=self._device,
        )

    @property
    def steps(self) -> int:
        """How many steps make a turn."""
        weights = sum(weight.numel() for weight in self._net.parameters())
        return max(1, round(self._config.arithmetic / (weights * self._config.batch)))

    def runner(self, steps: int) -> None:
        """The runner, from a step of task 1 on."""
        self._first = self._train(self._learner, self._stream, self._first, steps)

    def rotating(self, steps: int) -> None:
        """The runner on images that turn."""
        self._first_turning = self._train(self._turned, self._turning, self._first_turning, steps)

    def _train(self, learner: Learner, stream: Stream, first: int, steps: int) -> int:
        """So many steps from `first` on; returns the next."""

        def observe(done: int, loss: float) -> None:
            Progress(0.5, f"{done}: {loss}").write(self._progress)

        train(learner, stream, {"step": first}, num_steps=first + steps, every=125, observe=observe)
        return first + steps

    def bare(self, steps: int) -> None:
        """The loop written by hand."""
        batch, count = self._config.batch, len(self._labels) // self._config.batch
        for step in range(steps):
            rows = slice(step % count * batch, (step % count + 1) * batch)
            self._learn(self._scaled[rows], self._labels[rows])

    def loader(self, steps: int) -> None:
        """The loop that gets its samples one by one."""
        for _ in range(steps):
            batch = next(self._loader, None)
            if batch is None:
                data = OneByOne(self._raw, self._stream.permutation(1).cpu())
                self._loader = iter(
                    DataLoader(data, self._config.batch, shuffle=True, drop_last=True)
                )
                batch = next(self._loader)
            self._learn(batch[0].to(self._device), batch[1].to(self._device))

    def products(self, steps: int) -> None:
        """The matrix products of a step: forward, for the weights, and for the activations."""
        weights = [weight for weight in self._net.parameters() if weight.dim() == 2]
        inputs = [weight.new_ones(self._config.batch, weight.shape[1]) for weight in weights]
        outputs = [weight.new_ones(self._config.batch, weight.shape[0]) for weight in weights]
        with torch.no_grad():
            for _ in range(steps):
                for place, weight in enumerate(weights):
                    torch.mm(inputs[place], weight.t())
                    torch.mm(outputs[place].t(), inputs[place])
                    if place:
                        torch.mm(outputs[place], weight)

    def tests(self, steps: int) -> None:
        """All test images of so many tasks."""
        for task in range(1, 1 + steps):
            samples, labels = self._tests(task % 50, len(self._tests))
            self._learner.count_correct(samples, labels, context=task % 50)

    def _learn(self, samples: Tensor, labels: Tensor) -> None:
        loss = F.cross_entropy(self._net(samples), labels)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()

    def milliseconds(self) -> dict[str, float]:
        """The least time of each, by step, and of `tests` by task."""
        turns: dict[str, tuple[Callable[[int], None], int]] = {
            "runner": (self.runner, self.steps),
            "rotating": (self.rotating, self.steps),
            "bare": (self.bare, self.steps),
            "loader": (self.loader, max(1, self.steps // 10)),
            "products": (self.products, self.steps),
            "tests": (self.tests, 1),
        }
        best = dict.fromkeys(turns, float("inf"))
        for turn in range(self._config.rounds + 1):
            for name, (timed, steps) in turns.items():
                start = self._now()
                timed(steps)
                if turn:  # the first is to warm up
                    best[name] = min(best[name], 1000 * (self._now() - start) / steps)
        return best

    def _now(self) -> float:
        if self._device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize() if self._device.type == "cuda" else torch.mps.synchronize()
        return time.perf_counter()


def ratios(milliseconds: dict[str, float]) -> dict[str, float]:
    """What the times come to.

    Args:
        milliseconds: From `Bench.milliseconds`.

    Example:
        >>> from experiments.speed import ratios
        >>> times = {"runner": 2.0, "rotating": 3.0, "bare": 1.9, "loader": 20.0, "products": 1.6}
        >>> ratios({**times, "tests": 80.0})
        {'rate of bare': 0.95, 'times loader': 10.0, 'of products': 1.25,
         'rotating of permuting': 1.5, 'tests of a run': 0.0385}
    """
    step = milliseconds["runner"]
    tests = 50 * milliseconds["tests"]
    return {
        "rate of bare": round(milliseconds["bare"] / step, 3),
        "times loader": round(milliseconds["loader"] / step, 2),
        "of products": round(step / milliseconds["products"], 3),
        "rotating of permuting": round(milliseconds["rotating"] / step, 3),
        "tests of a run": round(tests / (tests + 50_000 * step), 4),
    }


def speed_table(record: Record) -> str:
    """The ratios as a Markdown table, a row for each width.

    Args:
        record: From `run`.
    """
    lines = [
        "| net | rate, bare loop = 1 | rate, DataLoader = 1 | step, its products = 1 | "
        "rotating step, permuting = 1 | tests, part of a run (%) |",
        "|---|---|---|---|---|---|",
    ]
    for speed in record["speeds"]:
        found = speed["ratios"]
        cells = [
            f"2×{speed['width']}",
            f"{found['rate of bare']:.3f}",
            f"{found['times loader']:.1f}",
            f"{found['of products']:.2f}",
            f"{found['rotating of permuting']:.2f}",
            f"{100 * found['tests of a run']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


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
    with one_thread():
        for width in config.widths:
            times = Bench(config, width, config.out).milliseconds()
            rounded = {name: round(value, 4) for name, value in times.items()}
            record["speeds"].append(
                {"width": width, "milliseconds": rounded, "ratios": ratios(times)}
            )
    (config.out / "speed.progress").unlink(missing_ok=True)
    return record


def main() -> None:
    """The command."""
    config = parse(Config, PRESETS, __doc__)
    path = config.out / f"speed-{config.dataset}.json"
    record = write_record(path, run(config))
    for speed in record["speeds"]:
        print(f"2×{speed['width']}:")
        for part in ("milliseconds", "ratios"):
            print(f"  {part}: " + ", ".join(f"{k} {v:.4g}" for k, v in speed[part].items()))
    print(f"Written: {path}")


if __name__ == "__main__":
    main()
