import pytest
import torch
from torch import nn
from torch.nn import functional as F

from psp_contexts import BinaryContexts
from psp_nn import InferBy, infer_context, superpose, use_context

TASKS, CONTEXTS, WIDTH, CLASSES = 5, 5, 256, 5


def samples(task, count, seed):
    """Draw samples around class centres that depend on the task."""
    centres = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(1000 + task))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    return centres[labels] + 0.5 * torch.randn(count, WIDTH, generator=generator), labels


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(WIDTH, 256), nn.ReLU(), nn.Linear(256, CLASSES))
    net = superpose(net, family=BinaryContexts, num_contexts=CONTEXTS, seed=0, base=False)
    optimiser = torch.optim.RMSprop(net.parameters(), lr=1e-3)
    for step in range(80 * TASKS):
        task = step % TASKS
        use_context(net, task)
        x, labels = samples(task, 64, step)
        loss = F.cross_entropy(net(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    use_context(net, 0)
    return net.eval()


@pytest.mark.parametrize("by", InferBy)
def test_a_batch_is_recognised(trained, by):
    for task in range(TASKS):
        inferred = infer_context(trained, samples(task, 100, 7)[0], by=by)
        assert inferred.context.item() == task
        assert inferred.evidence.argmax() == task


@pytest.mark.parametrize(("by", "least"), [(InferBy.CONFIDENCE, 0.9), (InferBy.GRADIENT, 0.5)])
def test_most_samples_are_recognised_one_by_one(trained, by, least):
    for task in range(TASKS):
        inferred = infer_context(trained, samples(task, 100, 7)[0], per_sample=True, by=by)
        assert inferred.context.shape == inferred.score.shape == (100,)
        assert (inferred.context == task).float().mean() >= least
        with use_context(trained, inferred.context):
            trained(samples(task, 100, 7)[0])


def test_inputs_of_no_model_have_a_low_score(trained):
    known = [infer_context(trained, samples(task, 100, 7)[0]).score for task in range(TASKS)]
    unknown = [infer_context(trained, samples(task, 100, 7)[0]).score for task in range(20, 30)]
    assert min(known) > max(unknown)


def test_confidence_is_that_of_each_model_alone(trained):
    x = samples(1, 20, 7)[0]
    inferred = infer_context(trained, x, per_sample=True, samples_at_once=50)
    for k in range(CONTEXTS):
        with use_context(trained, k):
            p = trained(x).softmax(-1)
        torch.testing.assert_close(
            inferred.evidence[:, k], (p * p.log()).sum(-1).detach(), rtol=1e-4, atol=1e-5
        )


def test_the_gradient_is_that_of_the_mixture_by_finite_differences(family, mlp):
    from psp_nn._context_index import superposed_layers
    from psp_nn._infer_context import _entropy, _entropy_gradient
    from psp_nn.layers.selection import Mixture

    net = superpose(mlp, family=family, num_contexts=4, seed=0, base=False, bias_per_context=True)
    x = torch.randn(5, 12, dtype=torch.float64)

    def entropy(coefficients):
        for layer in superposed_layers(net):
            layer.select(Mixture(coefficients))
        return _entropy(net(x)).mean()

    gradient = _entropy_gradient(net, x, 4)
    step = 1e-3 * torch.eye(4)
    with torch.no_grad():
        numeric = [(entropy(0.25 + s) - entropy(0.25 - s)) / 2e-3 for s in step]
    torch.testing.assert_close(gradient.double(), torch.stack(numeric), rtol=1e-3, atol=1e-4)


def test_the_selected_context_is_restored(trained):
    before = trained[0].weight
    infer_context(trained, samples(1, 4, 7)[0], by=InferBy.GRADIENT)
    infer_context(trained, samples(1, 4, 7)[0])
    assert torch.equal(trained[0].weight, before)


def test_fewer_than_three_models_are_refused(mlp):
    with pytest.raises(ValueError, match="compares at least 3 models, but net has 2"):
        infer_context(
            superpose(mlp, family=BinaryContexts, num_contexts=2, seed=0, base=False),
            torch.zeros(1, 12),
        )
    with pytest.raises(ValueError, match="nothing in this Sequential is superposed"):
        infer_context(mlp, torch.zeros(1, 12))


@pytest.mark.parametrize("by", InferBy)
def test_the_training_mode_and_the_running_statistics_do_not_change(by):
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    net = superpose(net, family=BinaryContexts, num_contexts=4, seed=0, base=False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    infer_context(net, torch.randn(5, 4), by=by)
    assert all(module.training for module in net.modules())
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"no inputs: x has shape \(0, 4\)"):
        infer_context(net, torch.randn(0, 4), by=by)


def test_the_method_may_be_named_as_on_the_command_line(trained):
    x = samples(1, 20, 7)[0]
    for by in InferBy:
        named, member = (infer_context(trained, x, by=method) for method in (by.value, by))
        torch.testing.assert_close(named, member, rtol=0, atol=0)
    with pytest.raises(ValueError, match="'entropy' is not a valid InferBy"):
        infer_context(trained, x, by="entropy")


@pytest.mark.parametrize("by", InferBy)
def test_a_network_that_is_no_classifier_is_refused(by):
    net = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3)))
    net = superpose(net, family=BinaryContexts, num_contexts=3, seed=0, base=False)
    with pytest.raises(ValueError, match=r"needs a classifier as net: .* but is \(\d+, 2, 3\)"):
        infer_context(net, torch.zeros(2, 4), by=by)


def test_contexts_are_inferred_by_a_gradient_only_of_inputs_that_fit():
    net = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))
    net = superpose(net, family=BinaryContexts, num_contexts=5, seed=0, base=False, include="1")
    assert infer_context(net, torch.randn(2, 4), by=InferBy.GRADIENT).context.shape == ()
    net = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(1, 3))
    net = superpose(net, family=BinaryContexts, num_contexts=5, seed=0, base=False)
    with pytest.raises(ValueError, match=r"\(4,\) channels, but its input"):
        infer_context(net, torch.randn(2, 1), by=InferBy.GRADIENT)


def test_heads_of_different_sizes_are_refused():
    options = {"family": BinaryContexts, "num_contexts": 3, "seed": 0, "base": False}
    net = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    x = torch.randn(5, 4)
    for by in InferBy:
        equal = superpose(net, **options, own={"1": [3, 3, 3]})
        assert infer_context(equal, x, by=by).evidence.shape == (3,)
        with pytest.raises(ValueError, match="the models differ in the outputs of layer '1'"):
            infer_context(superpose(net, **options, own={"1": [3, 2, 3]}), x, by=by)
