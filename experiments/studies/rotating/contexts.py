"""Contexts of test images: from the clock, or inferred from the images."""

import torch
from torch import Tensor

from experiments.runner.learner import Learner
from experiments.studies.rotating.selection import SelectingLearner
from psp_data import RotatingStream
from psp_nn import infer_context

MAX_INFERRED = 100
"""Most contexts for which inference is run, since each costs a pass through the net."""

IMAGES_AT_ONCE = 256
"""Images per batch of inference under all contexts; larger products are no faster."""

INFERRED = ("batches", "samples")
"""Sources of contexts that need no clock."""

SOURCES = ("clock", *INFERRED)
"""All sources of contexts; see `TestContexts`."""


def can_infer(num_contexts: int) -> bool:
    """True if contexts are inferred among this many."""
    return 3 <= num_contexts <= MAX_INFERRED


class TestContexts:
    """Contexts of test images at one angle, from up to three sources.

    - *clock*: the stream's context at that angle;
    - *batches*: one context for each batch of the training batch size: the one of highest
      confidence, or the one that a `SelectingLearner` selects;
    - *samples*: the context of highest confidence for each image.

    A `SelectingLearner` has no clock. See `can_infer` for the other two.

    Args:
        learner: Learner under test.
        stream: Stream that it learns from.

    Attributes:
        sources: Available sources, the method's own first.
        infers: True if contexts are inferred.
    """

    __test__ = False  # not a test class

    def __init__(self, learner: Learner, stream: RotatingStream) -> None:
        self._learner = learner
        self._stream = stream
        self._selector = learner.selector if isinstance(learner, SelectingLearner) else None
        self.infers = learner.is_superposed and can_infer(stream.num_contexts)
        self.sources = ("clock",) * (self._selector is None) + INFERRED * self.infers

    def by_default(self, samples: Tensor, degrees: float) -> int | Tensor:
        """Return the contexts by the method's own source: one for all, or shape (n,)."""
        if self._selector is None:
            return self.by_clock(degrees)
        contexts = [self._selector.recognise(batch) for batch in self._batches(samples)]
        return self._per_sample(contexts, samples)

    def by_source(self, samples: Tensor, degrees: float) -> dict[str, int | Tensor]:
        """Return the contexts by each of `sources`: one for all, or shape (n,)."""
        contexts = {self.sources[0]: self.by_default(samples, degrees)}
        if not self.infers:
            return contexts
        evidence = self._evidence(samples)
        if self._selector is None:
            surest = [int(batch.mean(0).argmax()) for batch in self._batches(evidence)]
            contexts["batches"] = self._per_sample(surest, samples)
        return {**contexts, "samples": evidence.argmax(1)}

    def by_clock(self, degrees: float) -> int:
        """Return the context of the training step with the nearest angle."""
        period = self._stream.period
        return self._stream.context(round(degrees / 360 * period) % period)

    @property
    def num_contexts(self) -> int:
        """Number of contexts in use: all by the clock, else those opened so far."""
        return self._selector.used if self._selector else self._stream.num_contexts

    def _batches(self, rows: Tensor) -> tuple[Tensor, ...]:
        batches: tuple[Tensor, ...] = rows.split(self._stream.batch_size)
        return batches

    def _per_sample(self, contexts: list[int], samples: Tensor) -> Tensor:
        lengths = torch.tensor([len(batch) for batch in self._batches(samples)])
        return torch.tensor(contexts).repeat_interleave(lengths).to(samples.device)

    def _evidence(self, samples: Tensor) -> Tensor:
        """Return the confidence in each sample under each context in use, shape (n, contexts)."""
        parts = [
            infer_context(self._learner.net, part, per_sample=True).evidence
            for part in samples.split(IMAGES_AT_ONCE)
        ]
        return torch.cat(parts)[:, : self.num_contexts]
