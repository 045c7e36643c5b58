"""What a run on turning images measures, when, and how little it costs.

All are counts of test images that are classified rightly; `Readings` says under which context.

- the *curve*: images at 0°, every so many steps, by the method's own reading;
- the *inferred curve*: the same by batches and by samples, more rarely;
- at the end, *final*: all test images at 0°, by every reading;
- *circle*: 36 angles, by the method's own reading;
- *inferred circle*: the same by batches and by samples, and how often each context was inferred;
- *reach*: the same angles under each of some contexts: how far from its window does one serve?
- *edge*: angles close around the end of a window, under the contexts on both sides of it.

At 50 turns of 1000 steps and 10 contexts that makes 200,000 + 150,000 images for the curves and
130,000 + 20,000 + 110,000 + 90,000 + 40,000 at the end, where a net looks at an image in about
the time of a third of a training sample: about 4 % of a run.
"""

from dataclasses import replace

from torch import Tensor

from experiments._rotating_choosing import Choosing
from experiments._rotating_reading import INFERRED, Readings
from experiments.runner import Learner, evenly
from experiments.runner.trainer import Log
from psp_data import RotatingStream

ANGLES = 36
"""On the circle, evenly."""

AROUND = 10
"""How many degrees before and after the end of a window are looked at, one by one."""

SOME = 10
"""Of so many contexts the reach is measured, at the most, and so many windows are looked at."""


class TurnedTests:
    """The test images at any angle, all or some of them that lie evenly over the set.

    Args:
        stream: Whose images.
    """

    def __init__(self, stream: RotatingStream) -> None:
        """Turn nothing yet."""
        self._images = stream.images

    def __len__(self) -> int:
        """How many test images there are."""
        return len(self._images.test_labels)

    def __call__(self, degrees: float, count: int) -> tuple[Tensor, Tensor]:
        """`count` test images turned by an angle, (count, C, H, W), and their labels."""
        chosen = evenly(len(self), count, self._images.device)
        some = replace(
            self._images,
            test_images=self._images.test_images.index_select(0, chosen),
            test_labels=self._images.test_labels.index_select(0, chosen),
        )
        return RotatingStream(some, batch_size=1).test_set_at(degrees)


