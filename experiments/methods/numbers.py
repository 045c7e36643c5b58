"""What a method has to store."""

from torch import Tensor

from experiments.methods.consolidating import EWC, SI
from experiments.methods.multi_head import Heads
from experiments.methods.single import Single
from experiments.runner import Learner
from psp_nn import Superposed


def num_parameters(learner: Learner, tasks: int) -> dict[str, int]:
    """How many real numbers a method stores for all tasks, and for each added one.

    Contexts count as if they were stored, as in the paper's Table 1, though fixed ones are drawn
    from their seed; so do the affine and the statistics of norm layers that each model has for
    itself, and heads. What EWC and SI store is what training needs: the importance of every
    weight and where it was (SI also its path).

    Args:
        learner: Of any method.
        tasks: How many tasks.

    Returns:
        `total` and `per_added_model`.
    """
    net = learner.net
    layers = [module for module in net.modules() if isinstance(module, Superposed)]
    families = [
        layer.contexts_for(name) for layer in layers for name in layer.superposition.superposed
    ]
    own = {id(value) for family in families for value in [*family.parameters(), *family.buffers()]}
    weights = sum(_numbers(value) for value in net.parameters() if id(value) not in own)
    statistics = sum(
        _numbers(value) for value in net.buffers() if id(value) not in own and _is_needed(value)
    )
    if isinstance(learner, Single):
        each = weights + statistics
        return {"total": tasks * each, "per_added_model": each}
    copies = 3 if isinstance(learner, EWC) else 4 if isinstance(learner, SI) else 1
    heads = [module for module in net.modules() if isinstance(module, Heads)]
    return {
        "total": copies * weights
        + statistics
        + sum(family.num_parameters(tasks) for family in families),
        "per_added_model": sum(family.parameters_per_context for family in families)
        + sum(_numbers_per_context(layer, copies) for layer in layers)
        + copies * sum(_numbers(value) for each in heads for value in each[0].parameters()),
    }


def _numbers_per_context(layer: Superposed, copies: int) -> int:
    """What one model has in the tables of a layer: a norm's affine and statistics, biases."""
    learned = dict(layer.named_parameters(recurse=False))
    return sum(
        _numbers(getattr(layer, name)) * (copies if name in learned else 1)
        for name in layer.superposition.per_context
        if _is_needed(getattr(layer, name))
    )


def _numbers(value: Tensor) -> int:
    return value.numel() * (2 if value.is_complex() else 1)


def _is_needed(value: Tensor) -> bool:
    """Whether a model needs it: how many batches a norm layer has seen, it does not."""
    return value.is_floating_point() or value.is_complex()
