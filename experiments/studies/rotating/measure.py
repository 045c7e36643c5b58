"""Measurements on rotating images, all as counts of correctly classified test images.

`TestContexts` gives the contexts: those of the method's own source, or of all sources.

- *curve*: images at 0° at regular steps, by the method's own source;
- *inferred curve*: the same by batches and by samples, less often;
- *final*: at the end, all test images at 0°, by every source;
- *circle*: 36 angles, by the method's own source;
- *inferred circle*: the same by batches and by samples, and how often each context was inferred;
- *reach*: the same angles under each of some contexts, beyond their windows;
- *edge*: angles close to the end of a window, under the contexts on both sides.

With 50 turns of 1000 steps and 10 contexts the curves take 200,000 + 150,000 images, and the end
130,000 + 20,000 + 110,000 + 90,000 + 40,000. A test image costs about a third of a training
sample, so tests take about 4 % of a run.
"""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from experiments.runner.images import evenly_spaced, take_evenly
from experiments.runner.learner import Learner
from experiments.runner.trainer import Log
from experiments.studies.rotating.contexts import INFERRED, TestContexts
from experiments.studies.rotating.run import RotatingRun
from experiments.studies.rotating.selection import SelectingLearner
from psp_data import RotatingStream

CIRCLE = [10.0 * place for place in range(36)]
"""Angles of the circle, in degrees."""

AROUND = 10
"""Degrees before and after the end of a window."""

MAX_CONTEXTS = 10
"""Most contexts whose reach is measured, and most windows in a turn for the edge."""


class RotatingMeasurement:
    """Measures a learner on rotating images and keeps the counts in a log.

    Attributes:
        log: The measurements named in the module's docstring, as far as the learner has them.
            A `SelectingLearner` adds `choices`: the number of contexts `used`, and `contexts`,
            the last one trained before each point of the curve.
    """

    def __init__(self, learner: Learner, stream: RotatingStream, run: RotatingRun) -> None:
        self.num_steps, self.every = run.turns * run.period, run.curve_every
        self._inferred_every = run.inferred_every
        self._learner = learner
        self._stream = stream
        self._contexts = TestContexts(learner, stream)
        self._total = len(stream.images.test_labels)
        self._images, self._inferred_images, self._edge_images = (
            min(count, self._total)
            for count in (run.curve_images, run.inferred_images, run.edge_images)
        )
        self._at_0 = self._test_images(0.0, self._images)
        self.log: Log = {"curve": _empty_curve(self.every, self._images, "correct", "loss")}
        if self._contexts.infers:
            inferred = _empty_curve(run.inferred_every, self._inferred_images, *INFERRED)
            self.log["inferred_curve"] = inferred
        if isinstance(learner, SelectingLearner):
            self.log["choices"] = {"used": 0, "contexts": []}

    def __call__(self, done: int, loss: float) -> str:
        """Take the measurements due after `done` steps and return a progress message."""
        ends = done == self.num_steps
        if done % self.every == 0 or ends:
            self._extend_curve(done, loss)
        if self._contexts.infers and (done % self._inferred_every == 0 or ends):
            self._extend_inferred_curve(done)
        if ends:
            self.log["final"] = {"images": self._total} | self._count(0.0, self._total)
            self.log["circle"] = self._circle()
            if self._contexts.infers:
                self.log["inferred_circle"] = self._inferred_circle()
            self.log["reach"] = self._reach()
            if not isinstance(self._learner, SelectingLearner):
                self.log["edge"] = self._edge()
        curve = self.log["curve"]
        accuracy = 100 * curve["correct"][-1] / curve["images"]
        return f"turn {(done - 1) // self._stream.period}: 0° at {accuracy:.1f} %"

    def _test_images(self, degrees: float, count: int) -> tuple[Tensor, Tensor]:
        """Return evenly spaced test images rotated by an angle, (count, C, H, W), and labels."""
        images = self._stream.images
        samples, labels = take_evenly(images.test_images, images.test_labels, count)
        subset = replace(images, test_images=samples, test_labels=labels)
        return RotatingStream(subset, batch_size=1).test_set_at(degrees)

    def _extend_curve(self, done: int, loss: float) -> None:
        samples, labels = self._at_0
        context = self._contexts.by_default(samples, 0.0)
        curve = self.log["curve"]
        curve["steps"].append(done)
        curve["correct"].append(self._learner.count_correct(samples, labels, context))
        curve["loss"].append(loss)
        if isinstance(self._learner, SelectingLearner):
            self.log["choices"]["used"] = self._learner.selector.used
            self.log["choices"]["contexts"].append(self._learner.context)

    def _extend_inferred_curve(self, done: int) -> None:
        curve = self.log["inferred_curve"]
        counts = self._count(0.0, self._inferred_images)
        curve["steps"].append(done)
        for source in INFERRED:
            curve[source].append(counts[source])

    def _count(self, degrees: float, images: int) -> dict[str, int]:
        """Return the number of correct images by every source."""
        samples, labels = self._test_images(degrees, images)
        return {
            source: self._learner.count_correct(samples, labels, context)
            for source, context in self._contexts.by_source(samples, degrees).items()
        }

    def _circle(self) -> Log:
        correct = []
        for degrees in CIRCLE:
            samples, labels = self._test_images(degrees, self._images)
            context = self._contexts.by_default(samples, degrees)
            correct.append(self._learner.count_correct(samples, labels, context))
        return {"images": self._images, "degrees": CIRCLE, "correct": correct}

    def _inferred_circle(self) -> Log:
        """Return the counts and the number of images given to each context, at every angle."""
        circle: Log = {"images": self._inferred_images, "degrees": CIRCLE}
        circle |= {source: {"correct": [], "chosen": []} for source in INFERRED}
        for degrees in CIRCLE:
            samples, labels = self._test_images(degrees, self._inferred_images)
            for source, contexts in self._contexts.by_source(samples, degrees).items():
                if isinstance(contexts, Tensor):
                    correct = self._learner.count_correct(samples, labels, contexts)
                    per_context = contexts.bincount(minlength=self._contexts.num_contexts)
                    circle[source]["correct"].append(correct)
                    circle[source]["chosen"].append(per_context.tolist())
        return circle

    def _reach(self) -> Log:
        contexts = evenly_spaced(self._contexts.num_contexts, MAX_CONTEXTS).tolist()
        return self._grid(CIRCLE, contexts, self._inferred_images)

    def _edge(self) -> Log:
        """Measure around the end of the first window, of at least a tenth of a turn."""
        stream = self._stream
        windows = stream.num_contexts if 1 < stream.num_contexts <= MAX_CONTEXTS else MAX_CONTEXTS
        end = -(-stream.period // windows)
        contexts = dict.fromkeys(map(stream.context, (end - 1, end % stream.period)))
        degrees = [stream.angle(end) + offset for offset in range(-AROUND, AROUND + 1)]
        return self._grid(degrees, list(contexts), self._edge_images)

    def _grid(self, angles: Sequence[float], contexts: list[int], images: int) -> Log:
        """Return the counts at every angle under each of the contexts."""
        correct = []
        for degrees in angles:
            samples, labels = self._test_images(degrees, images)
            correct.append(
                [self._learner.count_correct(samples, labels, context) for context in contexts]
            )
        return {"images": images, "degrees": angles, "contexts": contexts, "correct": correct}


def _empty_curve(every: int, images: int, *parts: str) -> Log:
    return {"every": every, "images": images, "steps": [], **{name: [] for name in parts}}
