"""Superposition over a base: every model starts as the network, and differences are stored."""

import copy
from functools import partial

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.func import functional_call, vmap
from torch.nn import functional as F

from psp_contexts import (
    BinaryContexts,
    ComplexContexts,
    IdentityContexts,
    KroneckerRotationContexts,
    PermutationContexts,
)
from psp_nn import (
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

K = 4
over_a_base = partial(superpose, num_contexts=K, seed=0, base=True)


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, groups=2),
        nn.ConvTranspose2d(12, 6, 3, groups=3),
        nn.Conv2d(6, 6, 1, groups=6),
        nn.Flatten(),
        nn.Linear(6 * 16, 5),
    ).double()


def tokens():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, nhead=4, dim_feedforward=12, batch_first=True)
    return nn.Sequential(nn.Embedding(10, 8), layer, nn.Linear(8, 6)).double().eval()


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        torch.manual_seed(0)
        self.body = kind(6, 8, batch_first=True, **options)
        self.head = nn.Linear(options.get("proj_size", 8), 3)

    def forward(self, x):
        return self.head(self.body(x)[0])


def fully_connected():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 4)
    ).double()


NETS = {
    "mlp": (fully_connected, lambda: torch.randn(6, 12, dtype=torch.float64)),
    "convolutions": (convolutional, lambda: torch.randn(6, 4, 6, 6, dtype=torch.float64)),
    "tokens": (tokens, lambda: torch.randint(10, (6, 5))),
    "lstm": (
        lambda: Recurrent(nn.LSTM, proj_size=4, num_layers=2).double(),
        lambda: torch.randn(6, 5, 6, dtype=torch.float64),
    ),
    "gru": (
        lambda: Recurrent(nn.GRU).double(),
        lambda: torch.randn(6, 5, 6, dtype=torch.float64),
    ),
}


@pytest.fixture(params=NETS, ids=str)
def net_and_input(request):
    build, draw = NETS[request.param]
    return build().eval(), draw()


def perturbed(net, seed):
    """Return a copy of a network with other weights and biases."""
    generator = torch.Generator().manual_seed(seed)
    model = copy.deepcopy(net)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=generator, dtype=value.dtype))
    return model


def randomise(net):
    """Fill the differences of a superposition, as training would."""
    with torch.no_grad():
        for module in net.modules():
            for name in getattr(getattr(module, "superposition", None), "superposed", ()):
                module.stored(name).normal_(std=0.1)
    return net


@pytest.mark.parametrize("two_sided", [True, False])
def test_every_model_starts_as_the_network(family, two_sided, mlp):
    net = over_a_base(mlp, family=family, two_sided=two_sided)
    x = torch.randn(6, 12, dtype=torch.float64)
    expected = mlp(x)
    for context in (0, 3, torch.tensor([3, 0, 1, 1, 2, 0])):
        with use_context(net, context):
            torch.testing.assert_close(net(x), expected)
    for i in (0, 2, 4):  # without any rounding
        assert torch.equal(net[i].weight.real, mlp[i].weight)
    example = x if net[0].contexts_for().is_complex else None
    torch.testing.assert_close(retrieve(net, 2, example=example)(x), expected)


def test_a_trained_network_reads_the_digits_in_every_context():
    digits = load_digits()
    x, labels = torch.tensor(digits.data).float() / 16 - 0.3, torch.tensor(digits.target)
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimiser = torch.optim.RMSprop(plain.parameters(), lr=1e-3)
    for batch in torch.randint(1400, (600, 64)):
        optimiser.zero_grad()
        F.cross_entropy(plain(x[batch]), labels[batch]).backward()
        optimiser.step()
    expected = (plain(x).argmax(1) == labels).float().mean()
    assert expected > 0.97
    net = over_a_base(plain, family=BinaryContexts)
    destroyed = superpose(plain, family=BinaryContexts, num_contexts=K, seed=0, base=False)
    for k in range(K):
        with use_context(net, k), use_context(destroyed, k):
            assert (net(x).argmax(1) == labels).float().mean() == expected
            assert (destroyed(x).argmax(1) == labels).float().mean() < 0.4


