"""What is timed of training in superposition, and what it is timed beside."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from experiments.methods import build_learner
from experiments.runner import Learner, Progress, build_mlp, rmsprop, train
from experiments.studies.permuting.run import PermutedTestImages
from psp_data import Images, PermutingStream, RotatingStream, Stream

LEARNING_RATE = 1e-4


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
        images: To train and test on.
        width: Units in each of the two hidden layers.
        batch: Samples in a training batch.
        device: Where to compute.
        progress: The file in which the runner leaves how far it is.
    """

    def __init__(
        self, images: Images, *, width: int, batch: int, device: torch.device, progress: Path
    ) -> None:
        """Build every net once."""
        self._batch = batch
        self._progress = progress
        self._device = device
        self._raw = images.to("cpu")
        images = images.to(device)
        self._stream = PermutingStream(
            images, num_tasks=50, seed=0, batch_size=batch, steps_per_task=10**6
        )
        self._scaled = images.scaled(images.train_images.flatten(1))
        self._labels = images.train_labels
        inputs, classes = self._scaled.shape[1], images.num_classes

        def build(seed: int) -> torch.nn.Sequential:
            return build_mlp(inputs, width, classes, seed)

        self._net = build(0).to(self._device)
        self._optimiser = rmsprop(self._net.parameters(), lr=LEARNING_RATE)
        self._other = build(0).to(self._device)
        self._textbook = torch.optim.RMSprop(self._other.parameters(), lr=LEARNING_RATE)
        self._learner = self._binary(build, 50)
        self._turning = RotatingStream(images, num_tasks=1, batch_size=batch)
        self._turned = self._binary(
            lambda seed: torch.nn.Sequential(torch.nn.Flatten(), *build(seed)), 10
        )
        self._tests = PermutedTestImages(self._stream)
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

    def steps_of(self, arithmetic: float) -> int:
        """How many steps take about so many multiplications forward."""
        weights = sum(weight.numel() for weight in self._net.parameters())
        return max(1, round(arithmetic / (weights * self._batch)))

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
        for samples, labels in self._batches(steps):
            _learn(self._net, self._optimiser, samples, labels)

    def textbook(self, steps: int) -> None:
        """The same with torch's own RMSprop."""
        for samples, labels in self._batches(steps):
            _learn(self._other, self._textbook, samples, labels)

    def _batches(self, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        batch, count = self._batch, len(self._labels) // self._batch
        for step in range(steps):
            rows = slice(step % count * batch, (step % count + 1) * batch)
            yield self._scaled[rows], self._labels[rows]

    def loader(self, steps: int) -> None:
        """The loop that gets its samples one by one."""
        for _ in range(steps):
            batch = next(self._loader, None)
            if batch is None:
                data = OneByOne(self._raw, self._stream.permutation(1).cpu())
                self._loader = iter(DataLoader(data, self._batch, shuffle=True, drop_last=True))
                batch = next(self._loader)
            samples, labels = (part.to(self._device) for part in batch)
            _learn(self._net, self._optimiser, samples, labels)

    def products(self, steps: int) -> None:
        """The matrix products of a step: forward, for the weights, and for the activations."""
        weights = [weight for weight in self._net.parameters() if weight.dim() == 2]
        inputs = [weight.new_ones(self._batch, weight.shape[1]) for weight in weights]
        outputs = [weight.new_ones(self._batch, weight.shape[0]) for weight in weights]
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
            samples, labels = self._tests(task % 50, self._tests.counts[0])
            self._learner.count_correct(samples, labels, context=task % 50)

    def milliseconds(self, *, steps: int, rounds: int) -> dict[str, list[float]]:
        """The time of each in each of its turns, by step, and of `tests` by task.

        Args:
            steps: How many make a turn.
            rounds: How many turns each has.
        """
        turns: dict[str, tuple[Callable[[int], None], int]] = {
            "runner": (self.runner, steps),
            "rotating": (self.rotating, steps),
            "bare": (self.bare, steps),
            "textbook": (self.textbook, steps),
            "loader": (self.loader, max(1, steps // 10)),
            "products": (self.products, steps),
            "tests": (self.tests, 1),
        }
        taken: dict[str, list[float]] = {name: [] for name in turns}
        for turn in range(rounds + 1):
            for name, (timed, count) in turns.items():
                start = self._now()
                timed(count)
                if turn:  # the first is to warm up
                    taken[name].append(1000 * (self._now() - start) / count)
        return taken

    def _now(self) -> float:
        if self._device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize() if self._device.type == "cuda" else torch.mps.synchronize()
        return time.perf_counter()


def _learn(
    net: torch.nn.Module, optimiser: torch.optim.Optimizer, samples: Tensor, labels: Tensor
) -> None:
    loss = F.cross_entropy(net(samples), labels)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
