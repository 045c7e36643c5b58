"""Ten million contexts cost no memory, and using many takes no more than `cache_bytes`.

The families run one after the other in a subprocess. Its resident memory is read from the system,
since tracemalloc does not see what torch allocates.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from psp_contexts.testing import FIXED_FAMILIES

THOROUGH = settings().max_examples >= 1000
DIM = 784
DENSE = {"RotationContexts": 100, "BlockRotationContexts": 2000}
"""Numbers of contexts beyond what the cache holds, for families with large contexts."""

MEASURE = """
import ctypes, gc, json, sys
import torch
import psp_contexts

dim, num_contexts, cache_bytes, uses = json.loads(sys.argv[1])
x = torch.ones(dim)

def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

grown = {}
for name, count in uses.items():
    # Load the code and start the threads of the family's operations, which a process does once.
    getattr(psp_contexts, name)(dim, num_contexts, seed=0).bind(x, 0)
    contexts = getattr(psp_contexts, name)(dim, num_contexts, seed=0)
    contexts.cache_bytes = cache_bytes or contexts.cache_bytes
    before = resident()
    for index in range(count):
        contexts.bind(x, index)
    grown[name] = resident() - before
    del contexts
print(json.dumps(grown))
"""
FAMILIES = [family.__name__ for family in FIXED_FAMILIES]

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.skipif(
        not Path("/proc/self/statm").exists(), reason="the system has no /proc/self/statm"
    ),
]


def grown(num_contexts, uses, *, dim=DIM, cache_bytes=None):
    """Return the bytes by which a process grows when it uses the first contexts of each family."""
    arguments = json.dumps([dim, num_contexts, cache_bytes, uses])
    command = [sys.executable, "-c", MEASURE, arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_ten_million_contexts_cost_no_memory_and_their_use_is_bounded(record_property):
    uses = {name: 2000 // (10 if name in DENSE else 1) for name in FAMILIES}
    if not THOROUGH:
        uses = {"BinaryContexts": 2000, "SignedPermutationContexts": 1000, "RotationContexts": 3}
    record_property("contexts used within a bound on memory: psp-contexts", sum(uses.values()))
    for name, size in grown(10**7, uses, cache_bytes=2 * 10**6).items():
        assert size < 6 * 10**6, name  # unbounded, Binary, the smallest, would take 8 million


def test_small_contexts_count_with_the_overhead_of_their_tensors(record_property):
    # A tensor of 16 bytes takes hundreds, so that 4000 of them are more than the cache may hold.
    uses = dict.fromkeys(FAMILIES if THOROUGH else ["BinaryContexts"], 4000)
    record_property("contexts used within a bound on memory: psp-contexts", sum(uses.values()))
    for name, size in grown(10**9, uses, dim=4, cache_bytes=10**6).items():
        assert size < 2.6 * 10**6, name  # by its 16 bytes alone, Binary would take 3 million


@pytest.mark.skipif(not THOROUGH, reason="takes minutes; run it with --hypothesis-profile=thorough")
@pytest.mark.parametrize("num_contexts", [10**4, 10**7])
def test_ten_thousand_contexts_stay_within_two_hundred_megabytes(num_contexts, record_property):
    uses = dict.fromkeys(FAMILIES, 10_000) | DENSE
    record_property("contexts used within a bound on memory: psp-contexts", sum(uses.values()))
    for name, size in grown(num_contexts, uses).items():
        assert size < 200 * 10**6, name