class Measurement:
    """Measures a learner on turning images and keeps the counts in a log.

    Args:
        learner: What to measure.
        stream: What it learns from.
        num_steps: When it ends.
        every: Steps between two points of the curve.
        images: Test images for a point of the curve, and for an angle of the circle.
        inferred_every: Steps between two points of the inferred curve.
        inferred_images: Test images where each is looked at under many contexts: for a point of
            the inferred curve, for an angle of the inferred circle and of the reach.
        edge_images: Test images for an angle around the edge.

    Attributes:
        log: The parts that the module names; those that the learner has nothing for are not in it.
            For a net that chooses its contexts itself also `choices`: how many contexts it has
            `used`, and `contexts`, the one that it trained last before each point of the curve.
    """

    def __init__(
        self,
        learner: Learner,
        stream: RotatingStream,
        *,
        num_steps: int,
        every: int,
        images: int,
        inferred_every: int,
        inferred_images: int,
        edge_images: int,
    ) -> None:
        """Measure nothing yet."""
        self._learner = learner
        self._stream = stream
        self._readings = Readings(learner, stream)
        self._num_steps = num_steps
        self._every, self._inferred_every = every, inferred_every
        self._tests = TurnedTests(stream)
        self._images, self._inferred_images, self._edge_images = (
            min(count, len(self._tests)) for count in (images, inferred_images, edge_images)
        )
        self._at_0 = self._tests(0.0, self._images)
        self.log: Log = {"curve": _curve(every, self._images, "correct", "loss")}
        if self._readings.infers:
            self.log["inferred_curve"] = _curve(inferred_every, self._inferred_images, *INFERRED)
        if isinstance(learner, Choosing):
            self.log["choices"] = {"used": 0, "contexts": []}

    def __call__(self, done: int, loss: float) -> str:
        """Measure what is due after `done` steps; returns in words what it shows."""
        ends = done == self._num_steps
        if done % self._every == 0 or ends:
            self._extend_curve(done, loss)
        if self._readings.infers and (done % self._inferred_every == 0 or ends):
            self._extend_inferred_curve(done)
        if ends:
            self.log["final"] = {"images": len(self._tests)} | self._read(0.0, len(self._tests))
            self.log["circle"] = self._circle()
            if self._readings.infers:
                self.log["inferred_circle"] = self._inferred_circle()
            self.log["reach"] = self._reach()
            if not isinstance(self._learner, Choosing):
                self.log["edge"] = self._edge()
        curve = self.log["curve"]
        right = 100 * curve["correct"][-1] / curve["images"]
        return f"turn {(done - 1) // self._stream.period}: 0° at {right:.1f} %"

    def _extend_curve(self, done: int, loss: float) -> None:
        samples, labels = self._at_0
        context = self._readings.own(samples, 0.0)
        curve = self.log["curve"]
        curve["steps"].append(done)
        curve["correct"].append(self._learner.count_correct(samples, labels, context))
        curve["loss"].append(loss)
        if isinstance(self._learner, Choosing):
            self.log["choices"]["used"] = self._learner.chooser.used
            self.log["choices"]["contexts"].append(self._learner.context)

    def _extend_inferred_curve(self, done: int) -> None:
        curve = self.log["inferred_curve"]
        counts = self._read(0.0, self._inferred_images)
        curve["steps"].append(done)
        for name in INFERRED:
            curve[name].append(counts[name])

    def _read(self, degrees: float, images: int) -> dict[str, int]:
        """Counts by every reading."""
        samples, labels = self._tests(degrees, images)
        return {
            name: self._learner.count_correct(samples, labels, context)
            for name, context in self._readings.all(samples, degrees).items()
        }

    def _circle(self) -> Log:
        correct = []
        for degrees in _circle():
            samples, labels = self._tests(degrees, self._images)
            context = self._readings.own(samples, degrees)
            correct.append(self._learner.count_correct(samples, labels, context))
        return {"images": self._images, "degrees": _circle(), "correct": correct}

    def _inferred_circle(self) -> Log:
        """The counts, and of how many images each context was inferred, at every angle."""
        circle: Log = {"images": self._inferred_images, "degrees": _circle()}
        circle |= {name: {"correct": [], "chosen": []} for name in INFERRED}
        for degrees in circle["degrees"]:
            samples, labels = self._tests(degrees, self._inferred_images)
            for name, contexts in self._readings.all(samples, degrees).items():
                if isinstance(contexts, Tensor):
                    right = self._learner.count_correct(samples, labels, contexts)
                    chosen = contexts.bincount(minlength=self._readings.num_contexts)
                    circle[name]["correct"].append(right)
                    circle[name]["chosen"].append(chosen.tolist())
        return circle

    def _reach(self) -> Log:
        contexts = evenly(self._readings.num_contexts, SOME).tolist()
        return self._table(_circle(), contexts, self._inferred_images)

    def _edge(self) -> Log:
        """Around the end of the first window; of the tenth of a turn where windows are shorter."""
        stream = self._stream
        windows = stream.num_contexts if 1 < stream.num_contexts <= SOME else SOME
        step = -(-stream.period // windows)
        contexts = dict.fromkeys(stream.context(each % stream.period) for each in (step - 1, step))
        degrees = [stream.angle(step) + each for each in range(-AROUND, AROUND + 1)]
        return self._table(degrees, list(contexts), self._edge_images)

    def _table(self, degrees: list[float], contexts: list[int], images: int) -> Log:
        """Counts at every angle under every one of the contexts."""
        correct = []
        for each in degrees:
            samples, labels = self._tests(each, images)
            correct.append(
                [self._learner.count_correct(samples, labels, context) for context in contexts]
            )
        return {"images": images, "degrees": degrees, "contexts": contexts, "correct": correct}


def _curve(every: int, images: int, *parts: str) -> Log:
    return {"every": every, "images": images, "steps": [], **{name: [] for name in parts}}


def _circle() -> list[float]:
    return [360 * place / ANGLES for place in range(ANGLES)]