@pytest.mark.parametrize("context", [1, torch.tensor([3, 0, 1, 1, 2, 0])])
def test_autocast_computes_near_full_precision(mlp, context):
    net = randomise(over_a_base(mlp.float(), family=BinaryContexts))
    x = torch.randn(6, 12)
    use_context(net, context)
    expected = net(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = net(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("family", [BinaryContexts, KroneckerRotationContexts, IdentityContexts])
@pytest.mark.parametrize("two_sided", [True, False])
def test_every_kind_of_layer_starts_as_the_network(net_and_input, family, two_sided):
    plain, x = net_and_input
    net = over_a_base(plain, family=family, two_sided=two_sided, bias_per_context=True)
    expected = plain(x)
    for context in (0, 3, torch.tensor([3, 0, 1, 1, 2, 0])):
        with use_context(net, context):
            torch.testing.assert_close(net(x), expected)


@pytest.mark.parametrize("two_sided", [True, False, "*"])
def test_one_model_mixed_batches_and_retrieved_models_agree(net_and_input, two_sided):
    plain, x = net_and_input
    net = over_a_base(plain, family=BinaryContexts, two_sided=two_sided, bias_per_context=True)
    randomise(net)
    context = torch.tensor([3, 0, 1, 1, 2, 0])
    with use_context(net, context):
        mixed = net(x)
    outputs = []
    for k in range(K):
        with use_context(net, k):
            outputs.append(net(x))
            torch.testing.assert_close(retrieve(net, k)(x), outputs[-1])
    assert not torch.allclose(outputs[0], outputs[1])
    torch.testing.assert_close(mixed, torch.stack(outputs)[context, torch.arange(6)])


@pytest.mark.parametrize("bias_per_context", [True, False])
@pytest.mark.parametrize("family", [BinaryContexts, PermutationContexts, ComplexContexts])
def test_convolutions_by_channel_bind_every_sample_over_a_base(family, bias_per_context):
    options = {"per_channel": True, "bias_per_context": bias_per_context, "two_sided": "*"}
    net = randomise(over_a_base(convolutional().eval(), family=family, **options)).eval()
    assert net[0].binds_samples
    x, context = torch.randn(6, 4, 6, 6, dtype=torch.float64), torch.tensor([3, 0, 1, 1, 2, 0])
    with use_context(net, context):
        mixed = net(x)
    for k, sample, y in zip(context.tolist(), x, mixed, strict=True):
        with use_context(net, k):
            torch.testing.assert_close(y, net(sample[None])[0])


def test_a_model_is_that_of_the_dense_matrices(family):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(12, 16), nn.Linear(16, 4)).double()
    net = randomise(over_a_base(plain, family=family, two_sided="*"))
    x = torch.randn(5, 12, dtype=torch.float64)
    for k in range(K):
        expected = x
        for layer, linear in zip(net, plain, strict=True):
            left = layer.output_contexts_for().matrix(k)
            right = layer.contexts_for().matrix(k)
            difference = left.T.to(right.dtype) @ layer.stored().to(right.dtype) @ right
            expected = expected.to(right.dtype) @ (linear.weight + difference).T + linear.bias
        with use_context(net, k):
            torch.testing.assert_close(net(x), expected.real)


def test_groups_permute_their_output_channels_apart():
    net = randomise(over_a_base(convolutional(), family=BinaryContexts)).eval()
    layer, plain = net[3], convolutional()[3]
    outputs, inputs = layer.output_contexts_for(), layer.contexts_for()
    assert (outputs.dim, outputs.num_contexts) == (6, 2 * K)
    rows = layer.stored().detach().view(2, 6, -1)
    for k in range(K):
        with use_context(net, k):
            difference = (layer.weight - plain.weight).view(2, 6, -1)
        left, right = (layer._look_up(side, k, rows).matrix() for side in (outputs, inputs))
        assert len(left) == len(right) == 2
        assert not torch.equal(left[0], left[1])
        torch.testing.assert_close(difference, left.mT.double() @ rows @ right)


def test_heads_and_gates_stay_together():
    net = over_a_base(tokens(), family=BinaryContexts)
    attention = net[1].self_attn
    contexts = attention.output_contexts_for("in_proj_weight")
    assert (contexts.dim, contexts.block_size) == (8, 2)
    assert attention.out_proj.output_contexts_for().block_size == 1
    assert net[0].output_contexts_for().dim == 8  # entries of a vector, not words
    lstm = randomise(over_a_base(Recurrent(nn.LSTM).double(), family=BinaryContexts))
    contexts = lstm.body.output_contexts_for("weight_ih_l0")
    base, difference = lstm.body.base("weight_ih_l0"), lstm.body.stored("weight_ih_l0")
    use_context(lstm, 2)
    expected = [contexts.matrix(2).T @ gate for gate in difference.detach().double().split(8)]
    signs = lstm.body.contexts_for("weight_ih_l0").matrix(2)
    torch.testing.assert_close(
        lstm.body.weight_ih_l0 - base, torch.cat(expected) @ signs, check_dtype=False
    )


def test_the_output_layer_is_the_last_one_and_patterns_choose_others(mlp):
    def sides(net):
        return [layer.output_contexts_for() is not None for layer in (net[0], net[2], net[4])]

    assert sides(over_a_base(mlp, family=BinaryContexts)) == [True, True, False]
    assert sides(over_a_base(mlp, family=BinaryContexts, two_sided=False)) == [False] * 3
    assert sides(over_a_base(mlp, family=BinaryContexts, two_sided=["0", "4"])) == [
        True,
        False,
        True,
    ]
    assert over_a_base(mlp, family=BinaryContexts, exclude="4")[2].output_contexts_for() is not None
    with pytest.raises(ValueError, match=r"two_sided='5' matches no layer.*are '0', '2', '4'"):
        over_a_base(mlp, family=BinaryContexts, two_sided="5")


def test_options_of_a_base_need_one(mlp):
    for options in ({"two_sided": True}, {"base_dtype": torch.bfloat16}, {"share_base": True}):
        with pytest.raises(ValueError, match="need a base; pass base=True"):
            superpose(mlp, family=BinaryContexts, num_contexts=2, seed=0, base=False, **options)
    with pytest.raises(ValueError, match="base_dtype or share_base=True, but not both"):
        over_a_base(mlp, family=BinaryContexts, share_base=True, base_dtype=torch.bfloat16)


def test_tied_weights_have_one_base_and_one_form():
    plain = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Embedding(8, 8))
    plain[1].weight = plain[0].weight
    plain[3].weight = plain[2].weight
    net = over_a_base(plain, family=BinaryContexts, two_sided="*")
    assert net[0].stored() is net[1].stored()
    assert net[0].base() is net[1].base()
    assert net[0].output_contexts_for() is net[1].output_contexts_for() is not None
    # The output units of the two are rows of the one and columns of the other.
    assert net[2].output_contexts_for() is net[3].output_contexts_for() is None
    model = retrieve(randomise(net), 1)
    assert model[0].weight is model[1].weight


