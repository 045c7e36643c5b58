"""The diagonal of a classifier's Fisher information, exact and without a loop over samples."""

from collections import Counter
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from psp_nn._arguments import check_net, checked_integer, several
from psp_nn._eval_mode import evaluating, running

Values = dict[str, Tensor]


def fisher_diagonal(net: nn.Module, batches: Iterable[Tensor], *, chunk: int = 32) -> Values:
    """The diagonal of a classifier's Fisher information, exact for the given inputs.

    F_i = E_x E_{y ~ p(y|x)} |∂ log p(y|x) / ∂θ_i|²: the inner mean is over the network's own
    distribution, class by class, not over labels and without sampling.

    The gradient of one sample to a linear layer's weight is the product δ xᵀ, and its square
    that of the squares, so that the sum over a batch is one matrix product (δ²)ᵀ(x²) a class:
    no sample's gradient is ever made. Other layers' gradients are made sample by sample.

    Args:
        net: A classifier, x ↦ logits (batch, classes), used in evaluation mode. What it says of
            a sample must not depend on the other samples, as it does under batch statistics.
        batches: Inputs, each of shape (batch, …).
        chunk: Of how many samples gradients are held at once where they have to be made.

    Returns:
        By the name of each parameter that requires gradients, real, in its shape.

    Raises:
        TypeError: If `batches` is one tensor, a batch is not a tensor, or an argument of another
            kind.
        ValueError: If there are no inputs, `net` cannot be run on them, its output is not
            (batch, classes), or it has a BatchNorm that uses batch statistics alone.

    Example:
        >>> import torch
        >>> from psp_nn import fisher_diagonal
        >>> net = torch.nn.Linear(1, 2, bias=False).requires_grad_()
        >>> _ = net.weight.data.zero_()  # p = 1/2, so that F = x² p (1 − p)
        >>> fisher_diagonal(net, [torch.tensor([[2.0]])])["weight"].flatten().tolist()
        [1.0, 1.0]
    """
    check_classifier(net)
    chunk = checked_integer("chunk", chunk, 1)
    sums = {
        name: torch.zeros_like(value.detach().real)
        for name, value in net.named_parameters()
        if value.requires_grad
    }
    count = 0
    with evaluating(net):
        for batch in several("batches", batches, "several tensors"):
            if not isinstance(batch, Tensor):
                raise TypeError(
                    f"batches must be tensors of inputs, but one is a {type(batch).__name__}; "
                    "pass the inputs alone: labels are not needed."
                )
            if not batch.dim():
                raise ValueError("batches must have shape (batch, …), but one has no dimension.")
            if not len(batch):
                continue
            count += len(batch)
            linear = _linear_layers(net, batch)
            for name, value in _of_linear_layers(net, linear, batch):
                sums[name] += value
            others = [name for name in sums if name.rpartition(".")[0] not in linear]
            for x in batch.split(chunk) if others else ():
                for name, value in _of_each_sample(net, others, x):
                    sums[name] += value
    if not count:
        raise ValueError("fisher_diagonal got no inputs; pass batches of shape (batch, …).")
    return {name: value / count for name, value in sums.items()}


def check_classifier(net: nn.Module) -> None:
    """Refuse a network whose output for a sample depends on the others, as far as that is seen.

    Raises:
        TypeError: If it is no network.
        ValueError: If it has a BatchNorm without running statistics.
    """
    check_net("net", net)
    for name, module in net.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise ValueError(
                f"the Fisher information of net is not that of single samples: its layer '{name}' "
                "is a BatchNorm without running statistics, under which every sample's output "
                "depends on the others; use one that tracks them."
            )


def squared(value: Tensor) -> Tensor:
    """|value|² of each entry, real."""
    return torch.view_as_real(value).square().sum(-1) if value.is_complex() else value.square()


Ends = dict[nn.Module, list[tuple[Tensor, Tensor]]]
"""Of each layer what went in and what came out, for each time that it worked."""


