"""Superposed networks under the transforms and tools of PyTorch."""

import copy
import os
from functools import partial

import pytest
import torch
import torch.multiprocessing
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call, vmap
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from psp_contexts import BinaryContexts, ComplexContexts, RotationContexts
from psp_nn import Norms, Superposed, superpose, use_context
from psp_nn.testing import Shell, put_into_shells

superposed = partial(superpose, family=BinaryContexts, num_contexts=5, seed=0, base=False)


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LayerNorm(4),
        nn.Linear(4, 2),
    )


def fully_connected():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(147, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)
    )


IMAGES = torch.randn(6, 3, 7, 7, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def _fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.usefixtures("_fresh_compiler")
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_fullgraph_compilation_is_not_repeated_when_the_context_changes(mode):
    net = superposed(convolutional(), bias_per_context=True).train(mode == "train")
    twin = copy.deepcopy(net)
    counter = CompileCounter()
    compiled = torch.compile(net, backend=counter, fullgraph=True)
    for k in (0, 3, 1, 4):
        use_context(net, k)
        use_context(twin, k)
        y = compiled(IMAGES)
        torch.testing.assert_close(y, twin(IMAGES))
        y.sum().backward()
    assert counter.frame_count == 1
    for name, value in net.state_dict().items():  # statistics are updated for their context alone
        torch.testing.assert_close(value, twin.state_dict()[name])
    net.zero_grad()
    compiled(IMAGES).sum().backward()
    twin.zero_grad()
    twin(IMAGES).sum().backward()
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.usefixtures("_fresh_compiler")
def test_every_family_compiles_as_one_graph(family, mlp):
    net = superpose(mlp, family=family, num_contexts=5, seed=0, base=False)
    counter = CompileCounter()
    compiled = torch.compile(net, backend=counter, fullgraph=True)
    x = torch.randn(4, 12, dtype=torch.float64)
    for k in (2, 4, 0):
        use_context(net, k)
        torch.testing.assert_close(compiled(x), net(x))
    assert counter.frame_count == 1


@pytest.mark.usefixtures("_fresh_compiler")
def test_recurrent_layers_run_beside_compiled_code_and_switch_contexts():
    torch.manual_seed(0)
    net, x = superposed(Recurrent().double()), torch.randn(4, 7, 8, dtype=torch.float64)
    compiled = torch.compile(net, backend="eager")
    for k in (2, 4, torch.tensor([2, 0, 4, 2])):
        use_context(net, k)
        with torch.no_grad():
            torch.testing.assert_close(compiled(x), net(x))


@pytest.mark.usefixtures("_fresh_compiler")
def test_a_compiled_backward_pass_computes_the_same(mlp):
    net = superposed(mlp)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    x = torch.randn(4, 12, dtype=torch.float64)
    for k in (2, 4):
        use_context(net, k)
        torch.testing.assert_close(compiled(x), net(x))
        net.zero_grad()
        compiled(x).sum().backward()
        gradient = net[0].stored().grad.clone()
        net.zero_grad()
        net(x).sum().backward()
        torch.testing.assert_close(net[0].stored().grad, gradient)


@pytest.mark.usefixtures("_fresh_compiler")
@pytest.mark.parametrize("whole", [False, True])
def test_a_mixed_batch_runs_beside_compiled_code(mlp, whole):
    net = superposed(mlp, bias_per_context=True)
    compiled = torch.compile(net, backend="eager", fullgraph=whole)
    x = torch.randn(4, 12, dtype=torch.float64)
    use_context(net, torch.tensor([4, 1, 1, 0]))
    if whole:
        with pytest.raises(Exception, match="mixes contexts runs outside of compiled code"):
            compiled(x)
    else:
        torch.testing.assert_close(compiled(x), net(x), rtol=0, atol=0)
    use_context(net, 3)
    with torch.no_grad():  # the layers are compiled one by one if the whole network is not
        torch.testing.assert_close(compiled(x), net(x))


@pytest.mark.parametrize("strict", [False, True])
def test_a_network_exports_with_a_dynamic_batch(strict):
    net = superposed(convolutional()).eval()
    use_context(net, 3)
    dynamic = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(net, (IMAGES,), dynamic_shapes=dynamic, strict=strict)
    more = torch.cat([IMAGES, IMAGES + 1])
    torch.testing.assert_close(exported.module()(more), net(more))


@pytest.mark.parametrize("build", [fully_connected, convolutional])
@pytest.mark.parametrize("context", [3, [3, 1, 3, 0, 4, 2]], ids=["one", "mixed"])
def test_autocast_computes_in_bfloat16_near_full_precision(build, context, family):
    net = superposed(build(), family=family)
    use_context(net, torch.tensor(context))
    expected, expected_gradient = with_gradient(net, torch.float32)
    y, gradient = with_gradient(net, torch.bfloat16)
    is_complex = any(value.is_complex() for value in net.parameters())
    assert y.dtype == (torch.float32 if is_complex else torch.bfloat16)
    torch.testing.assert_close(y.float(), expected, atol=0.1, rtol=0.1)
    assert 0 < (gradient - expected_gradient).norm() < 0.15 * expected_gradient.norm()


def with_gradient(net, dtype):
    net.zero_grad()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        y = net(IMAGES)
    y.float().square().sum().backward()
    values = [value for value in net.parameters() if value.grad is not None]
    assert all(value.grad.dtype == value.dtype for value in values)
    return y, torch.cat([value.grad.abs().flatten() for value in values])


def test_a_state_dict_round_trips():
    net, other = superposed(convolutional()), superposed(convolutional())
    use_context(net, 3)
    net(IMAGES).sum().backward()
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    other.load_state_dict(net.state_dict())
    use_context(other, 3)
    torch.testing.assert_close(other.eval()(IMAGES), net.eval()(IMAGES))
    assert "0.weight" in net.state_dict()
    stranger = superpose(convolutional(), family=BinaryContexts, num_contexts=5, seed=1, base=False)
    with pytest.raises(ValueError, match="saved with other contexts"):
        stranger.load_state_dict(net.state_dict())


def test_a_copy_is_independent():
    net = superposed(convolutional()).eval()
    use_context(net, 3)
    twin = copy.deepcopy(net)
    expected = net(IMAGES)
    torch.testing.assert_close(twin(IMAGES), expected)
    use_context(twin, 1)
    torch.testing.assert_close(net(IMAGES), expected)
    assert (twin(IMAGES) - expected).abs().max() > 1e-3


def test_a_network_converts_to_another_dtype_and_back():
    net = superposed(convolutional()).eval()
    use_context(net, 3)
    expected = net(IMAGES)
    y = net.to(torch.float64)(IMAGES.double())
    torch.testing.assert_close(y.float(), expected)
    torch.testing.assert_close(net.float()(IMAGES), expected)


def test_a_complex_network_converts_both_parts_to_another_dtype(mlp):
    net = superpose(
        mlp, family=ComplexContexts, num_contexts=5, seed=0, base=False, bias_per_context=True
    )
    use_context(net, 3)
    x = torch.randn(4, 12, dtype=torch.float64)
    expected = net(x)
    for convert in (nn.Module.float, lambda net: net.to(torch.float64), nn.Module.double):
        convert(net)
        assert net[0].stored().is_complex()
        dtype = net[0].stored().real.dtype
        y = net(x.to(dtype))
        assert y.dtype == dtype
        torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(TypeError, match=r"layer '0' is complex.*bfloat16"):
        net.bfloat16()


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_gradients_are_those_of_the_context_in_use(reentrant, mlp):
    net, twin = superposed(mlp), superposed(mlp)
    x = torch.randn(4, 12, dtype=torch.float64, requires_grad=True)
    for context in (3, torch.tensor([4, 0, 0, 1])):
        use_context(net, context)
        use_context(twin, context)
        checkpoint(net, x, use_reentrant=reentrant).sum().backward()
        twin(x).sum().backward()
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_recomputation_with_another_context_is_refused_by_name(mlp):
    net = superposed(mlp)
    x = torch.randn(4, 12, dtype=torch.float64)
    with use_context(net, 3):
        loss = checkpoint(net, x, use_reentrant=False).sum()
    with pytest.raises(RuntimeError, match=r"'0' is recomputed .* with another context"):
        loss.backward()


def test_several_contexts_before_one_recomputation_are_refused_by_name(mlp):
    net = superposed(mlp)
    x = torch.randn(4, 12, dtype=torch.float64)
    losses = []
    for k in (3, 4):
        use_context(net, k)
        losses.append(checkpoint(net, x, use_reentrant=False).sum())
    with pytest.raises(
        RuntimeError, match=r"'0' is recomputed .* or after forward passes with several"
    ):
        sum(losses).backward()
    for k in (3, 4):  # the error leaves no state behind
        use_context(net, k)
        checkpoint(net, x, use_reentrant=False).sum().backward()


def test_other_forward_passes_do_not_prevent_a_recomputation():
    net, twin = superposed(convolutional()).eval(), superposed(convolutional()).eval()
    for context in (3, 1, torch.tensor([4, 0, 0, 1, 2, 2])):
        with torch.no_grad():
            use_context(net, 2)
            net(IMAGES)
        use_context(net, 0)
        net(IMAGES)
        use_context(net, context)
        use_context(twin, context)
        checkpoint(net, IMAGES, use_reentrant=False).sum().backward()
        twin(IMAGES).sum().backward()
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("family", [BinaryContexts, ComplexContexts, RotationContexts])
def test_vmap_runs_over_contexts(family, mlp):
    net = superpose(mlp, family=family, num_contexts=5, seed=0, base=False, bias_per_context=True)
    x = torch.randn(4, 12, dtype=torch.float64)

    def model(k):
        with use_context(net, k):
            return functional_call(net, dict(net.named_parameters()), (x,))

    every = vmap(model)(torch.tensor([4, 0, 2]))
    for k, y in zip((4, 0, 2), every, strict=True):
        use_context(net, k)
        torch.testing.assert_close(y, net(x))
    with pytest.raises(IndexError, match="context=5 is not one of the 5"):
        vmap(model)(torch.tensor([4, 5]))


def test_vmap_runs_over_contexts_of_convolutions_and_norms():
    net = superposed(convolutional()).eval()

    def model(k):
        with use_context(net, k):
            return net(IMAGES)

    every = vmap(model)(torch.arange(5))
    for k, y in enumerate(every):
        use_context(net, k)
        torch.testing.assert_close(y, net(IMAGES))


def linear():
    return nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 2))


