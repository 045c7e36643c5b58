"""Every argument of everything public: bad values are refused by name, at the door."""

import copy
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import psp_nn
from psp_contexts import BinaryContexts, BlockRotationContexts, ComplexContexts, RotationContexts
from psp_contexts.testing import Call, missing_from, number_of_cases, other_than, refusals
from psp_nn import (
    ElasticWeightConsolidation,
    InferBy,
    InferredContext,
    LayerReport,
    Norms,
    Report,
    SuperposedModels,
    SynapticIntelligence,
    benchmark,
    fisher_diagonal,
    infer_context,
    learn_contexts,
    load,
    report,
    retrieve,
    save,
    store,
    superpose,
    superpose_models,
    use_context,
)

pytestmark = pytest.mark.reliability

SOURCE = Path(psp_nn.__file__).parent
COUNT = 5
HUGE = st.integers(min_value=2**63)


def plain(features=4, classes=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(features, 6), nn.ReLU(), nn.Linear(6, classes))


def superposed(net, family=BinaryContexts, **options):
    return superpose(net, family=family, num_contexts=COUNT, seed=0, **options)


def changed(net, function):
    net = copy.deepcopy(net)
    with torch.no_grad():
        function(net)
    return net


def make_complex(net):
    net[0].weight = nn.Parameter(net[0].weight.to(torch.complex64))


# Made once: what is refused is not changed.
PLAIN, NET = plain(), superposed(plain())
COMPLEX = superposed(plain(), ComplexContexts)
IMAGES = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))
WITHOUT_STATISTICS = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False))
NO_CLASSIFIER = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3)))

NO_NETS = other_than() | st.sampled_from([nn.Linear, "net", [nn.Linear(2, 2)], {}])
NOT_SUPERPOSED = st.sampled_from([PLAIN, nn.ReLU(), nn.Sequential(), BinaryContexts(4, 5, seed=0)])
NO_INTEGERS = other_than("integer")
BELOW_ONE = st.integers(max_value=0)
NO_FLAGS = {TypeError: other_than("flag")}
OUTSIDE = st.integers(max_value=-1) | st.integers(min_value=COUNT)
NET_IN = {TypeError: NO_NETS, ValueError: NOT_SUPERPOSED}

NO_INDICES = other_than("integer", "tensor") | st.sampled_from(
    [torch.tensor(1.0), torch.tensor(True), torch.tensor([1], dtype=torch.int32), torch.zeros(2)]
)
NO_SUCH_INDICES = OUTSIDE | st.sampled_from(
    [10**30, torch.tensor(-1), torch.tensor([0, COUNT]), torch.tensor(2**62)]
)
NO_FIT = st.sampled_from(
    [
        torch.zeros(2, 2).long(),
        torch.zeros(2, device="meta").long(),
        torch.zeros((), device="meta").long(),
        torch.zeros(2).long().to_sparse(),
    ]
)
ONE_INDEX = {
    TypeError: NO_INDICES | st.just(torch.tensor([0, 1])),
    IndexError: OUTSIDE | st.sampled_from([10**30, torch.tensor(-1), torch.tensor(COUNT)]),
    ValueError: st.just(torch.zeros((), device="meta").long()),
}

NO_FAMILIES = other_than() | st.sampled_from(
    [
        "BinaryContexts",
        BinaryContexts(4, COUNT, seed=0),
        nn.Linear,
        dict,
        lambda: BinaryContexts(4, COUNT, seed=0),
        lambda dim, count, seed, name: None,
        lambda dim, count, seed, name: nn.Linear(dim, count),
    ]
)
OTHER_SIZES = st.sampled_from(
    [
        partial(BlockRotationContexts, block_size=5),
        lambda dim, count, seed, name: BinaryContexts(dim + 1, count, seed=seed),
        lambda dim, count, seed, name: BinaryContexts(dim, 1, seed=seed),
    ]
)
NO_TEXTS = other_than("text", "list", "array", "mapping") | st.sampled_from(
    [[1], ["0", None], {"0": 1}, torch.zeros(2), b"0"]
)
NO_SUCH_LAYERS = st.sampled_from(["1", "layer*", "0.weight", ["0", "x"], "", ("\ud800",)])
CANNOT_BE_TURNED = st.sampled_from(
    [
        nn.ReLU(),
        nn.Sequential(),
        NET,
        nn.Sequential(nn.LazyLinear(3)),
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)),
    ]
)

