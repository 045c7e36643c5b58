"""The timed functions: training in superposition, and its comparisons."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from experiments.methods.method import METHODS
from experiments.runner.device import synchronised_time
from experiments.runner.learner import Learner
from experiments.runner.networks import build_mlp
from experiments.runner.optimiser import rmsprop
from experiments.runner.progress import Progress
from experiments.runner.trainer import train
from experiments.studies.permuting.run import PermutedTestImages
from psp_data import Images, PermutingStream, RotatingStream, Stream

LEARNING_RATE = 1e-4


class SingleImages(Dataset[tuple[Tensor, int]]):
    """Permuted images loaded one at a time with torchvision's transforms, as is common.

    Args:
        images: Images on the CPU.
        order: Order of the pixels, shape (C·H·W,).
    """

    def __init__(self, images: Images, order: Tensor) -> None:
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
        """Return the number of training images."""
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return a sample and its label."""
        return self._transform(Image.fromarray(self._pictures[index])), self._labels[index]


class Bench:
    """The functions to time at one width, each of which takes a number of steps.

    Args:
        images: Images for training and testing.
        width: Units in each of the two hidden layers.
        batch: Samples in a training batch.
        device: Device to compute on.
        progress: File for the runner's progress.
    """

    def __init__(
        self, images: Images, *, width: int, batch: int, device: torch.device, progress: Path
    ) -> None:
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

        def build(seed: int) -> nn.Sequential:
            return build_mlp(inputs, width, classes, seed)

        self._net = build(0).to(device)
        self._optimiser = rmsprop(self._net.parameters(), lr=LEARNING_RATE)
        self._other = build(0).to(device)
        self._textbook = torch.optim.RMSprop(self._other.parameters(), lr=LEARNING_RATE)
        self._permuting = self._binary(build, 50)
        self._rotating_stream = RotatingStream(images, num_tasks=1, batch_size=batch)
        self._rotating = self._binary(lambda seed: nn.Sequential(nn.Flatten(), *build(seed)), 10)
        self._tests = PermutedTestImages(self._stream)
        # Task 1, since the pixels of task 0 are not permuted. Each round continues at the step
        # where the last one ended, so that it draws other samples.
        self._next_permuting = self._stream.first_step(1)
        self._next_rotating = 1
        self._loader: Iterator[list[Tensor]] = iter(())

    def _binary(self, build: Callable[[int], nn.Module], num_contexts: int) -> Learner:
        return METHODS["Binary"].learner(
            build,
            num_contexts=num_contexts,
            seed=0,
            learning_rate=LEARNING_RATE,
            device=self._device,
        )

    def steps_of(self, arithmetic: float) -> int:
        """Return the number of steps with about `arithmetic` multiplications in forward passes."""
        weights = sum(weight.numel() for weight in self._net.parameters())
        return max(1, round(arithmetic / (weights * self._batch)))

    def runner(self, steps: int) -> None:
        """Train on permuted images with the runner."""
        self._next_permuting = self._train(
            self._permuting, self._stream, self._next_permuting, steps
        )

    def rotating(self, steps: int) -> None:
        """Train on rotating images with the runner."""
        self._next_rotating = self._train(
            self._rotating, self._rotating_stream, self._next_rotating, steps
        )

    def _train(self, learner: Learner, stream: Stream, first: int, steps: int) -> int:
        """Train from the step `first` on, and return the next step."""

        def observe(done: int, loss: float) -> None:
            Progress(0.5, f"{done}: {loss}").write(self._progress)

        train(learner, stream, {"step": first}, num_steps=first + steps, every=125, observe=observe)
        return first + steps

    def bare(self, steps: int) -> None:
        """Train in a bare loop."""
        for samples, labels in self._batches(steps):
            _learn(self._net, self._optimiser, samples, labels)

    def textbook(self, steps: int) -> None:
        """Train in a bare loop with torch's own RMSprop."""
        for samples, labels in self._batches(steps):
            _learn(self._other, self._textbook, samples, labels)

    def _batches(self, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        batch, count = self._batch, len(self._labels) // self._batch
        for step in range(steps):
            rows = slice(step % count * batch, (step % count + 1) * batch)
            yield self._scaled[rows], self._labels[rows]

    def loader(self, steps: int) -> None:
        """Train in a bare loop that loads its samples one by one."""
        for _ in range(steps):
            batch = next(self._loader, None)
            if batch is None:
                data = SingleImages(self._raw, self._stream.permutation(1).cpu())
                self._loader = iter(DataLoader(data, self._batch, shuffle=True, drop_last=True))
                batch = next(self._loader)
            samples, labels = (part.to(self._device) for part in batch)
            _learn(self._net, self._optimiser, samples, labels)

    def products(self, steps: int) -> None:
        """Compute the matrix products of a step: forward, for weights, and for activations."""
        weights = [weight for weight in self._net.parameters() if weight.dim() == 2]
        inputs = [weight.new_ones(self._batch, weight.shape[1]) for weight in weights]
        outputs = [weight.new_ones(self._batch, weight.shape[0]) for weight in weights]
        with torch.no_grad():
            for _ in range(steps):
                for index, weight in enumerate(weights):
                    torch.mm(inputs[index], weight.t())
                    torch.mm(outputs[index].t(), inputs[index])
                    if index:
                        torch.mm(outputs[index], weight)

    def tests(self, tasks: int) -> None:
        """Classify all test images of some tasks."""
        for task in range(1, 1 + tasks):
            samples, labels = self._tests(task % 50, self._tests.counts[0])
            self._permuting.count_correct(samples, labels, context=task % 50)

    def milliseconds(self, *, steps: int, rounds: int) -> dict[str, list[float]]:
        """Time each function in every round, per step, and `tests` per task.

        Args:
            steps: Number of steps in a round.
            rounds: Number of rounds.
        """
        functions: dict[str, tuple[Callable[[int], None], int]] = {
            "runner": (self.runner, steps),
            "rotating": (self.rotating, steps),
            "bare": (self.bare, steps),
            "textbook": (self.textbook, steps),
            "loader": (self.loader, max(1, steps // 10)),
            "products": (self.products, steps),
            "tests": (self.tests, 1),
        }
        times: dict[str, list[float]] = {name: [] for name in functions}
        for index in range(rounds + 1):
            for name, (function, count) in functions.items():
                start = self._now()
                function(count)
                if index:  # the first round is a warm-up
                    times[name].append(1000 * (self._now() - start) / count)
        return times

    def _now(self) -> float:
        """Return the time in seconds; on the CPU that of this process alone."""
        is_cpu = self._device.type == "cpu"
        return time.process_time() if is_cpu else synchronised_time(self._device)


def _learn(
    net: nn.Module, optimiser: torch.optim.Optimizer, samples: Tensor, labels: Tensor
) -> None:
    loss = F.cross_entropy(net(samples), labels)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
