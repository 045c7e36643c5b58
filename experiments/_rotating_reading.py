"""Which context test images are given: by the clock, or inferred from the images themselves."""

import torch
from torch import Tensor

from experiments._rotating_choosing import Choosing
from experiments.runner import Learner
from psp_data import RotatingStream
from psp_nn import infer_context

MOST_CONTEXTS = 100
"""Among more, nothing is inferred: every context costs a pass through the net."""

IMAGES_AT_ONCE = 256
"""Under all contexts together: larger products are no faster."""

INFERRED = ("batches", "samples")
"""The readings that infer."""


class Readings:
    """The contexts of test images that are all turned by one angle, read in up to three ways.

    - *clock*: the context that the stream has at that angle;
    - *batches*: images that lie together, as many as in a training batch, get one context: the
      one under which the net is surest of them all, or, where it chose its contexts itself, the
      one that it chooses again;
    - *samples*: every image gets its own, the one under which the net is surest of it.

    A net that chooses its contexts itself has no clock; nothing is inferred where there are fewer
    than three contexts, or very many.

    Args:
        learner: What is tested.
        stream: What it learns from.

    Attributes:
        names: Those that there are, the method's own first.
    """

    def __init__(self, learner: Learner, stream: RotatingStream) -> None:
        """See the class."""
        self._learner = learner
        self._stream = stream
        self._chooser = learner.chooser if isinstance(learner, Choosing) else None
        self.infers = learner.is_superposed and 3 <= stream.num_contexts <= MOST_CONTEXTS
        self.names = ("clock",) * (self._chooser is None) + INFERRED * self.infers

    def own(self, samples: Tensor, degrees: float) -> int | Tensor:
        """The context by the first of `names`: one for all, or shape (n,)."""
        if self._chooser is None:
            return self.clock(degrees)
        chosen = [self._chooser.recognise(batch) for batch in self._batches(samples)]
        return self._spread(chosen, samples)

    def all(self, samples: Tensor, degrees: float) -> dict[str, int | Tensor]:
        """The contexts by each of `names`: one for all, or shape (n,)."""
        contexts = {self.names[0]: self.own(samples, degrees)}
        if not self.infers:
            return contexts
        evidence = self._evidence(samples)
        if self._chooser is None:
            chosen = [int(part.mean(0).argmax()) for part in self._batches(evidence)]
            contexts["batches"] = self._spread(chosen, samples)
        return {**contexts, "samples": evidence.argmax(1)}

    def clock(self, degrees: float) -> int:
        """The context of the training step whose angle is nearest."""
        period = self._stream.period
        return self._stream.context(round(degrees / 360 * period) % period)

    @property
    def num_contexts(self) -> int:
        """How many contexts have been used so far, by the clock all."""
        return self._chooser.used if self._chooser else self._stream.num_contexts

    def _batches(self, rows: Tensor) -> tuple[Tensor, ...]:
        parts: tuple[Tensor, ...] = rows.split(self._stream.batch_size)
        return parts

    def _spread(self, chosen: list[int], samples: Tensor) -> Tensor:
        lengths = torch.tensor([len(batch) for batch in self._batches(samples)])
        return torch.tensor(chosen).repeat_interleave(lengths).to(samples.device)

    def _evidence(self, samples: Tensor) -> Tensor:
        """How sure the net is of every sample under every context in use, shape (n, contexts)."""
        parts = [
            infer_context(self._learner.net, part, per_sample=True).evidence
            for part in samples.split(IMAGES_AT_ONCE)
        ]
        return torch.cat(parts)[:, : self.num_contexts]
