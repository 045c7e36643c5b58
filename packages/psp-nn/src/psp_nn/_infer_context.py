"""Finding out which of the stored models an input belongs to."""

from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor, nn

from psp_nn._arguments import check_choice, check_flag, check_tensor, checked_integer
from psp_nn._eval_mode import evaluating, running
from psp_nn._use_context import checked_layers, superposed_layers, use_context
from psp_nn.layers.selection import Mixture


class InferBy(Enum):
    """How a context is inferred."""

    CONFIDENCE = "the model whose output has the least entropy, all tried in one mixed batch"
    GRADIENT = "the model by whose weight the entropy of the mixture of all models falls fastest"


class InferredContext(NamedTuple):
    """What `infer_context` returns.

    Attributes:
        context: The model, shape () or, per sample, (batch,); a LongTensor for `use_context`.
        score: By how many standard deviations of the other models it stands out from their mean,
            shape of `context`. Inputs of no model give a low one: take a threshold from inputs
            that are known.
        evidence: For every model, higher is better, shape (K,) or (batch, K).
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
    """Which model a batch, or each sample of it, belongs to.

    Args:
        net: A superposed classifier, x ↦ logits (batch, classes), used in evaluation mode.
        x: Inputs, shape (batch, …), one at least.
        per_sample: Whether each sample may belong to another model.
        by: By the confidence of each model alone, at the cost of K forward passes, or by one
            gradient of the entropy with respect to the coefficients of a mixture of all: one
            forward and one backward pass, but a much weaker signal, since in a mixture of K
            models each has 1/K of the weight in every layer. It serves batches and few models.
        samples_at_once: How many samples go through the network together, for confidence.

    Returns:
        The context, a score, and the evidence.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If nothing in `net` is superposed, or it has room for fewer than three models:
            a score compares one with several others. If there are no inputs, `net` cannot be run
            on them, or its output is not (batch, classes).

    Source:
        The paper's section 5 leaves this open. The gradient is that of Wortsman et al. 2020,
        Supermasks in superposition, with contexts in place of masks.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import infer_context, superpose
        >>> net = superpose(torch.nn.Linear(8, 3), family=BinaryContexts, num_contexts=5, seed=0)
        >>> inferred = infer_context(net, torch.randn(4, 8), per_sample=True)
        >>> inferred.context.shape, inferred.evidence.shape
        (torch.Size([4]), torch.Size([4, 5]))
    """
    layers = checked_layers("infer_context", "net", net)
    check_tensor("x", x)
    check_flag("per_sample", per_sample)
    check_choice("by", by, InferBy)
    at_once = checked_integer("samples_at_once", samples_at_once, 1)
    num_contexts = min(layer.superposition.num_contexts for layer in layers)
    if num_contexts < 3:
        raise ValueError(
            f"infer_context compares one model with several others, but net has {num_contexts}."
        )
    if not x.dim() or not len(x):
        raise ValueError(f"infer_context got no inputs: x has shape {tuple(x.shape)}.")
    parameter = next(net.parameters(), x)
    if x.device != parameter.device:
        raise ValueError(f"net is on {parameter.device}, but x on {x.device}; move one of them.")
    with evaluating(net):
        evidence = _evidence(net, x, num_contexts, per_sample, by, at_once)
    best, context = evidence.max(-1)
    others = evidence.scatter(-1, context.unsqueeze(-1), torch.nan)
    mean = others.nanmean(-1)
    spread = (others - mean.unsqueeze(-1)).square().nanmean(-1).sqrt()
    score = (best - mean) / spread.clamp(min=torch.finfo(spread.dtype).tiny)
    return InferredContext(context, score, evidence)


def _evidence(
    net: nn.Module, x: Tensor, num_contexts: int, per_sample: bool, by: InferBy, at_once: int
) -> Tensor:
    if by is InferBy.CONFIDENCE:
        evidence = -_entropies(net, x, num_contexts, at_once)
        return evidence if per_sample else evidence.mean(0)
    if not per_sample:
        return -_entropy_gradient(net, x, num_contexts)
    # Networks couple no samples when they evaluate: one at a time is what the batch would do.
    rows = [-_entropy_gradient(net, sample.unsqueeze(0), num_contexts) for sample in x]
    return torch.stack(rows)


@torch.no_grad()
def _entropies(net: nn.Module, x: Tensor, num_contexts: int, at_once: int) -> Tensor:
    """The entropy of every model's output for every sample, shape (batch, K)."""
    columns = []
    together = max(1, at_once // max(len(x), 1))
    for contexts in torch.arange(num_contexts, device=x.device).split(together):
        with use_context(net, contexts.repeat_interleave(len(x))):
            logits = _logits(net, x.repeat(len(contexts), *[1] * (x.dim() - 1)))
        columns.append(_entropy(logits).view(len(contexts), len(x)))
    return torch.cat(columns).T


def _entropy_gradient(net: nn.Module, x: Tensor, num_contexts: int) -> Tensor:
    """How the mean entropy changes with the coefficients of a uniform mixture, shape (K,)."""
    with torch.enable_grad():
        coefficients = torch.full(
            (num_contexts,), 1 / num_contexts, device=x.device, requires_grad=True
        )
        with use_context(net, 0):
            for layer in superposed_layers(net):
                layer.select(Mixture(coefficients))
            entropy = _entropy(_logits(net, x)).mean()
        return torch.autograd.grad(entropy, coefficients)[0]


def _logits(net: nn.Module, x: Tensor) -> Tensor:
    with running("net", "x", x):
        logits = net(x)
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(x):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"infer_context needs a classifier as net: for x of shape {tuple(x.shape)} its output "
            f"must have shape ({len(x)}, classes), but is {found}."
        )
    return logits


def _entropy(logits: Tensor) -> Tensor:
    log_probabilities = logits.log_softmax(-1)
    return -(log_probabilities.exp() * log_probabilities).sum(-1)