def transformer():
    return nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.read, self.step = nn.LSTM(8, 6, batch_first=True), nn.GRUCell(6, 4)

    def forward(self, x):
        return self.step(self.read(x)[0][:, -1])


def a_training_step(net, x):
    optimiser = torch.optim.RMSprop(net.parameters())
    y = net(x)
    assert y.device.type == x.device.type
    y.square().mean().backward()
    optimiser.step()
    for value in [*net.parameters(), *net.buffers()]:
        assert value.device.type == x.device.type
    for layer in net.modules():
        if isinstance(layer, Superposed):
            for cached in layer.superposition.operators.values():
                assert all(
                    operand.device.type == x.device.type for operand in cached.operator.tensors
                )


@pytest.mark.parametrize("norms", [Norms.PER_CONTEXT, Norms.BATCH])
@pytest.mark.parametrize(
    ("plain", "size", "context"),
    [
        (convolutional, (2, 3, 7, 7), 3),
        (transformer, (2, 5, 8), 3),
        (linear, (2, 5, 8), 3),
    ],
)
def test_a_training_step_on_a_gpu_leaves_nothing_on_the_cpu(plain, size, context, norms):
    with FakeTensorMode():
        with torch.device("cuda"):
            original, x = plain(), torch.empty(size)
        net = superposed(original, bias_per_context=True, norms=norms)
        put_into_shells(net)
        use_context(net, context)
        a_training_step(net, Shell(x))


