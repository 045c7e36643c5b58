"""Inferring which of the stored models an input belongs to."""

from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Tensor, nn

from psp_nn._checks import check_logits
from psp_nn._context_index import checked_layers, superposed_layers
from psp_nn._eval_mode import eval_mode
from psp_nn._use_context import use_context
from psp_nn.layers.linear_per_context import LinearPerContext
from psp_nn.layers.selection import Mixture


class InferBy(StrEnum):
    """Method by which a context is inferred."""

    CONFIDENCE = "confidence"
    """The model whose output has the lowest entropy. All models run in one mixed batch."""

    GRADIENT = "gradient"
    """The model whose coefficient lowers the entropy of a mixture of all models fastest."""


class InferredContext(NamedTuple):
    """Result of `infer_context`.

    Attributes:
        context: The model, shape () or, per sample, (batch,); a LongTensor for `use_context`.
        score: Distance of the model's evidence from the mean of the other models, in their
            standard deviations, shape of `context`. Inputs of no model have a low score: choose a
            threshold from inputs of known models.
        evidence: Evidence for every model, higher is better, shape (K,) or (batch, K).
    """

    context: Tensor
    score: Tensor
    evidence: Tensor


def infer_context(
    net: nn.Module,
    x: Tensor,
    *,
    per_sample: bool = False,
    by: InferBy = InferBy.CONFIDENCE,
    samples_at_once: int = 8192,
) -> InferredContext:
    """Infer which model a batch, or each sample of it, belongs to.

    Args:
        net: A superposed classifier, x ↦ logits (batch, classes). It runs in evaluation mode.
        x: Inputs, shape (batch, …), at least one.
        per_sample: Infer a context for each sample rather than one for the batch.
        by: `CONFIDENCE` compares the outputs of all models, at the cost of K forward passes.
            `GRADIENT` takes one gradient of the entropy with respect to the coefficients of a
            mixture of all models, at the cost of one forward and one backward pass. Its signal is
            much weaker, since each model has 1/K of the weight in every layer of the mixture. It
            works for whole batches and few models.
        samples_at_once: Approximate number of samples per forward pass, for `CONFIDENCE`.

    Returns:
        The context, a score, and the evidence.

    Raises:
        ValueError: If nothing in `net` is superposed, it has room for fewer than three models (a
            score compares one with several others), models have heads of different sizes, there
            are no inputs, its output is not (batch, classes), or is not finite.

    Source:
        The paper's section 5 leaves this open. The gradient is that of Wortsman et al. 2020,
        Supermasks in superposition, with contexts in place of masks.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import infer_context, superpose
        >>> net = torch.nn.Linear(8, 3)
        >>> net = superpose(net, family=BinaryContexts, num_contexts=5, seed=0, base=False)
        >>> inferred = infer_context(net, torch.randn(4, 8), per_sample=True)
        >>> inferred.context.shape, inferred.evidence.shape
        (torch.Size([4]), torch.Size([4, 5]))
    """
    layers = checked_layers("infer_context", "net", net)
    by = InferBy(by)
    num_contexts = min(layer.superposition.num_contexts for layer in layers)
    if num_contexts < 3:
        raise ValueError(f"infer_context compares at least 3 models, but net has {num_contexts}.")
    for layer in layers:
        if isinstance(layer, LinearPerContext) and layer.outputs_differ:
            raise ValueError(
                "infer_context: entropies over different numbers of classes do not compare, but "
                f"the models differ in the outputs of layer '{layer.superposition.name}'; give "
                "all heads the same number."
            )
    if not len(x):
        raise ValueError(f"infer_context got no inputs: x has shape {tuple(x.shape)}.")
    with eval_mode(net):
        if by is InferBy.CONFIDENCE:
            entropies = _entropies(net, x, num_contexts, samples_at_once)
            evidence = -entropies if per_sample else -entropies.mean(0)
        elif per_sample:
            # In evaluation mode samples are independent, so each is run as a batch of its own.
            gradients = [_entropy_gradient(net, sample, num_contexts) for sample in x.split(1)]
            evidence = -torch.stack(gradients)
        else:
            evidence = -_entropy_gradient(net, x, num_contexts)
    if not evidence.isfinite().all():
        raise ValueError(
            "infer_context: the evidence is not finite, so that it prefers no model; pass finite "
            "inputs x and a network that has not diverged."
        )
    best, context = evidence.max(-1)
    others = evidence.scatter(-1, context.unsqueeze(-1), torch.nan)
    mean = others.nanmean(-1)
    deviation = (others - mean.unsqueeze(-1)).square().nanmean(-1).sqrt()
    score = (best - mean) / deviation.clamp(min=torch.finfo(deviation.dtype).tiny)
    return InferredContext(context, score, evidence)


@torch.no_grad()
def _entropies(net: nn.Module, x: Tensor, num_contexts: int, samples_at_once: int) -> Tensor:
    """Compute the entropy of every model's output for every sample, shape (batch, K)."""
    columns = []
    contexts_at_once = max(1, samples_at_once // len(x))
    for contexts in torch.arange(num_contexts, device=x.device).split(contexts_at_once):
        with use_context(net, contexts.repeat_interleave(len(x))):
            logits = _logits(net, x.repeat(len(contexts), *[1] * (x.dim() - 1)))
        columns.append(_entropy(logits).view(len(contexts), len(x)))
    return torch.cat(columns).T


def _entropy_gradient(net: nn.Module, x: Tensor, num_contexts: int) -> Tensor:
    """Differentiate the mean entropy by the coefficients of a uniform mixture, shape (K,)."""
    with torch.inference_mode(False), torch.enable_grad():
        x = x.clone() if x.is_inference() else x  # autograd refuses inference tensors
        coefficients = torch.full(
            (num_contexts,), 1 / num_contexts, device=x.device, requires_grad=True
        )
        with use_context(net, 0):
            for layer in superposed_layers(net):
                layer.select(Mixture(coefficients))
            entropy = _entropy(_logits(net, x)).mean()
        return torch.autograd.grad(entropy, coefficients)[0]


def _logits(net: nn.Module, x: Tensor) -> Tensor:
    logits: Tensor = net(x)
    check_logits("infer_context", logits, x)
    return logits


def _entropy(logits: Tensor) -> Tensor:
    log_probabilities = logits.log_softmax(-1)
    return -(log_probabilities.exp() * log_probabilities).sum(-1)