@pytest.mark.parametrize("two_sided", [True, False])
def test_gradients_are_those_of_the_retrieved_weight(two_sided, mlp):
    net = over_a_base(mlp, family=KroneckerRotationContexts, two_sided=two_sided)
    randomise(net)
    use_context(net, 1)
    x = torch.randn(6, 12, dtype=torch.float64, requires_grad=True)
    weights = [net[i].stored() for i in (0, 2, 4)]
    biases = [net[i].bias for i in (0, 2, 4)]

    def retrieved(x):
        for module in net:
            if isinstance(module, nn.Linear):
                x = F.linear(x, module.weight, module.bias)
            else:
                x = module(x)
        return x

    inputs = [x, *weights, *biases]
    actual = torch.autograd.grad(net(x).square().sum(), inputs)
    expected = torch.autograd.grad(retrieved(x).square().sum(), inputs)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_cached_base_follows_every_change(mlp):
    net = over_a_base(mlp, family=BinaryContexts)
    x = torch.randn(6, 12, dtype=torch.float64)
    use_context(net, 1)
    net(x)  # caches the base as the inputs of model 1 see it
    other = perturbed(mlp, 1)
    state = over_a_base(other, family=BinaryContexts).state_dict()
    net.load_state_dict(state)
    torch.testing.assert_close(net(x), other(x))
    third = perturbed(mlp, 2)
    third_state = over_a_base(third, family=BinaryContexts).state_dict()
    net.load_state_dict(third_state, assign=True)
    torch.testing.assert_close(net(x), third(x))
    net.float()
    torch.testing.assert_close(net(x.float()), third.float()(x.float()))
    twin = copy.deepcopy(net)
    assert not twin[0].superposition.bound_bases
    with torch.inference_mode():
        use_context(twin, 2)
        twin(x.float())
    twin(x.float()).sum().backward()


def test_store_puts_a_model_exactly_into_an_empty_context(net_and_input):
    plain, x = net_and_input
    net = over_a_base(plain, family=BinaryContexts, bias_per_context=True)
    model = perturbed(plain, 1).eval()
    store(net, 2, model)
    with use_context(net, 2):
        torch.testing.assert_close(net(x), model(x))


