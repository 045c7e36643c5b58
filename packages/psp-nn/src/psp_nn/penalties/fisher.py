"""The diagonal of a classifier's Fisher information, exact and without a loop over samples."""

from collections import Counter
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from psp_nn._checks import check_logits
from psp_nn._eval_mode import eval_mode

Values = dict[str, Tensor]


def fisher_diagonal(net: nn.Module, batches: Iterable[Tensor], *, chunk: int = 32) -> Values:
    """Compute the diagonal of a classifier's Fisher information, exactly for the given inputs.

    F_i = E_x E_{y ~ p(y|x)} |∂ log p(y|x) / ∂θ_i|². The inner mean is over the network's own
    distribution. It is summed class by class, without labels and without sampling.

    The gradient of one sample with respect to a linear layer's weight is the product δ xᵀ, and
    its square the product of the squares. So the sum over a batch is one matrix product
    (δ²)ᵀ(x²) per class, and no gradient of a single sample is computed. The gradients of other
    layers are computed sample by sample.

    Args:
        net: A classifier, x ↦ logits (batch, classes). It is run in evaluation mode, in which
            the output for a sample must not depend on the other samples.
        batches: Inputs without labels, each of shape (batch, …).
        chunk: Number of samples whose gradients are held at once, where they are computed.

    Returns:
        A real tensor of the parameter's shape, by the name of each parameter that requires
        gradients.

    Raises:
        TypeError: If `batches` is a single tensor.
        ValueError: If there are no inputs, the output of `net` is not (batch, classes), or `net`
            has a BatchNorm without running statistics.

    Example:
        >>> import torch
        >>> from psp_nn import fisher_diagonal
        >>> net = torch.nn.Linear(1, 2, bias=False).requires_grad_()
        >>> _ = net.weight.data.zero_()  # p = 1/2, so that F = x² p (1 − p)
        >>> fisher_diagonal(net, [torch.tensor([[2.0]])])["weight"].flatten().tolist()
        [1.0, 1.0]
    """
    if isinstance(batches, Tensor):  # its rows would be taken for batches
        raise TypeError("batches is a single tensor; pass a list of batches.")
    for name, module in net.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise ValueError(
                f"fisher_diagonal: layer '{name}' of net is a BatchNorm without running "
                "statistics, which makes an output depend on the other samples of the batch."
            )
    num_samples = 0
    # The caller may be a test loop without gradients, whose tensors autograd refuses.
    with eval_mode(net), torch.inference_mode(False), torch.enable_grad():
        sums = {
            name: torch.zeros_like(value.detach().real)
            for name, value in net.named_parameters()
            if value.requires_grad
        }
        for batch in batches:
            if not len(batch):
                continue
            batch = batch.clone() if batch.is_inference() else batch
            num_samples += len(batch)
            linear = _linear_layers(net, batch)
            for name, value in _linear_layer_sums(net, linear, batch):
                sums[name] += value
            others = [name for name in sums if name.rpartition(".")[0] not in linear]
            for x in batch.split(chunk) if others else ():
                for name, value in _per_sample_sums(net, others, x):
                    sums[name] += value
    if not num_samples:
        raise ValueError("fisher_diagonal got no inputs; pass batches of shape (batch, …).")
    return {name: value / num_samples for name, value in sums.items()}


def abs_squared(value: Tensor) -> Tensor:
    """Return |value|² of each entry, real."""
    return torch.view_as_real(value).square().sum(-1) if value.is_complex() else value.square()


Calls = dict[nn.Module, list[tuple[Tensor, Tensor]]]
"""The input and the output of every call of each layer."""


