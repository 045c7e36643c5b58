"""The training loop of every experiment."""

from collections.abc import Callable
from typing import Any

import torch

from experiments.runner.checkpoint import Checkpoint
from experiments.runner.device import synchronised_time
from experiments.runner.diverged import Diverged, find_fault
from experiments.runner.learner import Learner
from experiments.runner.record import current_commit
from experiments.runner.stopping import Stopped, stop_requested
from psp_data import Stream

Log = dict[str, Any]
"""Measurements of a run so far, saved with the checkpoint: plain JSON values in the end."""


def train(
    learner: Learner,
    stream: Stream,
    log: Log,
    *,
    num_steps: int,
    every: int,
    observe: Callable[[int, float], None],
    checkpoint: Checkpoint | None = None,
) -> None:
    """Train to step `num_steps`, from the beginning or from the latest checkpoint.

    A resumed run takes the same steps as an uninterrupted one.

    Args:
        learner: The learner to train.
        stream: Its training batches and contexts.
        log: The measurements, {} at first, to which `observe` adds; a checkpoint restores them.
            `train` itself keeps `step`; `seconds` (time spent in training, observing and writing
            checkpoints); `resumed_at` (steps at which the run was resumed); and
            `commits` (every commit whose code took part).
        num_steps: Number of steps, counted from the stream's first.
        every: Number of steps between two calls of `observe`, which is also called at the end of
            every task.
        observe: Measures; called with the number of steps taken and the loss of the last one.
        checkpoint: The checkpoint; without one, the run cannot be resumed.

    Raises:
        DamagedFile: If the checkpoint cannot be read.
        Diverged: If a loss, or a parameter at the end of a task, is not finite.
        Stopped: If a stop was requested; the state is in the checkpoint.
    """
    log.setdefault("seconds", dict.fromkeys(("training", "observing", "checkpoints"), 0.0))
    state = checkpoint.load(learner.device) if checkpoint else None
    if state is not None:
        learner.load_state_dict(state["learner"])
        log.clear()
        log.update(state["log"])
    first = log.setdefault("step", 0)
    log["resumed_at"] = [*log.get("resumed_at", []), *([first] if first else [])]
    log["commits"] = list(dict.fromkeys([*log.get("commits", []), current_commit()]))
    clock = _Clock(learner.device, log["seconds"])
    task = stream.task(first - 1) if first else -1
    may_begin = True  # whether the next step may be the first of a task
    context = None
    learner.net.train()

    def save() -> None:
        if checkpoint:
            checkpoint.save({"learner": learner.state_dict(), "log": log})
            clock.lap("checkpoints")

    for step in range(first, num_steps):
        if stop_requested():
            clock.lap("training")
            log["step"] = step
            save()
            raise Stopped
        if may_begin and stream.task(step) != task:
            task = stream.task(step)
            learner.begin_task(task)
        if stream.context(step) != context:
            context = stream.context(step)
            learner.use(context)
        done = step + 1
        try:
            # The batch has no name, so that the next one reuses its memory, still in the cache.
            loss = learner.step(*stream.train_batch(step))
        except Diverged as diverged:
            raise diverged.at(done) from None
        may_begin = ends = done == num_steps or stream.task(done) != task
        if not ends and done % every:
            continue
        if fault := find_fault(learner.net, loss):  # before a penalty uses it
            raise Diverged(fault).at(done)
        if ends:
            learner.end_task(stream, done)
        clock.lap("training")
        log["step"] = done
        observe(done, loss.item())
        clock.lap("observing")
        if checkpoint and checkpoint.is_due() and done < num_steps:
            save()


class _Clock:
    """Stopwatch that adds each lap to a part of the run."""

    def __init__(self, device: torch.device, seconds: dict[str, float]) -> None:
        self._device = device
        self._seconds = seconds
        self._last = synchronised_time(device)

    def lap(self, part: str) -> None:
        """Add the time since the last lap to `part`."""
        now = synchronised_time(self._device)
        self._seconds[part] += now - self._last
        self._last = now