def test_superposing_models_over_a_base_is_superposing_the_base_and_storing(mlp):
    models = [perturbed(mlp, seed) for seed in range(3)]
    together = superpose_models(models, family=BinaryContexts, seed=0, base=mlp).net
    net = superpose(
        mlp, family=BinaryContexts, num_contexts=3, seed=0, base=True, bias_per_context=True
    )
    for k, model in enumerate(models):
        store(net, k, model)
    for name, value in net.state_dict().items():
        assert torch.equal(value, together.state_dict()[name])


def test_a_file_holds_the_base_and_names_the_output_contexts(mlp, tmp_path):
    net = randomise(over_a_base(mlp, family=BinaryContexts))
    path = tmp_path / "net.safetensors"
    save(net, path)
    other = over_a_base(perturbed(mlp, 1), family=BinaryContexts)
    load(path, into=other)
    x = torch.randn(3, 12, dtype=torch.float64)
    for k in range(K):
        with use_context(net, k), use_context(other, k):
            assert torch.equal(net(x), other(x))
    one_sided = over_a_base(mlp, family=BinaryContexts, two_sided=False)
    with pytest.raises(ValueError, match=r"another context: '0\.output_contexts'"):
        load(path, into=one_sided)


def test_a_base_in_bfloat16_takes_half_the_memory(mlp):
    plain = mlp.float()
    net = over_a_base(plain, family=BinaryContexts, base_dtype=torch.bfloat16)
    assert net[0].base().dtype == torch.bfloat16
    assert net[0].stored().dtype == torch.float32
    x = torch.randn(6, 12)
    for context in (3, torch.tensor([3, 0, 1, 1, 2, 0])):
        with use_context(net, context):
            torch.testing.assert_close(net(x), plain(x), rtol=0.02, atol=0.02)
    rounded = copy.deepcopy(plain)
    for i in (0, 2, 4):
        rounded[i].weight.data = plain[i].weight.bfloat16().float()
    torch.testing.assert_close(retrieve(net, 1)(x), rounded(x))


def test_a_shared_base_is_the_memory_of_the_network(mlp):
    net = over_a_base(mlp, family=BinaryContexts, share_base=True)
    assert net[0].base().data_ptr() == mlp[0].weight.data_ptr()
    assert net[0].bias.data_ptr() != mlp[0].bias.data_ptr()
    assert all(isinstance(layer, nn.Linear) for layer in (mlp[0], mlp[2], mlp[4]))
    x = torch.randn(6, 12, dtype=torch.float64)
    use_context(net, 1)
    net(x)
    with torch.no_grad():
        mlp[0].weight.mul_(2)
    torch.testing.assert_close(net(x), mlp(x))
    net.float()
    assert net[0].base().data_ptr() != mlp[0].weight.data_ptr()


@pytest.mark.parametrize("by", ["confidence", "gradient"])
def test_contexts_are_inferred_over_a_base(mlp, by):
    net = randomise(over_a_base(mlp, family=BinaryContexts))
    x = torch.randn(6, 12, dtype=torch.float64)
    evidence = infer_context(net, x, by=by).evidence
    if by == "confidence":
        for k in range(K):
            logits = retrieve(net, k)(x).log_softmax(-1)
            entropy = -(logits.exp() * logits).sum(-1).mean()
            torch.testing.assert_close(evidence[k], -entropy)
        return
    coefficients = torch.full((K,), 1 / K, dtype=torch.float64, requires_grad=True)
    models = [retrieve(net, k) for k in range(K)]
    mixed = {}
    for name, value in models[0].named_parameters():
        values = torch.stack([model.get_parameter(name) for model in models])
        base = mlp.get_parameter(name)
        mixed[name] = base + torch.tensordot(coefficients, values - base, dims=1)
        if "weight" not in name:
            mixed[name] = value
    logits = functional_call(mlp, mixed, (x,)).log_softmax(-1)
    entropy = -(logits.exp() * logits).sum(-1).mean()
    (gradient,) = torch.autograd.grad(entropy, coefficients)
    torch.testing.assert_close(evidence, -gradient, check_dtype=False, rtol=1e-4, atol=1e-6)