NO_NUMBERS = other_than("integer", "real") | st.just(torch.tensor(1.0))
NEITHER_FINITE_NOR_POSITIVE = st.sampled_from([float("nan"), float("inf"), 10**400]) | st.floats(
    max_value=-1e-9, allow_nan=False
)
STRENGTH = {TypeError: NO_NUMBERS, ValueError: NEITHER_FINITE_NOR_POSITIVE}
NO_BATCHES = other_than("list", "array", "object") | st.sampled_from(
    [torch.zeros(2, 4), [1], [PLAIN], [[torch.zeros(2, 4)]], "ab", {}, PLAIN]
)
EMPTY_OR_OTHER_BATCHES = st.sampled_from(
    [
        [],
        [torch.zeros(0, 4)],
        [torch.tensor(1.0)],
        [torch.zeros(2, 3)],
        [torch.zeros(2, 4).long()],
        [torch.zeros(2, 4, device="meta")],
        [torch.zeros(2, 4), torch.zeros(2, 5)],
    ]
)
BATCHES = {TypeError: NO_BATCHES, ValueError: EMPTY_OR_OTHER_BATCHES}
CHUNK = {TypeError: NO_INTEGERS, ValueError: BELOW_ONE}

PATHS = other_than("text") | st.sampled_from([b"net", 0, ["net"]])
NO_NAMES = st.sampled_from(["", ".", "/", "a\0b", "\ud800", Path()])

OTHER_INPUTS = st.lists(st.integers(0, 5), max_size=3).map(torch.zeros)
ELSEWHERE = torch.zeros(2, 4, device="meta")


def dtypes(*shape):
    return st.sampled_from(
        [
            torch.zeros(shape, dtype=dtype)
            for dtype in (torch.float16, torch.float64, torch.int64, torch.bool, torch.complex64)
        ]
    )


def inputs(shape, bad_shapes):
    """What a layer refuses that takes tensors of this shape."""
    return {
        TypeError: other_than("tensor") | dtypes(*shape),
        ValueError: st.sampled_from([torch.zeros(size) for size in bad_shapes])
        | st.just(torch.zeros(shape, device="meta")),
    }


def arguments(**given):
    """A function that gives these arguments."""
    return lambda: dict(given)


def penalties(cls, *, flags=(), **more):
    state = cls(PLAIN, strength=1.0).state_dict()
    name = next(part for part, values in state.items() if isinstance(values, dict))
    full = {**state, name: {"0.weight": torch.zeros(1)}}
    on_meta = {key: value.to("meta") for key, value in PLAIN.state_dict().items()}
    no_states = st.sampled_from(
        [{}, {"importance": {}}, {1: {}, "b": {}}, full, {**state, name: on_meta}]
    )
    return [
        Call(
            cls.__name__,
            [cls],
            arguments(net=PLAIN, strength=1.0, **more),
            {
                "net": {TypeError: NO_NETS, ValueError: st.sampled_from([nn.ReLU(), nn.Flatten()])},
                "strength": STRENGTH,
            }
            | {
                name: {**STRENGTH, ValueError: NEITHER_FINITE_NOR_POSITIVE | st.just(0)}
                for name in more
            }
            | dict.fromkeys(flags, NO_FLAGS),
        ),
        Call(
            f"{cls.__name__}.load_state_dict",
            [cls(PLAIN, strength=1.0).load_state_dict],
            arguments(state=state),
            {
                "state": {
                    TypeError: other_than("mapping") | st.just({**state, name: [1]}),
                    ValueError: no_states,
                }
            },
        ),
    ]


def layer(name, layers, shape, bad_shapes):
    refused = inputs(shape, bad_shapes)
    return Call(name, layers, arguments(input=torch.zeros(shape)), {"input": refused})