def _linear_layers(net: nn.Module, x: Tensor) -> dict[str, nn.Linear]:
    """Find the linear layers whose gradient is δ xᵀ: called once, with one row per sample.

    The network may use a layer's weight elsewhere, too, which the layer does not show. So one
    gradient is compared with the product.
    """
    holders = Counter(map(id, (value for _, value in net.named_parameters(remove_duplicate=False))))
    untied = {
        name: module
        for name, module in net.named_modules()
        if type(module) is nn.Linear and all(holders[id(p)] == 1 for p in module.parameters())
    }
    weights = {name: layer.weight for name, layer in untied.items() if layer.weight.requires_grad}
    log_probabilities, calls = _run(net, untied, x)
    once = [name for name in weights if len(calls[untied[name]]) == 1]
    once = [name for name in once if calls[untied[name]][0][0].shape[:-1] == x.shape[:1]]
    outputs = [calls[untied[name]][0][1] for name in once]
    variables = [*outputs, *(weights[name] for name in once)]
    if not variables:
        return {}
    gradients = torch.autograd.grad(log_probabilities[:, 0].sum(), variables, allow_unused=True)
    layers = {}
    for name, delta, gradient in zip(once, gradients, gradients[len(once) :], strict=False):
        if delta is None or gradient is None:
            continue
        product = delta.mT @ calls[untied[name]][0][0]
        if (product - gradient).norm() <= 1e-3 * gradient.norm():
            layers[name] = untied[name]
    return layers


def _linear_layer_sums(
    net: nn.Module, layers: dict[str, nn.Linear], x: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """Yield sums over the batch by parameter name, from products of squares."""
    if not layers:
        return
    log_probabilities, calls = _run(net, layers, x)
    inputs = {name: abs_squared(calls[layer][0][0]) for name, layer in layers.items()}
    outputs = [calls[layer][0][1] for layer in layers.values()]
    for label, log_probability in enumerate(log_probabilities.unbind(-1)):
        probability = log_probability.detach().exp()
        keep = label + 1 < log_probabilities.shape[-1]
        deltas = torch.autograd.grad(log_probability.sum(), outputs, retain_graph=keep)
        for (name, layer), delta in zip(layers.items(), deltas, strict=True):
            weighted = (abs_squared(delta) * probability.unsqueeze(-1)).mT
            yield f"{name}.weight".lstrip("."), weighted @ inputs[name]
            if layer.bias is not None and layer.bias.requires_grad:
                yield f"{name}.bias".lstrip("."), weighted.sum(-1)


def _run(net: nn.Module, layers: dict[str, nn.Linear], x: Tensor) -> tuple[Tensor, Calls]:
    """Return log p(y|x), shape (batch, classes), and the calls of the layers."""
    calls: Calls = {layer: [] for layer in layers.values()}

    def record(
        layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor
    ) -> None:
        (x,) = inputs or named.values()
        calls[layer].append((x.detach(), output))

    hooks = [layer.register_forward_hook(record, with_kwargs=True) for layer in layers.values()]
    try:
        logits = net(x)
    finally:
        for hook in hooks:
            hook.remove()
    check_logits("fisher_diagonal", logits, x)
    return logits.log_softmax(-1), calls


def _per_sample_sums(net: nn.Module, names: list[str], x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield sums over the batch by parameter name, from the gradient of every sample."""
    parameters = {name: value.detach() for name, value in net.named_parameters()}
    variables = {name: parameters.pop(name) for name in names}

    def log_probability(values: Values, x: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(net, values | parameters, (x.unsqueeze(0),))
        return torch.log_softmax(logits, -1)[0].index_select(0, label.reshape(1)).squeeze()

    gradient_of_sample = grad(log_probability)

    def gradients_of_batch(x: Tensor, label: Tensor) -> Values:
        try:
            mapped: Values = vmap(gradient_of_sample, in_dims=(None, 0, None))(variables, x, label)
            return mapped
        except RuntimeError:  # vmap has no batching rule for some kernels, such as recurrent ones
            single = [gradient_of_sample(variables, sample, label) for sample in x]
            return {name: torch.stack([gradient[name] for gradient in single]) for name in names}

    with torch.no_grad():
        probabilities = net(x).softmax(-1)
    for label, probability in enumerate(probabilities.unbind(-1)):
        gradients = gradients_of_batch(x, torch.tensor(label, device=x.device))
        for name, gradient in gradients.items():
            squares = abs_squared(gradient)
            yield name, torch.tensordot(probability.to(squares), squares, dims=1)
