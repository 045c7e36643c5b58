"""Every argument of everything public: bad values are refused by name, at the door."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

import psp_contexts
from psp_contexts import (
    BinaryContexts,
    BlockRotationContexts,
    ComplexContexts,
    IdentityContexts,
    KroneckerRotationContexts,
    LocalMixContexts,
    OnePowerContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
    num_parameters,
)
from psp_contexts.testing import FAMILIES, Call, family_name, missing_from, other_than, refusals

pytestmark = pytest.mark.reliability

SOURCE = Path(psp_contexts.__file__).parent
DIM, COUNT = 4, 5

NO_INTEGERS = other_than("integer")
NO_TEXTS = other_than("text")
NO_FLAGS = other_than("flag")
NO_TENSORS = other_than("tensor")
BELOW_ONE = st.integers(max_value=0)
PRIMES = st.sampled_from([2, 7, 4093, 2**31 - 1])
TOO_MANY_TO_LEARN = st.integers(2**29 + 1, 2**63 - 1)
HUGE = st.integers(min_value=2**64) | st.just(10**30)

NO_INDICES = other_than("integer", "tensor") | st.sampled_from(
    [torch.tensor(1.0), torch.tensor(True), torch.tensor(1, dtype=torch.int32), torch.zeros(2)]
)
NO_SUCH_INDICES = (
    st.integers(max_value=-1)
    | st.integers(min_value=COUNT)
    | st.sampled_from([10**30, torch.tensor(-1), torch.tensor([0, COUNT]), torch.tensor(2**62)])
)
NO_VECTORS = NO_TENSORS | st.sampled_from(
    [
        torch.zeros(DIM, dtype=dtype)
        for dtype in (torch.int64, torch.uint8, torch.bool, torch.float8_e4m3fn)
    ]
    + [torch.zeros(2, DIM).to_sparse(), torch.zeros(2, DIM, dtype=torch.int8)]
)
COMPLEX = st.sampled_from([torch.zeros(2, DIM, dtype=torch.complex64)])
OTHER_LENGTHS = (
    st.lists(st.integers(0, 5), max_size=3)
    .map(torch.zeros)
    .filter(lambda x: x.shape[-1:] != (DIM,))
)
NO_STATES = st.binary(max_size=20).map(lambda text: torch.tensor(list(text), dtype=torch.uint8))
NO_STATES |= st.sampled_from(
    [
        torch.zeros(3),
        torch.zeros((), dtype=torch.uint8),
        torch.tensor(list(b"[" * 10**5), dtype=torch.uint8),
        torch.tensor(list(b'{"dim": 4}'), dtype=torch.uint8),
        torch.zeros(3, dtype=torch.uint8, device="meta"),
    ]
)


def arguments(**given):
    """A function that gives these; tensors are made once, since nothing writes to them."""
    return lambda: dict(given)


def family(cls, valid=None, refused=None):
    return Call(
        cls.__name__,
        [cls],
        arguments(dim=DIM, num_contexts=COUNT, seed=0, name="fc1", **(valid or {})),
        {
            "dim": {TypeError: NO_INTEGERS, ValueError: BELOW_ONE | HUGE},
            "num_contexts": {TypeError: NO_INTEGERS, ValueError: BELOW_ONE | HUGE},
            "seed": {TypeError: NO_INTEGERS},
            "name": {TypeError: NO_TEXTS, ValueError: st.just("\ud800")},
            **(refused or {}),
        },
    )


def refusing(cls, **refused):
    """What only this family, or only with these options, refuses."""
    return Call(family_name(cls), [cls], arguments(dim=DIM, num_contexts=COUNT, seed=0), refused)


def of_all(name, valid, refused, families=FAMILIES):
    """A method of every family; its objects are made once, since no argument changes them."""
    cls, method = name.split(".")
    made = [family(DIM, COUNT, seed=0) for family in families]
    owners = [
        contexts
        for contexts in made
        if any(each.__name__ == cls and method in vars(each) for each in type(contexts).__mro__)
    ]
    return Call(name, [getattr(contexts, method) for contexts in owners], valid, refused)


REAL = [family for family in FAMILIES if not family(DIM, COUNT, seed=0).is_complex]
LEARNED = {"learned": {TypeError: NO_FLAGS}}
INDEX = {TypeError: NO_INDICES, IndexError: NO_SUCH_INDICES}
NO_FIT = st.sampled_from(
    [torch.zeros(3).long(), torch.zeros(2, 2).long(), torch.zeros(2, device="meta").long()]
)
DTYPES = {
    TypeError: other_than("dtype")
    | st.sampled_from([torch.int64, torch.bool, torch.float8_e4m3fn, torch.complex32, np.float64])
}


def verb(name, argument, shape):
    valid = arguments(**{argument: torch.zeros(shape), "context": 1})
    refused = {
        argument: {TypeError: NO_VECTORS, ValueError: OTHER_LENGTHS},
        "context": {**INDEX, ValueError: NO_FIT},
    }
    real = {argument: {TypeError: COMPLEX}, "context": {}}
    return [of_all(name, valid, refused), of_all(name, valid, real, REAL)]


CALLS = [
    family(BinaryContexts, {"learned": False}, LEARNED),
    family(
        BlockRotationContexts,
        {"block_size": 2},
        {
            "block_size": {
                TypeError: other_than("integer", "none"),
                ValueError: BELOW_ONE | HUGE | st.just(3),
            }
        },
    ),
    family(ComplexContexts, {"learned": False}, LEARNED),
    family(IdentityContexts),
    family(KroneckerRotationContexts),
    refusing(KroneckerRotationContexts, dim={ValueError: PRIMES}),
    refusing(BlockRotationContexts, dim={ValueError: PRIMES}),
    *(
        refusing(partial(cls, learned=True), num_contexts={ValueError: TOO_MANY_TO_LEARN})
        for cls in (BinaryContexts, ComplexContexts, LocalMixContexts)
    ),
    family(
        LocalMixContexts,
        {"neighbours": 1, "learned": False},
        {
            **LEARNED,
            "neighbours": {TypeError: NO_INTEGERS, ValueError: st.integers(max_value=-1) | HUGE},
        },
    ),
    family(OnePowerContexts, {"learned": False}, LEARNED),
    family(PermutationContexts),
    family(RotationContexts),
    family(SignedPermutationContexts),
    *verb("Contexts.bind", "x", (2, DIM)),
    *verb("Contexts.unbind", "x", (2, DIM)),
    *verb("Contexts.store", "weight", (2, 3, DIM)),
    *verb("Contexts.retrieve", "weight", (2, 3, DIM)),
    of_all(
        "Contexts.look_up",
        arguments(like=torch.zeros(2, DIM), context=1, check=True),
        {
            "like": {TypeError: NO_VECTORS},
            "context": {**INDEX, ValueError: st.just(torch.tensor(1, device="meta"))},
            "check": {},  # whatever it is, what is not False means that it is checked
        },
    ),
    of_all(
        "Contexts.matrix",
        arguments(context=1, dtype=torch.float64),
        {
            "context": {**INDEX, ValueError: st.just(torch.tensor(1, device="meta"))},
            "dtype": DTYPES,
        },
    ),
    of_all(
        "Contexts.draw",
        arguments(index=1),
        {
            "index": {
                TypeError: NO_INTEGERS,
                IndexError: st.integers(max_value=-1) | st.integers(min_value=COUNT),
            }
        },
    ),
    of_all("Contexts.fill", arguments(like=torch.zeros(2, DIM)), {"like": {TypeError: NO_VECTORS}}),
    of_all(
        "Contexts.num_parameters",
        arguments(num_contexts=3),
        {"num_contexts": {TypeError: NO_INTEGERS, ValueError: BELOW_ONE}},
    ),
    of_all(
        "Contexts.set_extra_state",
        lambda: {"state": BinaryContexts(DIM, COUNT, seed=0).get_extra_state()},
        {"state": {TypeError: NO_TENSORS, ValueError: NO_STATES}},
    ),
    Call(
        "num_parameters",
        [num_parameters],
        arguments(contexts=BinaryContexts(DIM, COUNT, seed=0), out_features=3, num_models=2),
        {
            "contexts": {TypeError: other_than() | st.just(BinaryContexts)},
            "out_features": {TypeError: NO_INTEGERS, ValueError: BELOW_ONE},
            "num_models": {TypeError: NO_INTEGERS, ValueError: BELOW_ONE},
        },
    ),
]


@pytest.mark.parametrize("refusal", refusals(CALLS), ids=str)
def test_bad_arguments_are_refused_by_name(refusal, record_property):
    record_property("bad arguments: psp-contexts", refusal.check(SOURCE))


def test_every_argument_of_everything_public_is_in_the_table():
    assert missing_from(CALLS, [psp_contexts]) == set()