def convolution(dims, transposed=False, **options):
    kind = getattr(nn, f"Conv{'Transpose' if transposed else ''}{dims}d")
    shape = (2, 4, *[5] * dims)
    sizes = [(), (4,), (2, 3, *[5] * dims), (2, 4, *[5] * (dims + 2))]
    sizes += [] if transposed else [(2, 4, *[2] * dims)]
    made = [superposed(kind(4, 6, 3, groups=groups), **options) for groups in (1, 2)]
    return layer(f"Superposed{kind.__name__}.forward", made, shape, sizes)


def attention():
    made = [
        superposed(nn.MultiheadAttention(4, 2, batch_first=True)),
        superposed(nn.MultiheadAttention(4, 2, batch_first=True, bias=False)),
    ]
    x = torch.zeros(2, 3, 4)
    refused = inputs(x.shape, [(), (4,), (2, 3, 5), (3, 3, 4), (2, 2, 3, 4), (3, 4)])
    others = inputs(x.shape, [(), (4,), (2, 3, 5), (3, 3, 4), (2, 4, 4)])
    masks = other_than("none", "tensor") | st.just(torch.zeros(2, 3).long())
    return Call(
        "SuperposedMultiheadAttention.forward",
        made,
        # Three tensors, as attention to something else has them, and not one.
        lambda: {"query": x, "key": x.clone(), "value": x.clone()},
        {
            "query": refused,
            "key": others,
            "value": others,
            "key_padding_mask": {
                TypeError: masks,
                ValueError: st.sampled_from([torch.zeros(3, 2), torch.zeros(3), torch.zeros(2, 4)]),
            },
            "attn_mask": {
                TypeError: masks,
                ValueError: st.sampled_from([torch.zeros(n) for n in (3, (2, 3), (2, 3, 3))]),
            },
            "need_weights": {},
            "average_attn_weights": {},
            "is_causal": {ValueError: st.just(True)},
        },
    )


def record(cls, *names):
    """What is returned and not made by a user: it takes anything."""
    return Call(cls.__name__, [cls], arguments(**dict.fromkeys(names)), {n: {} for n in names})


