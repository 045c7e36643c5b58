"""What a method has to store."""

from experiments.methods.consolidating import EWC, SI
from experiments.methods.single import Single
from experiments.runner import Learner
from psp_nn import Superposed


def count_numbers(learner: Learner, tasks: int) -> dict[str, int]:
    """How many real numbers a method stores for all tasks, and for each added one.

    Contexts count as if they were stored, as in the paper's Table 1, though fixed ones are drawn
    from their seed. What EWC and SI store is what training needs: the importance of every weight
    and where it was (SI also its path).

    Args:
        learner: Of any method.
        tasks: How many tasks.

    Returns:
        `total` and `per_added_model`.
    """
    families = [
        module.family() for module in learner.net.modules() if isinstance(module, Superposed)
    ]
    learned = {id(value) for family in families for value in family.parameters()}
    weights = sum(
        value.numel() * (2 if value.is_complex() else 1)
        for value in learner.net.parameters()
        if id(value) not in learned
    )
    if isinstance(learner, Single):
        return {"total": tasks * weights, "per_added_model": weights}
    copies = {EWC: 3, SI: 4}.get(type(learner), 1)
    return {
        "total": copies * weights + sum(family.count_numbers(tasks) for family in families),
        "per_added_model": sum(family.numbers_per_context for family in families),
    }
