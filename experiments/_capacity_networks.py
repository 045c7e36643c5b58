"""How many networks fit: one net per context, trained one after the other on permuted images."""

from dataclasses import dataclass, replace

import torch
from psp_data import Images, PermutingStream, load
from psp_nn import superpose, use_context
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.runner import FAMILIES

ROWS_AT_ONCE = 8192
"""How many test samples, of all tasks mixed, go through the net in one batch."""


@dataclass(frozen=True)
class Cell:
    """One run: a net of one width, superposed with one family, from one seed."""

    family: str
    width: int
    seed: int
    dataset: str
    tasks: int
    steps: int
    batch: int
    learning_rate: float
    test_images: int
    device: str

    def cost(self) -> float:
        """A guess of the run's time, in arbitrary units: a step's overhead and its products."""
        products = (64 if self.dataset == "digits" else 784) * self.width + self.width**2
        arithmetic = 4 if FAMILIES[self.family].is_complex else 1
        return self.tasks * self.steps * (1 + arithmetic * products * self.batch / 2e7)


def train_and_test(cell: Cell) -> list[list[int]]:
    """Train on every task in turn; after each, test on all tasks so far.

    Args:
        cell: What to run.

    Returns:
        Row i has i + 1 entries: how many of the `test_images` of task j were right after task i.
    """
    images = load(cell.dataset)
    images = replace(
        images,
        test_images=images.test_images[: cell.test_images],
        test_labels=images.test_labels[: cell.test_images],
    ).to(cell.device)
    stream = PermutingStream(
        images,
        num_tasks=cell.tasks,
        seed=cell.seed,
        batch_size=cell.batch,
        steps_per_task=cell.steps,
    )
    net = build_net(stream.sample_shape[0], cell.width, stream.num_classes, cell.seed)
    net = superpose(
        net, contexts=FAMILIES[cell.family], num_contexts=cell.tasks, seed=cell.seed
    ).to(cell.device)
    optimiser = torch.optim.RMSprop(net.parameters(), lr=cell.learning_rate)
    correct = []
    for task in range(cell.tasks):
        use_context(net, task)
        for step in range(task * cell.steps, (task + 1) * cell.steps):
            samples, labels = stream.train_batch(step)
            loss = F.cross_entropy(net(samples), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        correct.append(count_correct(net, stream, task + 1))
    return correct


def build_net(inputs: int, width: int, classes: int, seed: int) -> nn.Module:
    """The paper's net: two hidden layers, ReLU, Xavier-normal weights, zero biases."""
    net = nn.Sequential(
        nn.Linear(inputs, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, classes),
    )
    generator = torch.Generator().manual_seed(seed)
    for layer in net[::2]:
        nn.init.xavier_normal_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
    return net


@torch.no_grad()
def count_correct(net: nn.Module, stream: PermutingStream, tasks: int) -> list[int]:
    """How many test images of each of the first `tasks` tasks are right, all tasks mixed."""
    per_task = len(stream.images.test_labels)
    together = max(1, ROWS_AT_ONCE // per_task)
    counts: list[Tensor] = []
    for first in range(0, tasks, together):
        group = range(first, min(first + together, tasks))
        samples, labels = (torch.cat(part) for part in zip(*map(stream.test_set, group)))
        context = torch.tensor(group, device=samples.device).repeat_interleave(per_task)
        with use_context(net, context):
            right = net(samples).argmax(-1) == labels
        counts.append(right.view(len(group), per_task).sum(1))
    return torch.cat(counts).tolist()