def _linear_layers(net: nn.Module, x: Tensor) -> dict[str, nn.Linear]:
    """Linear layers whose gradients are products δ xᵀ: each works once, on a row a sample.

    That a layer's weight works nowhere else is not seen in the layer; one gradient that comes out
    as the product tells.
    """
    holders = Counter(map(id, (value for _, value in net.named_parameters(remove_duplicate=False))))
    found = {
        name: module
        for name, module in net.named_modules()
        if type(module) is nn.Linear and all(holders[id(p)] == 1 for p in module.parameters())
    }
    weights = {name: layer.weight for name, layer in found.items() if layer.weight.requires_grad}
    log_probabilities, ends = _run(net, found, x)
    once = [name for name in weights if len(ends[found[name]]) == 1]
    once = [name for name in once if ends[found[name]][0][0].shape[:-1] == x.shape[:1]]
    outputs = [ends[found[name]][0][1] for name in once]
    wanted = [*outputs, *(weights[name] for name in once)]
    if not wanted:
        return {}
    gradients = torch.autograd.grad(log_probabilities[:, 0].sum(), wanted, allow_unused=True)
    layers = {}
    for name, delta, gradient in zip(once, gradients, gradients[len(once) :], strict=False):
        if delta is None or gradient is None:
            continue
        product = delta.mT @ ends[found[name]][0][0]
        if (product - gradient).norm() <= 1e-3 * gradient.norm():
            layers[name] = found[name]
    return layers


def _of_linear_layers(
    net: nn.Module, layers: dict[str, nn.Linear], x: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """Sums over the batch, by the names of the layers' parameters."""
    if not layers:
        return
    log_probabilities, ends = _run(net, layers, x)
    inputs = {name: squared(ends[layer][0][0]) for name, layer in layers.items()}
    outputs = [ends[layer][0][1] for layer in layers.values()]
    for label, log_probability in enumerate(log_probabilities.unbind(-1)):
        probability = log_probability.detach().exp()
        keep = label + 1 < log_probabilities.shape[-1]
        deltas = torch.autograd.grad(log_probability.sum(), outputs, retain_graph=keep)
        for (name, layer), delta in zip(layers.items(), deltas, strict=True):
            weighted = (squared(delta) * probability.unsqueeze(-1)).mT
            yield f"{name}.weight".lstrip("."), weighted @ inputs[name]
            if layer.bias is not None and layer.bias.requires_grad:
                yield f"{name}.bias".lstrip("."), weighted.sum(-1)


def _run(net: nn.Module, layers: dict[str, nn.Linear], x: Tensor) -> tuple[Tensor, Ends]:
    """The logarithms of the probabilities, and what goes on in the layers."""
    ends: Ends = {layer: [] for layer in layers.values()}

    def note(
        layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor
    ) -> None:
        (x,) = inputs or named.values()
        ends[layer].append((x.detach(), output))

    hooks = [layer.register_forward_hook(note, with_kwargs=True) for layer in layers.values()]
    try:
        with torch.enable_grad(), running("net", "a batch of batches", x):
            logits = net(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(x):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"fisher_diagonal needs a classifier as net: for inputs of shape {tuple(x.shape)} its "
            f"output must have shape ({len(x)}, classes), but is {found}."
        )
    return logits.log_softmax(-1), ends


def _of_each_sample(net: nn.Module, names: list[str], x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Sums over the batch, from the gradients of every sample."""
    parameters = {name: value.detach() for name, value in net.named_parameters()}
    wanted = {name: parameters.pop(name) for name in names}

    def log_probability(values: Values, x: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(net, values | parameters, (x.unsqueeze(0),))
        return torch.log_softmax(logits, -1)[0].index_select(0, label.reshape(1)).squeeze()

    of_one = grad(log_probability)

    def of_each(x: Tensor, label: Tensor) -> Values:
        try:
            found: Values = vmap(of_one, in_dims=(None, 0, None))(wanted, x, label)
            return found
        except RuntimeError:  # torch has kernels that it cannot map, the recurrent ones among them
            alone = [of_one(wanted, sample, label) for sample in x]
            return {name: torch.stack([each[name] for each in alone]) for name in names}

    with torch.no_grad():
        probabilities = net(x).softmax(-1)
    for label, probability in enumerate(probabilities.unbind(-1)):
        gradients = of_each(x, torch.tensor(label, device=x.device))
        for name, gradient in gradients.items():
            value = squared(gradient)
            yield name, torch.tensordot(probability.to(value), value, dims=1)
