"""The memory of a long run does not grow."""

import os
from pathlib import Path

import pytest

from experiments.methods.method import METHODS
from experiments.runner.networks import build_mlp
from experiments.runner.trainer import train
from psp_data import PermutingStream, load

pytestmark = pytest.mark.reliability


def resident():
    """Return the bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.parametrize("method", ["Binary", "SI"])
def test_memory_does_not_grow_with_the_steps(method, request, record_property):
    thorough = request.config.getoption("--hypothesis-profile") == "thorough"
    steps = 20_000 if thorough else 4_000
    stream = PermutingStream(
        load("digits"), num_tasks=20, seed=0, batch_size=32, steps_per_task=steps // 20
    )
    learner = METHODS[method].learner(
        lambda seed: build_mlp(64, 32, 10, seed),
        num_contexts=20,
        seed=0,
        learning_rate=1e-3,
        strength=0.1,
    )
    sizes = {}

    def observe(done, loss):
        sizes[done] = resident()

    train(learner, stream, {}, num_steps=steps, every=steps // 10, observe=observe)
    assert sizes[steps] <= 1.02 * sizes[steps // 10]
    grown = 100 * (sizes[steps] / sizes[steps // 10] - 1)
    record_property(f"memory grown over {steps:,} steps, in %: {method}", round(grown, 2))