CALLS = [
    Call(
        "superpose",
        [superpose],
        arguments(net=PLAIN, family=BinaryContexts, num_contexts=COUNT, seed=0),
        {
            "net": {TypeError: NO_NETS, ValueError: CANNOT_BE_TURNED},
            "family": {TypeError: NO_FAMILIES, ValueError: OTHER_SIZES},
            "num_contexts": {TypeError: NO_INTEGERS, ValueError: BELOW_ONE | HUGE},
            "seed": {TypeError: NO_INTEGERS},
            "include": {TypeError: NO_TEXTS, ValueError: NO_SUCH_LAYERS | st.just(())},
            "exclude": {TypeError: NO_TEXTS, ValueError: NO_SUCH_LAYERS | st.just("*")},
            "norms": {TypeError: other_than() | st.just("frozen")},
            "bias_per_context": NO_FLAGS,
            "per_channel": NO_FLAGS,
            "random_phases": NO_FLAGS,
        },
    ),
    Call(
        "superpose",
        [partial(superpose, bias_per_context=True), superpose],
        arguments(net=IMAGES, family=BinaryContexts, seed=0),
        {"num_contexts": {MemoryError: st.integers(2**50, 2**63 - 1)}},
    ),
    Call(
        "superpose_models",
        [superpose_models],
        arguments(models=[PLAIN, PLAIN], family=BinaryContexts, seed=0, base=PLAIN),
        {
            "models": {
                TypeError: other_than("text", "list", "array")
                | st.sampled_from([PLAIN, [1], "ab", [PLAIN, None], [nn.Linear], {"0": PLAIN}]),
                ValueError: st.sampled_from([[], (), [PLAIN, plain(5)], [NET], [nn.ReLU()]]),
            },
            "family": {TypeError: NO_FAMILIES, ValueError: st.just(ComplexContexts)},
            "seed": {TypeError: NO_INTEGERS},
            "base": {
                TypeError: other_than("none"),
                ValueError: st.sampled_from([plain(5), nn.Sequential(nn.Linear(4, 3))]),
            },
            "num_contexts": {
                TypeError: other_than("integer", "none"),
                ValueError: st.integers(max_value=1) | HUGE,
            },
            "include": {TypeError: NO_TEXTS, ValueError: NO_SUCH_LAYERS},
            "norms": {TypeError: other_than()},
            "bias_per_context": {TypeError: st.booleans()},
            "random_phases": {TypeError: st.booleans()},
        },
    ),
    Call(
        "store",
        [store],
        arguments(net=NET, context=1, model=PLAIN),
        {
            "net": NET_IN,
            "context": ONE_INDEX,
            "model": {
                TypeError: NO_NETS,
                ValueError: st.sampled_from(
                    [
                        NET,
                        plain(5),
                        nn.ReLU(),
                        copy.deepcopy(PLAIN).to("meta"),
                        changed(PLAIN, make_complex),
                        changed(PLAIN, lambda net: net[0].weight[0].fill_(torch.nan)),
                        changed(PLAIN, lambda net: net[2].weight[0].fill_(torch.inf)),
                        changed(PLAIN, lambda net: net[2].bias.add_(1)),
                    ]
                ),
            },
        },
    ),
    Call(
        "retrieve",
        [retrieve],
        arguments(net=NET, context=1),
        {
            "net": NET_IN,
            "context": ONE_INDEX,
            "example": {TypeError: other_than("none", "tensor")},
        },
    ),
    Call(
        "retrieve",
        [retrieve],
        arguments(net=COMPLEX, context=1, example=torch.zeros(2, 4)),
        {
            "example": {
                TypeError: other_than("none", "tensor"),
                ValueError: st.sampled_from([None, torch.zeros(2, 5), torch.zeros(()), ELSEWHERE])
                | dtypes(2, 4).filter(lambda x: not x.is_complex()),
            },
        },
    ),
    Call(
        "use_context",
        [use_context],
        arguments(net=NET, context=torch.tensor([0, 1]), batch_dim=0),
        {
            "net": NET_IN,
            "context": {TypeError: NO_INDICES, IndexError: NO_SUCH_INDICES, ValueError: NO_FIT},
            "batch_dim": {TypeError: NO_INTEGERS, ValueError: st.integers(max_value=-1)},
        },
    ),
    Call("report", [report], arguments(net=NET), {"net": NET_IN}),
    Call(
        "learn_contexts",
        [learn_contexts],
        arguments(net=NET),
        {
            "net": {
                TypeError: NO_NETS,
                ValueError: NOT_SUPERPOSED | st.just(superposed(plain(), RotationContexts)),
            }
        },
    ),
    Call(
        "infer_context",
        [
            infer_context,
            partial(infer_context, by=InferBy.GRADIENT),
            partial(infer_context, per_sample=True),
        ],
        arguments(net=NET, x=torch.zeros(2, 4)),
        {
            "net": {
                TypeError: NO_NETS,
                ValueError: NOT_SUPERPOSED
                | st.sampled_from(
                    [
                        superposed(NO_CLASSIFIER),
                        superpose(plain(), family=BinaryContexts, num_contexts=2, seed=0),
                    ]
                ),
            },
            "x": {
                TypeError: other_than("tensor") | st.just(torch.zeros(2, 4).to_sparse()),
                ValueError: st.sampled_from(
                    [torch.zeros(()), torch.zeros(0, 4), torch.zeros(2, 5), torch.zeros(2, 3, 4)]
                )
                | dtypes(2, 4)
                | st.just(ELSEWHERE),
            },
            "per_sample": {},
            "by": {},
            "samples_at_once": {TypeError: NO_INTEGERS, ValueError: BELOW_ONE},
        },
    ),
    Call(
        "infer_context",
        [infer_context],
        arguments(net=NET, x=torch.zeros(2, 4)),
        {"per_sample": NO_FLAGS, "by": {TypeError: other_than() | st.just("gradient")}},
    ),
    Call(
        "save",
        [save],
        arguments(net=NET, path="/nowhere/at/all"),
        {
            "net": {
                **NET_IN,
                ValueError: NOT_SUPERPOSED | st.just(copy.deepcopy(NET).to("meta")),
            },
            "path": {
                TypeError: PATHS,
                ValueError: NO_NAMES,
                FileNotFoundError: st.sampled_from(["/nowhere/net", "nowhere/net"]),
                IsADirectoryError: st.just(SOURCE),
                NotADirectoryError: st.just(Path(psp_nn.__file__) / "net"),
                OSError: st.just(SOURCE / ("n" * 300)),
            },
        },
    ),
    Call(
        "load",
        [load],
        arguments(path=SOURCE / "__init__.py", into=NET),
        {
            "path": {
                TypeError: PATHS,
                ValueError: NO_NAMES | st.just(SOURCE / "__init__.py"),
                FileNotFoundError: st.sampled_from(["/nowhere/net", SOURCE, SOURCE / "_save.py/x"]),
            },
            "into": {
                **NET_IN,
                ValueError: NOT_SUPERPOSED
                | st.sampled_from(
                    [
                        copy.deepcopy(NET).to("meta"),
                        changed(
                            NET, lambda net: net.register_buffer("b", torch.zeros(1).expand(3))
                        ),
                    ]
                ),
            },
        },
    ),
    Call(
        "fisher_diagonal",
        [fisher_diagonal],
        arguments(net=PLAIN, batches=[torch.zeros(2, 4)]),
        {
            "net": {
                TypeError: NO_NETS,
                ValueError: st.sampled_from(
                    [
                        WITHOUT_STATISTICS,
                        superposed(WITHOUT_STATISTICS, norms=Norms.BATCH),
                        NO_CLASSIFIER,
                        plain(5),
                    ]
                ),
            },
            "batches": BATCHES,
            "chunk": CHUNK,
        },
    ),
    *penalties(ElasticWeightConsolidation, flags=["online"]),
    Call(
        "ElasticWeightConsolidation.consolidate",
        [ElasticWeightConsolidation(PLAIN, strength=1.0).consolidate],
        arguments(batches=[torch.zeros(2, 4)]),
        {"batches": BATCHES, "chunk": CHUNK},
    ),
    *penalties(SynapticIntelligence, damping=0.1),
    Call(
        "Superposed.family",
        [NET[0].contexts_for],
        arguments(name="weight"),
        {
            "name": {
                TypeError: other_than("text"),
                ValueError: st.text().filter(lambda name: name != "weight"),
            }
        },
    ),
    Call(
        "Superposed.stored",
        [NET[0].stored],
        arguments(name="weight"),
        {
            "name": {
                TypeError: other_than("text"),
                ValueError: st.text().filter(lambda name: name not in ("weight", "bias")),
            }
        },
    ),
    layer(
        "SuperposedLinear.forward",
        # One binds the input and the other, with fewer rows than there are samples, the weight.
        [superposed(nn.Linear(4, rows)) for rows in (6, 1)],
        (2, 4),
        [(), (2, 1), (2, 5), (4, 2), (1,)],
    ),
    *[convolution(dims, transposed) for dims in (1, 2, 3) for transposed in (False, True)],
    convolution(2, per_channel=True),
    Call(
        "SuperposedEmbedding.forward",
        [superposed(nn.Embedding(4, 3))],
        arguments(input=torch.tensor([0, 3])),
        {
            "input": {
                TypeError: other_than("tensor") | dtypes(2).filter(torch.is_floating_point),
                IndexError: st.integers(4, 2**31).map(torch.tensor)
                | st.just(torch.tensor([[0, -1]])),
                ValueError: st.just(torch.zeros(2, device="meta").long()),
            }
        },
    ),
    attention(),
    record(InferredContext, "context", "score", "evidence"),
    record(SuperposedModels, "net", "snr"),
    record(Report, "num_contexts", "layers"),
    record(LayerReport, "name", "kind", "superposed", "reason", "numbers_before", "numbers_after"),
]