def test_the_fisher_information_over_a_base_is_that_of_the_differences(mlp):
    net = randomise(over_a_base(mlp, family=BinaryContexts))
    use_context(net, 1)
    x = torch.randn(3, 12, dtype=torch.float64)
    fisher = fisher_diagonal(net, [x])
    expected = torch.zeros_like(net[2].stored())
    for sample in x:
        log_probabilities = net(sample[None]).log_softmax(-1)[0]
        for value in log_probabilities:
            (gradient,) = torch.autograd.grad(value, net[2].stored(), retain_graph=True)
            expected += value.exp().detach() * gradient.square() / 3
    torch.testing.assert_close(fisher["2.weight"], expected)


def test_contexts_are_learned_over_a_base(mlp):
    net = randomise(over_a_base(mlp, family=BinaryContexts))
    x = torch.randn(6, 12, dtype=torch.float64)
    use_context(net, 1)
    expected = net(x)
    learned = learn_contexts(net)
    torch.testing.assert_close(net(x), expected)
    net(x).sum().backward()
    assert learned[0].grad.abs().sum(1).nonzero().flatten().tolist() == [1]


def test_vmap_and_functional_call_read_the_tensors_that_they_are_given(mlp):
    net = randomise(over_a_base(mlp, family=BinaryContexts))
    x = torch.randn(6, 12, dtype=torch.float64)

    def model(k):
        with use_context(net, k):
            return functional_call(net, dict(net.named_parameters()), (x,))

    every = vmap(model)(torch.tensor([3, 0, 2]))
    for k, y in zip((3, 0, 2), every, strict=True):
        with use_context(net, k):
            torch.testing.assert_close(y, net(x))
    use_context(net, 1)
    net(x)
    doubled = {name: 2 * value for name, value in net.named_buffers() if name.endswith("base")}
    expected = retrieve(net, 1)
    for i in (0, 2, 4):
        expected[i].weight.data += mlp[i].weight
    torch.testing.assert_close(functional_call(net, doubled, (x,)), expected(x))
    torch.testing.assert_close(net(x), retrieve(net, 1)(x))
    stacked = {name: torch.stack([value, 2 * value]) for name, value in doubled.items()}
    first = vmap(lambda base: functional_call(net, base, (x,)))(stacked)[0]
    torch.testing.assert_close(first, functional_call(net, doubled, (x,)))


@pytest.mark.parametrize("context", [1, torch.tensor([3, 0, 1, 1, 2, 0])])
def test_compiled_code_computes_the_same_and_serves_every_context(mlp, context):
    torch.compiler.reset()
    net = randomise(over_a_base(mlp, family=BinaryContexts))
    x = torch.randn(6, 12, dtype=torch.float64)
    counter = CompileCounter()
    mixed = isinstance(context, torch.Tensor)  # runs outside of compiled code
    compiled = torch.compile(net, backend=counter, fullgraph=not mixed)
    for shift in range(3):
        use_context(net, (context + shift) % K)
        torch.testing.assert_close(compiled(x), net(x))
    assert mixed or counter.frame_count == 1


def test_the_report_names_the_contexts_of_both_sides(mlp):
    net = over_a_base(mlp, family=BinaryContexts)
    lines = str(report(net)).splitlines()
    assert (
        "BinaryContexts of dim 12 over a base; PermutationContexts of dim 16 on the outputs"
        in (lines[0])
    )
    assert "outputs" not in lines[3]


def test_training_one_model_leaves_the_base_alone(mlp):
    net = over_a_base(mlp, family=BinaryContexts)
    before = {name: value.clone() for name, value in net.named_buffers()}
    use_context(net, 1)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    net(torch.randn(6, 12, dtype=torch.float64)).square().sum().backward()
    optimiser.step()
    for name, value in net.named_buffers():
        assert torch.equal(value, before[name])
    assert net[0].stored().abs().sum() > 0


def test_complex_differences_from_a_real_base_start_as_the_network():
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sigmoid(), nn.Flatten(), nn.Linear(64, 3)
    )
    plain = plain.double().eval()
    net = over_a_base(plain, family=ComplexContexts).eval()
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    for context in (1, torch.tensor([3, 0])):
        with use_context(net, context):
            torch.testing.assert_close(net(x), plain(x))
    assert net[0].stored().is_complex()
    assert not net[0].base().is_complex()


def test_output_contexts_are_permutations_of_other_names(mlp):
    net = over_a_base(mlp, family=PermutationContexts)
    inputs, outputs = net[2].contexts_for(), net[2].output_contexts_for()
    assert (inputs.name, outputs.name) == ("2", "2.outputs")
    assert not torch.equal(inputs.matrix(1), outputs.matrix(1))
