"""How many networks fit: one net per context, trained one after the other on permuted images."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from experiments.runner import FAMILIES, Learner, build_mlp, load_images, rmsprop, stop_if_asked
from psp_data import PermutingStream
from psp_nn import superpose, use_context

ROWS_AT_ONCE = 8192
"""How many test samples, of all tasks mixed, go through the net in one batch."""


@dataclass(frozen=True)
class Training:
    """How every network of a study is trained on a task."""

    dataset: str
    steps: int
    batch: int
    learning_rate: float
    device: str

    def stream(self, tasks: int, seed: int, test_images: int | None = None) -> PermutingStream:
        """The permuted images, tested on the first `test_images` of the test set."""
        images = load_images(self.dataset)
        images = replace(
            images,
            test_images=images.test_images[:test_images],
            test_labels=images.test_labels[:test_images],
        )
        return PermutingStream(
            images.to(self.device),
            num_tasks=tasks,
            seed=seed,
            batch_size=self.batch,
            steps_per_task=self.steps,
        )

    def optimiser(self, net: nn.Module) -> torch.optim.Optimizer:
        """The paper's: RMSprop."""
        return rmsprop(net.parameters(), lr=self.learning_rate)

    def learn(
        self, net: nn.Module, optimiser: torch.optim.Optimizer, stream: PermutingStream, task: int
    ) -> None:
        """Train on one task of the stream."""
        learner = Learner(net, optimiser)
        for step in range(task * self.steps, (task + 1) * self.steps):
            stop_if_asked()
            learner.step(*stream.train_batch(step))


@dataclass(frozen=True)
class NetworkCell:
    """One run: a net of one width, superposed with one family, from one seed."""

    family: str
    width: int
    seed: int
    tasks: int
    test_images: int
    training: Training

    def cost(self) -> float:
        """A guess of the run's time, in arbitrary units: a step's overhead and its products."""
        inputs = 64 if self.training.dataset == "digits" else 784
        products = (inputs + self.width) * self.width * self.training.batch
        arithmetic = 4 if FAMILIES[self.family].is_complex else 1
        return self.tasks * self.training.steps * (1 + arithmetic * products / 2e7)


def train_and_test(cell: NetworkCell) -> dict[str, object]:
    """Train on every task in turn; after each, test on all tasks so far.

    Args:
        cell: What to run.

    Returns:
        `correct`, whose row i has i + 1 entries: how many of the `test_images` of task j were
        right after task i.
    """
    stream = cell.training.stream(cell.tasks, cell.seed, cell.test_images)
    net = superpose(
        build_mlp(stream.sample_shape[0], cell.width, stream.num_classes, cell.seed),
        family=FAMILIES[cell.family],
        num_contexts=cell.tasks,
        seed=cell.seed,
        base=False,
    ).to(cell.training.device)
    optimiser = cell.training.optimiser(net)
    correct = []
    for task in range(cell.tasks):
        use_context(net, task)
        cell.training.learn(net, optimiser, stream, task)
        correct.append(count_correct(net, stream, task + 1))
    return {"test_images": len(stream.images.test_labels), "correct": correct}


@torch.no_grad()
def count_correct(net: nn.Module, stream: PermutingStream, tasks: int) -> list[int]:
    """How many test images of each of the first `tasks` tasks are right, all tasks mixed."""
    per_task = len(stream.images.test_labels)
    together = max(1, ROWS_AT_ONCE // per_task)
    counts: list[Tensor] = []
    for first in range(0, tasks, together):
        group = range(first, min(first + together, tasks))
        samples, labels = (
            torch.cat(part) for part in zip(*map(stream.test_set, group), strict=True)
        )
        context = torch.tensor(group, device=samples.device).repeat_interleave(per_task)
        with use_context(net, context):
            right = net(samples).argmax(-1) == labels
        counts.append(right.view(len(group), per_task).sum(1))
    return torch.cat(counts).tolist()