@pytest.mark.parametrize("refusal", refusals(CALLS), ids=str)
def test_bad_arguments_are_refused_by_name(refusal, record_property):
    record_property("bad arguments: psp-nn", refusal.check(SOURCE))


def test_every_argument_of_everything_public_is_in_the_table():
    assert missing_from(CALLS, [psp_nn]) == set()


FLAGS = {
    "parts": st.text(min_size=1).filter(lambda text: not text.startswith("-")),
    "--seconds": st.text() | st.floats().filter(lambda x: not 0 <= x <= 86_400).map(str),
    "--widths": st.text() | st.integers().filter(lambda n: not 1 <= n <= 16_384).map(str),
}


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("flag", FLAGS)
def test_bad_flags_of_the_benchmark_are_refused_by_name(flag, capsys, record_property):
    tried = 0

    @settings(
        max_examples=number_of_cases(),
        deadline=None,
        database=None,
        derandomize=number_of_cases() < 5,
    )
    @given(FLAGS[flag])
    def run(text):
        nonlocal tried
        tried += 1
        words = [text] if flag == "parts" else [f"{flag}={text}"]
        with pytest.raises(SystemExit) as ended:
            benchmark.main(words)
        assert ended.value.code == 2
        assert f"argument {flag}: " in capsys.readouterr().err

    run()
    record_property("bad arguments: psp-nn", tried)


