"""Contexts are pinned: the same bits in every process, on every day, on every machine.

The values below were computed once and never change: a saved superposition depends on them.
"""

import enum
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psp_contexts import (
    BinaryContexts,
    BlockRotationContexts,
    ComplexContexts,
    KroneckerRotationContexts,
    LocalMixContexts,
    OnePowerContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
)
from psp_contexts._random import Source

EXACT = [
    (BinaryContexts, [-1, -1, -1, 1, 1, -1, -1, 1]),
    (PermutationContexts, [7, 5, 4, 6, 3, 0, 1, 2]),
    (SignedPermutationContexts, [5, -8, -6, -4, 3, -1, 2, -7]),
]
ROUNDED = [
    (
        ComplexContexts,
        [
            3.0924157042254,
            0.0002380886046,
            0.7156037364703,
            2.8549766324009,
            -2.9698244851831,
            1.3908474427608,
            -1.528508107185,
            -0.059486604143,
        ],
    ),
    (
        OnePowerContexts,
        [
            0.8055857974805,
            -2.7723109447902,
            1.6686178619363,
            -0.7568103692181,
            -1.056982776152,
            -3.0337559474371,
            3.0675036227033,
            0.8445098935206,
        ],
    ),
    (
        LocalMixContexts,
        [
            -0.1866044545523,
            -0.2004854256076,
            0.0556457893502,
            -0.8567301693868,
            -1.5773578345734,
            -0.9203350784124,
            2.2338235693907,
            -0.5358878099116,
        ],
    ),
]

DIGEST = """
import hashlib
from psp_contexts.testing import FAMILIES
digest = hashlib.sha256()
for family in FAMILIES:
    for dim in (6, 256):
        contexts = family(dim, 3, seed=5, name="layer")
        digest.update(contexts.matrix(2).detach().numpy().tobytes())
        digest.update(contexts.checksum().encode())
print(digest.hexdigest())
"""


@pytest.mark.parametrize(("family", "golden"), EXACT)
def test_discrete_draws_are_golden(family, golden):
    contexts = family(8, 10, seed=1, name="layers.0")
    assert contexts.draw(7)[0].tolist() == golden


def test_permutations_of_blocks_are_golden():
    contexts = PermutationContexts(8, 10, seed=1, name="layers.0", block_size=2)
    assert contexts.draw(7)[0].tolist() == [3, 0, 1, 2]
    assert contexts.bind(torch.arange(8.0), 7).tolist() == [6.0, 7.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    single = PermutationContexts(8, 10, seed=1, name="layers.0", block_size=1)
    assert torch.equal(
        single.matrix(7), PermutationContexts(8, 10, seed=1, name="layers.0").matrix(7)
    )


@pytest.mark.parametrize(("family", "golden"), ROUNDED)
def test_phases_are_golden(family, golden):
    contexts = family(8, 10, seed=1, name="layers.0")
    phases = contexts.matrix(7).diagonal().angle()
    assert phases.tolist() == pytest.approx(golden, abs=1e-12)


def test_rotations_are_golden():
    rotation = RotationContexts(3, 10, seed=1, name="layers.0").matrix(7)
    assert rotation.flatten().tolist() == pytest.approx(
        [
            0.1589682286152,
            0.9269070866456,
            -0.3399593431824,
            0.8701117050869,
            0.0311734635725,
            0.4918677015618,
            -0.4665133684706,
            0.373993940987,
            0.8015571153344,
        ],
        abs=1e-12,
    )
    kronecker = KroneckerRotationContexts(4, 10, seed=1, name="layers.0").matrix(7)
    assert kronecker[0].tolist() == pytest.approx(
        [0.8455866349474, -0.1883228316079, -0.4875718513419, -0.108588414081], abs=1e-12
    )


def test_block_rotations_are_golden():
    rotation = BlockRotationContexts(6, 10, seed=1, name="layers.0").matrix(7)
    assert rotation[4:, 4:].flatten().tolist() == pytest.approx(
        [0.478057290239, -0.8783286556007, -0.8783286556007, -0.478057290239], abs=1e-12
    )
    assert rotation[4:, :4].abs().max() == 0
    assert BlockRotationContexts(128, 10, seed=1).block_size == 8


class Name(str, enum.Enum):  # noqa: UP042 — str() of a StrEnum is its text
    LAYER = "layers.0"


def test_an_enum_member_as_a_name_stands_for_its_text():
    named = BinaryContexts(32, 3, seed=0, name=Name.LAYER)
    plain = BinaryContexts(32, 3, seed=0, name="layers.0")
    assert torch.equal(named.matrix(1), plain.matrix(1))
    assert named.spec() == plain.spec()


def test_other_processes_draw_the_same_bits_with_any_hash_seed_and_threads():
    def digest(hash_seed, threads):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": threads}
        return subprocess.run(
            [sys.executable, "-c", DIGEST],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert digest("1", "1") == digest("2", "2")


@settings(max_examples=30, deadline=None)
@given(index=st.integers(0, 2**63), count=st.integers(1, 200), seed=st.integers(-(2**70), 2**70))
def test_a_longer_draw_begins_with_the_shorter(index, count, seed):
    source = Source("test", seed)
    for draw in (source.signs, source.phases):
        longer = draw(index, count + 70)
        assert torch.equal(longer[:count], draw(index, count))
    assert torch.equal(source.permutation(index, count).sort().values, torch.arange(count))


def test_draws_have_their_documented_distributions():
    source = Source("test")
    count = 100_000  # intervals of five standard errors of a mean over `count` draws
    assert abs(source.signs(0, count).double().mean()) < 5 / math.sqrt(count)
    phases = source.phases(1, count)
    assert phases.abs().max() <= math.pi
    for moment in (1, 2, 3):
        mean = torch.polar(torch.ones(count, dtype=torch.float64), moment * phases).mean()
        assert mean.abs() < 5 / math.sqrt(count)
    # Haar: each squared entry has mean 1/n and variance 2(n-1)/(n²(n+2)); both determinants occur.
    blocks, size = 5000, 4
    rotations = source.haar(2, blocks, size)
    error = math.sqrt(2 * (size - 1) / (size**2 * (size + 2)) / blocks)
    assert (rotations.square().mean(0) - 1 / size).abs().max() < 5 * error
    assert (rotations.mean(0)).abs().max() < 5 * math.sqrt(1 / size / blocks)
    assert abs(torch.linalg.det(rotations).mean()) < 5 / math.sqrt(blocks)
    # Permutations: each of the six orders of three occurs with probability 1/6.
    orders = [tuple(source.permutation(index, 3).tolist()) for index in range(6000)]
    for order in set(orders):
        assert abs(orders.count(order) - 1000) < 5 * math.sqrt(6000 * 5 / 36)
    assert len(set(orders)) == 6


def test_a_checksum_depends_on_shared_parameters(monkeypatch):
    before = OnePowerContexts(4, 10, seed=0).checksum()
    monkeypatch.setattr(
        OnePowerContexts, "shared_phases", lambda self: torch.zeros(4, dtype=torch.float64)
    )
    assert OnePowerContexts(4, 10, seed=0).checksum() != before


def test_the_largest_and_the_smallest_word_give_finite_numbers(monkeypatch):
    words = np.array([0, 2**64 - 1], dtype=np.uint64)
    monkeypatch.setattr(Source, "words", lambda self, index, count: words[:count])
    units = Source("any")._units(0, 2)
    assert 0 < units[0] < units[1] < 1
