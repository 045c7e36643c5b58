"""Every argument of everything public: bad values are refused by name, at the door."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

import analysis
from analysis import capacity, metrics, overlap, retrieval, symbolic, theory
from analysis.capacity import Capacity
from psp_contexts import (
    BinaryContexts,
    ComplexContexts,
    KroneckerRotationContexts,
    LocalMixContexts,
    PermutationContexts,
)
from psp_contexts.testing import Call, missing_from, other_than, refusals

pytestmark = pytest.mark.reliability

SOURCE = Path(analysis.__file__).parent
RESULTS = ("Capacity", "Growth", "Retrieval", "Estimate")
"""What functions return; nobody else makes them."""

DIM, COUNT = 4, 5
REAL, PHASED = BinaryContexts(DIM, COUNT, seed=0), ComplexContexts(DIM, COUNT, seed=0)
W, X, Q = torch.ones(2, DIM), torch.ones(DIM), torch.eye(DIM)[:, :2]

HUGE = st.just(10**30) | st.integers(min_value=2**64)
NO_INTEGER = {TypeError: other_than("integer")}
COUNTS = {**NO_INTEGER, ValueError: st.integers(max_value=0)}
MANY = {**NO_INTEGER, ValueError: st.integers(max_value=0) | HUGE}
SEED = {**NO_INTEGER, ValueError: HUGE}
FLAG = {TypeError: other_than("flag")}
NO_NUMBERS = other_than("integer", "real", "array", "tensor")
NO_NUMBERS |= st.sampled_from([np.zeros(2), torch.zeros(2), torch.tensor(True), torch.tensor(1j)])
INFINITE = st.sampled_from([float("nan"), float("inf"), -float("inf"), 10**400])
NUMBER = {TypeError: NO_NUMBERS, ValueError: INFINITE}
NO_SEQUENCE = other_than("list", "array", "tensor")
NO_SEQUENCE |= st.sampled_from([torch.tensor(2), np.array(2), [None], ["1"], [True], [1j], "12"])
FAMILY = {
    TypeError: other_than() | st.sampled_from([dict, BinaryContexts.bind, lambda *_, **__: 3]),
    ValueError: st.just(BinaryContexts(DIM + 1, 2, seed=0)),
    NotImplementedError: st.just(BinaryContexts(DIM, 2, seed=0, learned=True)),
}
CONTEXTS = {TypeError: other_than() | st.just(BinaryContexts)}
NO_TENSOR = other_than("tensor") | st.just(torch.zeros(DIM).bool())
NO_FLOATS = NO_TENSOR | st.sampled_from([torch.zeros(DIM).long(), torch.zeros(DIM).int()])
COMPLEX = st.just(torch.zeros(2, DIM).cfloat())
NOWHERE = st.sampled_from([torch.ones(2, DIM, device="meta"), torch.ones(2, DIM).to_sparse()])
NO_VECTORS = NOWHERE | st.sampled_from([torch.tensor(1.0), torch.zeros(2, 0), torch.zeros(2, 5)])
NO_ROWS = NO_VECTORS | st.sampled_from([torch.zeros(DIM), torch.zeros(2, 2, DIM)])
APART = st.just(torch.zeros(3, DIM))  # of another leading dimension than the rest
VECTORS = {TypeError: NO_TENSOR | COMPLEX, ValueError: NO_VECTORS}
ROWS = {TypeError: NO_TENSOR | COMPLEX, ValueError: NO_ROWS}
BASIS = {
    TypeError: NO_FLOATS | st.sampled_from([Q.cfloat(), Q.half()]),
    ValueError: NOWHERE
    | st.sampled_from([Q[0], Q[None], Q[:, :0], Q.T, 2 * Q, Q * float("nan"), torch.ones(4, 2)]),
}
ANY_BASIS = {**BASIS, TypeError: NO_FLOATS | st.just(Q.half())}
OFFSET = {
    TypeError: other_than("integer", "none"),
    ValueError: st.sampled_from([0, 10**30, -(2**63)]),
}
ONE_OFFSET = {**OFFSET, TypeError: other_than("integer")}
INDEX = {
    TypeError: other_than("integer"),
    IndexError: st.integers(max_value=-1) | st.integers(min_value=COUNT),
}
INDICES = {
    TypeError: other_than("integer", "tensor")
    | st.sampled_from([torch.ones(2), torch.zeros(1).int()]),
    IndexError: INDEX[IndexError] | st.sampled_from([torch.tensor(-1), torch.tensor([0, COUNT])]),
    ValueError: st.just(torch.zeros(2, device="meta").long()),
}
NOT_BROADCASTING = {**INDICES, ValueError: INDICES[ValueError] | st.just(torch.zeros(3).long())}


def at_least(least, other=()):
    """A number or a tensor of them, at least so much, that broadcasts against pairs."""
    return {
        TypeError: other_than("integer", "real", "tensor", "array")
        | st.sampled_from([torch.tensor(1j), torch.tensor(True), np.zeros(2)]),
        ValueError: INFINITE
        | st.integers(max_value=least - 1)
        | st.sampled_from([torch.tensor([2.0, least - 1]), torch.tensor([2.0, float("nan")])])
        | st.sampled_from([torch.ones(3), torch.ones(2, device="meta"), *other]),
    }


def given(**arguments):
    return lambda: dict(arguments)


def moment(function):
    valid = given(family=REAL, w=W, x=X, offset=None)
    refused = {
        "family": FAMILY,
        "w": VECTORS,
        "x": {**VECTORS, ValueError: NO_VECTORS | APART},
        "offset": OFFSET,
    }
    return Call(function.__name__, [function], valid, refused)


def symbolic_moment(function):
    too_large = st.sampled_from(
        [
            BinaryContexts(10, 2, seed=0),
            PermutationContexts(6, 2, seed=0),
            LocalMixContexts(99, 2, seed=0),
        ]
    )
    no_law = KroneckerRotationContexts(8, 2, seed=0)
    return Call(
        function.__name__,
        [function],
        given(contexts=BinaryContexts(2, 2, seed=0), offset=1),
        {
            "contexts": {**CONTEXTS, ValueError: too_large, NotImplementedError: st.just(no_law)},
            "offset": {**NO_INTEGER, ValueError: st.just(0)},
        },
    )


CURVE = {
    TypeError: NO_SEQUENCE,
    ValueError: st.sampled_from([[], [1.0], [1.0, float("nan")], [float("nan"), 1.0]]),
}
KS = {
    TypeError: NO_SEQUENCE | st.sampled_from([[1.0], [0.5, 2], torch.ones(2), np.ones(2)]),
    ValueError: st.sampled_from(
        [[], [0, 1], [-1, 2], [2, 1], [2, 2], [1], [1, 2, 3], [1, 10**400]]
    ),
}
MATRIX = {
    TypeError: st.sampled_from([[["a"]], [[None]], [[1j]], [[True]], "a", [["1"]]]),
    ValueError: other_than("text", "bytes", "list", "array", "mapping")
    | st.sampled_from(
        [
            [],
            {},
            b"",
            [0.5],
            np.zeros(2),
            [[0.5], [0.5]],
            [[1.5]],
            [[-0.1]],
            [[float("nan")]],
            [[50]],
        ]
    ),
}
THREE = [[1.0], [0.5, 1.0], [0.5, 0.5, 1.0]]
OPEN_UNIT = {
    TypeError: NO_NUMBERS,
    ValueError: INFINITE | st.floats(min_value=1) | st.floats(max_value=0),
}
FOUND = [Capacity(4, 8, 5.0), Capacity(8, 16, 9.0)]
WEIGHTS, INPUTS = torch.ones(3, 2, DIM), torch.ones(3, 1, DIM)
PAIRS = {
    TypeError: other_than("object", "dtype")
    | st.sampled_from(
        [
            WEIGHTS,
            (WEIGHTS, 3),
            (WEIGHTS,),
            (WEIGHTS.long(), INPUTS.long()),
            (WEIGHTS.cfloat(), INPUTS.cfloat()),
            (WEIGHTS.double(), INPUTS),
            lambda index: None,
            lambda index: (WEIGHTS[index], None),
        ]
    ),
    ValueError: st.sampled_from(
        [
            (WEIGHTS[0], INPUTS),
            (WEIGHTS, INPUTS[:2]),
            (WEIGHTS[..., :3], INPUTS),
            (WEIGHTS[:0], INPUTS[:0]),
            (WEIGHTS[:, :0], INPUTS),
            (WEIGHTS.to("meta"), INPUTS.to("meta")),
            lambda index: (WEIGHTS[:1], INPUTS),
        ]
    ),
}
MODELS = {"num_models": MANY, "out_features": MANY, "dim": MANY, "seed": SEED}
DTYPE = {TypeError: other_than("dtype") | st.sampled_from([torch.int64, torch.cfloat, np.float32])}
OVERLAP = {
    "contexts": CONTEXTS,
    "basis": {**BASIS, ValueError: BASIS[ValueError] | st.just(torch.eye(5))},
    "stored": NOT_BROADCASTING,
    "read": INDICES,
}
STEP = {
    "family": FAMILY,
    "gradient": ROWS,
    "x": ROWS,
    "learning_rate": NUMBER,
}
WHOLE = given(contexts=REAL, basis=Q, stored=0, read=torch.tensor([1, 2]))

CALLS = [
    Call(
        "capacity_at_snr",
        [capacity.capacity_at_snr],
        given(num_models=[1, 2], snr=[2.0, 1.0], target=1.5),
        {
            "num_models": KS,
            "snr": {**CURVE, ValueError: CURVE[ValueError] | st.just([2.0, 0.0])},
            "target": {TypeError: NO_NUMBERS, ValueError: INFINITE | st.floats(max_value=0)},
        },
    ),
    Call(
        "capacity_at_tolerance",
        [capacity.capacity_at_tolerance],
        given(num_models=[1, 2], accuracy=[1.0, 0.5], when_learned=1.0, tolerance=0.1),
        {
            "num_models": KS,
            "accuracy": {**CURVE, ValueError: CURVE[ValueError] | st.just([1.0, float("inf")])},
            "when_learned": {
                TypeError: st.sampled_from([None, True, "1", 1j, ["1"], {}, len]),
                ValueError: CURVE[ValueError] | INFINITE | st.just([1.0] * 3),
            },
            "tolerance": {
                TypeError: NO_NUMBERS,
                ValueError: INFINITE | st.floats(max_value=0, exclude_max=True),
            },
        },
    ),
    Call(
        "fit_growth",
        [capacity.fit_growth],
        given(dims=[4, 8], capacities=FOUND, confidence=0.9, offset=0.0),
        {
            "dims": {
                TypeError: KS[TypeError],
                ValueError: st.sampled_from([[], [0, 1], [-1, 2], [1], [1, 2, 3]]),
            },
            "capacities": {
                TypeError: other_than("list", "text", "bytes")
                | st.sampled_from([[1, 2], [None, None], "ab", FOUND[0]]),
                ValueError: st.sampled_from([[], FOUND[:1], FOUND * 2]),
            },
            "confidence": OPEN_UNIT,
            "offset": NUMBER,
        },
    ),
    Call("average_accuracy", [metrics.average_accuracy], given(), {"accuracy": MATRIX}),
    *(
        Call(
            function.__name__,
            [function],
            given(),
            {"accuracy": {**MATRIX, ValueError: MATRIX[ValueError] | st.just([[1.0]])}},
        )
        for function in (metrics.forgetting, metrics.backward_transfer)
    ),
    Call(
        "last_average_accuracy",
        [metrics.last_average_accuracy],
        given(accuracy=THREE, count=1),
        {
            "accuracy": MATRIX,
            "count": {**COUNTS, ValueError: st.integers(max_value=0) | st.integers(min_value=4)},
        },
    ),
    Call("subspace_overlap", [overlap.subspace_overlap], WHOLE, OVERLAP),
    Call("principal_angles", [overlap.principal_angles], WHOLE, OVERLAP),
    Call(
        "principal_basis",
        [overlap.principal_basis],
        given(x=torch.ones(3, DIM), rank=2),
        {
            "x": {
                TypeError: NO_FLOATS | st.just(torch.ones(3, DIM).half()),
                ValueError: NOWHERE
                | st.sampled_from(
                    [X, torch.ones(1, DIM), torch.ones(3, 0), torch.full((3, 4), torch.nan)]
                ),
            },
            "rank": {**COUNTS, ValueError: st.integers(max_value=0) | st.integers(min_value=4)},
        },
    ),
    Call(
        "aligned_models",
        [retrieval.aligned_models],
        given(num_models=2, out_features=3, dim=DIM, seed=0),
        {**MODELS, "shared": FLAG, "rectified": FLAG, "dtype": DTYPE},
    ),
    Call(
        "generic_models",
        [retrieval.generic_models],
        given(num_models=2, out_features=3, dim=DIM, seed=0),
        {**MODELS, "num_inputs": MANY, "dtype": DTYPE},
    ),
    Call(
        "estimate",
        [retrieval.estimate],
        given(),
        {
            "samples": {
                TypeError: NO_TENSOR,
                ValueError: NOWHERE
                | st.sampled_from(
                    [torch.ones(()), torch.ones(1), torch.ones(2, 2), torch.ones(3) * 1j]
                ),
            }
        },
    ),
    Call(
        "Estimate.agrees",
        [retrieval.Estimate(1.0, 0.1).agrees],
        given(truth=1.0),
        {"truth": NUMBER, "errors": NUMBER, "rounding": NUMBER},
    ),
    Call(
        "interference",
        [retrieval.interference],
        given(contexts=REAL, w=W, x=X, stored=torch.tensor([0, 1]), read=2),
        {
            "contexts": CONTEXTS,
            "w": {TypeError: NO_FLOATS | COMPLEX, ValueError: NO_VECTORS | APART},
            "x": {TypeError: NO_FLOATS | COMPLEX, ValueError: NO_VECTORS | APART},
            "stored": NOT_BROADCASTING,
            "read": NOT_BROADCASTING,
        },
    ),
    Call(
        "measure_retrieval",
        [retrieval.measure_retrieval],
        given(contexts=REAL, models=(WEIGHTS, INPUTS), num_models=[2, 3]),
        {
            "contexts": CONTEXTS,
            "models": PAIRS,
            "num_models": {
                TypeError: KS[TypeError],
                ValueError: st.sampled_from([[], [1, 2], [3, 2], [2, 2], [2, 4], [2, 10**30]]),
            },
            "reads": COUNTS,
            "real_part": FLAG,
            "expected": FLAG,
            "device": {
                TypeError: other_than("text"),
                ValueError: st.text(max_size=2) | st.sampled_from(["meta", "cuda:99", "gpu"]),
            },
            "chunk_bytes": COUNTS,
        },
    ),
    Call("vectors", [symbolic.vectors], given(), {"dim": MANY}),
    *map(
        symbolic_moment,
        (symbolic.mean, symbolic.second_moment, symbolic.pseudo_moment, symbolic.fourth_moment),
    ),
    Call(
        "real_product_moment",
        [symbolic.real_product_moment],
        given(contexts=BinaryContexts(2, 2, seed=0), offset=1, other_offset=2),
        {
            "contexts": CONTEXTS,
            "offset": {**NO_INTEGER, ValueError: st.sampled_from([0, 2])},
            "other_offset": {**NO_INTEGER, ValueError: st.sampled_from([0, 1])},
        },
    ),
    Call(
        "sphere_moment",
        [symbolic.sphere_moment],
        given(order=2, dim=3),
        {
            "order": {**NO_INTEGER, ValueError: st.integers(max_value=-1) | st.integers(65) | HUGE},
            "dim": COUNTS,
        },
    ),
    *map(
        moment, (theory.mean, theory.second_moment, theory.pseudo_moment, theory.real_second_moment)
    ),
    Call(
        "fourth_moment",
        [theory.fourth_moment],
        given(family=REAL, w=W, x=X),
        {"family": FAMILY, "w": VECTORS, "x": {**VECTORS, ValueError: NO_VECTORS | APART}},
    ),
    Call(
        "tail_bound",
        [theory.tail_bound],
        given(family=REAL, w=W, x=X, threshold=1.0),
        {
            "family": {**FAMILY, NotImplementedError: st.just(PHASED)},
            "w": VECTORS,
            "x": {**VECTORS, ValueError: NO_VECTORS | APART},
            "threshold": at_least(0),
        },
    ),
    Call(
        "real_covariance",
        [theory.real_covariance],
        given(family=REAL, w=W, x=X, offset=1, other=X, other_offset=2),
        {
            "family": FAMILY,
            "w": VECTORS,
            "x": {**VECTORS, ValueError: NO_VECTORS | APART},
            "offset": {**ONE_OFFSET, ValueError: ONE_OFFSET[ValueError] | st.just(2)},
            "other": {**VECTORS, ValueError: NO_VECTORS | APART},
            "other_offset": {**ONE_OFFSET, ValueError: ONE_OFFSET[ValueError] | st.just(1)},
        },
    ),
    Call(
        "expected_noise_power",
        [theory.expected_noise_power],
        given(family=REAL, weights=WEIGHTS, x=W, read=0, real_part=False),
        {
            "family": FAMILY,
            "weights": {
                TypeError: NO_TENSOR,
                ValueError: NOWHERE | st.sampled_from([W, WEIGHTS[..., :3], WEIGHTS[:0]]),
            },
            "x": ROWS,
            "read": {**INDEX, IndexError: st.integers(max_value=-1) | st.integers(min_value=3)},
            "real_part": FLAG,
        },
    ),
    Call(
        "expected_overlap",
        [theory.expected_overlap],
        given(family=REAL, basis=Q, offset=None),
        {"family": FAMILY, "basis": BASIS, "offset": OFFSET},
    ),
    Call("coherence_penalty", [theory.coherence_penalty], given(), {"basis": ANY_BASIS}),
    Call("leverage_scores", [theory.leverage_scores], given(), {"basis": ANY_BASIS}),
    Call(
        "snr",
        [theory.snr],
        given(dim=torch.tensor([4, 8]), num_models=torch.tensor([2, 3]), squared_alignment=1.0),
        {"dim": at_least(1), "num_models": at_least(1), "squared_alignment": at_least(0)},
    ),
    Call(
        "largest_num_models",
        [theory.largest_num_models],
        given(dim=torch.tensor([4, 8]), target_snr=torch.tensor([2.0, 3.0]), squared_alignment=1.0),
        {
            "dim": at_least(1, [torch.tensor(1e200)]),
            "target_snr": at_least(1, [0.0, 1e-300])
            | {ValueError: st.sampled_from([0, -1.0, 1e-300])},
            "squared_alignment": at_least(0, [torch.tensor(1e200)]),
        },
    ),
    Call(
        "squared_alignment",
        [theory.squared_alignment],
        given(weight=torch.ones(2, 3, DIM), x=torch.ones(2, 1, DIM)),
        {
            "weight": {
                TypeError: NO_TENSOR,
                ValueError: NO_VECTORS | st.just(torch.ones(3, 1, DIM)),
            },
            "x": {TypeError: NO_TENSOR, ValueError: NO_VECTORS | st.just(torch.ones(3, 1, DIM))},
        },
    ),
    Call(
        "step_on_other",
        [theory.step_on_other],
        given(contexts=REAL, gradient=W, learning_rate=0.1, trained=0, read=1),
        {
            "contexts": {
                **CONTEXTS,
                ValueError: st.just(BinaryContexts(DIM, COUNT, seed=0, learned=True)),
            },
            "gradient": {TypeError: NO_FLOATS | COMPLEX, ValueError: NO_ROWS},
            "learning_rate": NUMBER,
            "trained": INDEX,
            "read": INDEX,
        },
    ),
    *(
        Call(
            function.__name__,
            [function],
            given(family=REAL, gradient=W, x=W, learning_rate=0.1),
            STEP,
        )
        for function in (theory.step_mean, theory.step_second_moment)
    ),
]


@pytest.mark.parametrize("refusal", refusals(CALLS), ids=str)
def test_bad_arguments_are_refused_by_name(refusal, record_property):
    record_property("bad arguments: analysis", refusal.check(SOURCE))


def test_every_argument_of_everything_public_is_in_the_table():
    modules = [capacity, metrics, overlap, retrieval, symbolic, theory]
    missing = missing_from(CALLS, modules)
    assert {
        each for each in missing if not each.startswith(tuple(f"{name}(" for name in RESULTS))
    } == set()


def test_text_for_a_dimension_is_not_run(tmp_path):
    proof = tmp_path / "code was run"
    with pytest.raises(TypeError, match="dim must be an int"):
        symbolic.sphere_moment(2, f"__import__('pathlib').Path({str(proof)!r}).touch()")
    assert not proof.exists()