@pytest.mark.parametrize(("plain", "size"), [(linear, (2, 5, 8)), (convolutional, (2, 3, 7, 7))])
def test_a_mixed_batch_on_a_gpu_stays_there(plain, size):
    with FakeTensorMode(), torch.no_grad():
        with torch.device("cuda"):
            original, x = plain(), torch.empty(size)
        net = superposed(original, bias_per_context=True, per_channel=True).eval()
        use_context(net, torch.tensor([0, 4]))
        assert net(x).device.type == "cuda"


class LeavesBehind(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient + torch.ones(gradient.shape, device="cpu")


def test_a_tensor_left_on_the_cpu_fails_in_either_pass():
    with FakeTensorMode():
        with torch.device("cuda"):
            net, x = nn.Linear(3, 2), torch.empty(5, 3)
        put_into_shells(net)
        y = LeavesBehind.apply(net(Shell(x))).sum()
        with pytest.raises(RuntimeError, match="cuda:0 and cpu"):
            y.backward()
        net.bias = nn.Parameter(torch.empty(2, device="cpu"))
        with pytest.raises(RuntimeError, match="cpu"):
            net(Shell(x))


@pytest.mark.parametrize(
    ("plain", "size"),
    [
        (convolutional, (2, 3, 7, 7)),
        (transformer, (2, 5, 8)),
        (linear, (2, 5, 8)),
        (Recurrent, (2, 5, 8)),
    ],
)
def test_everything_moves_to_another_device(plain, size):
    net = superposed(plain(), bias_per_context=True)
    use_context(net, 3)
    net.to("meta")
    a_training_step(net, torch.empty(size, device="meta"))


def _train_in_parallel(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = superposed(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)))
    parallel = DistributedDataParallel(net)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    for step in range(3):
        use_context(net, (step + rank) % 5)  # each process trains another model
        optimiser.zero_grad()
        parallel(x[rank::2]).square().mean().backward()
        optimiser.step()
    torch.save(net.state_dict(), f"{folder}/{rank}")
    torch.distributed.destroy_process_group()


