"""The loop of every experiment: a learner, a stream, a log, and a checkpoint."""

import time
from collections.abc import Callable
from typing import Any

import torch

from experiments.runner.checkpoint import Checkpoint
from experiments.runner.diverged import Diverged, fault_of
from experiments.runner.learner import Learner
from experiments.runner.record import current_commit
from experiments.runner.stopping import Stopped, is_asked
from psp_data import Stream

Log = dict[str, Any]
"""What a run has measured so far: plain JSON values, saved with the checkpoint."""


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

    A run that goes on from a checkpoint takes the same steps as one that was never interrupted.

    Args:
        learner: What is trained.
        stream: What it is shown, and with which context.
        log: What has been measured, {} at first. `observe` adds to it; a checkpoint brings it
            back. Kept here: `step`; `seconds`, how long training, observing and writing
            checkpoints has taken; `resumed_at`, at which steps it went on from a checkpoint; and
            `commits`, all whose code had a part in it.
        num_steps: How many steps to take, counted from the stream's first.
        every: `observe` is called after so many steps, and at the end of every task.
        observe: Measures: called with the number of steps taken and the loss of the last one.
        checkpoint: Where the state is kept; without one, the run cannot be resumed.

    Raises:
        DamagedFile: If the checkpoint cannot be read.
        Diverged: If a loss, or a parameter at the end, is not finite.
        Stopped: If the process is asked to stop; the state is in the checkpoint.
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
    begins = True  # as far as is known, a task
    context = None
    learner.net.train()

    def save() -> None:
        if checkpoint:
            checkpoint.save({"learner": learner.state_dict(), "log": log})
            clock.lap("checkpoints")

    for step in range(first, num_steps):
        if is_asked():
            clock.lap("training")
            log["step"] = step
            save()
            raise Stopped
        if begins and stream.task(step) != task:
            task = stream.task(step)
            learner.begin_task(task)
        if stream.context(step) != context:
            context = stream.context(step)
            learner.use(context)
        done = step + 1
        try:
            # Not held here: the next batch is then drawn into the same memory, still in the cache.
            loss = learner.step(*stream.train_batch(step))
        except Diverged as diverged:
            raise diverged.at(done) from None
        begins = ends = done == num_steps or stream.task(done) != task
        if not ends and done % every:
            continue
        if fault := fault_of(learner.net, loss):  # before a penalty learns from it
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
    """Adds up where the time goes."""

    def __init__(self, device: torch.device, seconds: dict[str, float]) -> None:
        self._device = device
        self._seconds = seconds
        self._last = self._now()

    def lap(self, part: str) -> None:
        """The time since the last lap went into `part`."""
        now = self._now()
        self._seconds[part] += now - self._last
        self._last = now

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