@pytest.mark.parametrize(
    ("net", "x"),
    [
        (nn.Linear(4, 3), torch.zeros(2, 4)),
        (nn.Conv2d(4, 3, 1), torch.zeros(2, 4, 5, 5)),
        (nn.Embedding(4, 3), torch.zeros(2).long()),
        (nn.MultiheadAttention(4, 2), torch.zeros(2, 3, 4)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_weights_without_data_are_multiplied_with_nothing(net, x):
    net = superposed(net).to("meta")
    inputs = (x, x, x) if isinstance(net, nn.MultiheadAttention) else (x,)
    with pytest.raises(ValueError, match=r"is on meta, but its .* on cpu"):
        net(*inputs)


@pytest.mark.parametrize("net", [nn.BatchNorm1d(4), nn.InstanceNorm1d(4, track_running_stats=True)])
def test_norms_of_a_mixed_batch_broadcast_nothing(net):
    net = superposed(net).eval()
    use_context(net, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"norms \(4,\) channels, but its input x has shape"):
        net(torch.ones(2, 1, 5))


def test_contexts_are_inferred_by_a_gradient_only_of_inputs_that_fit():
    net = superposed(nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)), include="1")
    assert infer_context(net, torch.randn(2, 4), by=InferBy.GRADIENT).context.shape == ()
    net = superposed(nn.Sequential(nn.BatchNorm1d(4), nn.Linear(1, 3)))
    with pytest.raises(ValueError, match=r"norms \(4,\) channels"):
        infer_context(net, torch.randn(2, 1), by=InferBy.GRADIENT)


def test_a_half_precise_input_is_taken_where_the_plain_layer_takes_it():
    net, x = superposed(nn.Linear(4, 3)), torch.ones(2, 4, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert net(x).dtype == torch.bfloat16
    with pytest.raises(TypeError, match=r"weights of torch.float32, but its input x is torch.bfl"):
        net(x)


def test_models_may_come_from_a_generator():
    together = superpose_models(
        (plain() for _ in range(2)), family=BinaryContexts, seed=0, base=plain()
    )
    assert len(together.snr) == 2


def test_what_is_refused_is_not_half_done():
    before = {name: value.clone() for name, value in NET.state_dict().items()}
    with pytest.raises(ValueError, match="not a number"):
        store(NET, 1, changed(PLAIN, lambda net: net[2].weight[0].fill_(torch.nan)))
    assert all(torch.equal(value, before[name]) for name, value in NET.state_dict().items())
    assert all(layer.superposition.selection.index == 0 for layer in (NET[0], NET[2]))