def test_two_processes_train_one_superposition(tmp_path, free_port, monkeypatch, pytestconfig):
    monkeypatch.syspath_prepend(pytestconfig.rootpath)  # where the other process finds this module
    torch.multiprocessing.spawn(_train_in_parallel, (free_port, str(tmp_path)), nprocs=2)
    states = [torch.load(tmp_path / str(rank), weights_only=True) for rank in range(2)]
    torch.manual_seed(0)
    net = superposed(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    for step in range(3):
        optimiser.zero_grad()
        for rank in range(2):
            use_context(net, (step + rank) % 5)
            (net(x[rank::2]).square().mean() / 2).backward()
        optimiser.step()
    for name, value in net.state_dict().items():
        for state in states:
            torch.testing.assert_close(state[name], value)


def test_a_meta_network_gets_its_parameters_by_assignment():
    source = superposed(convolutional()).eval()
    with torch.device("meta"):
        original = convolutional()
    net = superposed(original).eval()
    net.load_state_dict(source.state_dict(), assign=True)
    use_context(net, 3)
    use_context(source, 3)
    torch.testing.assert_close(net(IMAGES), source(IMAGES))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_functional_call_uses_contexts_of_its_dtype(dtype):
    net = superposed(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)))
    x = torch.randn(4, 3)
    for context in (3, torch.tensor([4, 0, 0, 1])):
        use_context(net, context)
        values = {name: value.to(dtype) for name, value in net.named_parameters()}
        y = functional_call(net, values, (x.to(dtype),))
        assert y.dtype == dtype
        torch.testing.assert_close(y.float(), net(x), rtol=0.1, atol=0.1)
