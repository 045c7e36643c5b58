"""What a superposed linear layer stores: the paper's Table 1."""

from psp_contexts._arguments import checked_count
from psp_contexts._contexts import Contexts
from psp_contexts._identity import IdentityContexts


def num_parameters(contexts: Contexts, out_features: int, num_models: int = 1) -> int:
    """Numbers stored for `num_models` linear maps from `contexts.dim` to `out_features`.

    One set of weights (a complex weight is two numbers) and a context for each model. Identity
    contexts keep no two models apart, so their models are counted as separate weights: the
    table's row *Standard*. The contexts are counted as if they were stored, as the paper does; a
    fixed family here draws them again from its seed, so that a file holds none of them.

    Args:
        contexts: The family, with its `dim`.
        out_features: Rows of the weight.
        num_models: How many models are in superposition.

    Returns:
        A count of real numbers. A sign counts as one.

    Raises:
        TypeError: If `contexts` is no family with its `dim`, or a number no int.
        ValueError: If a number is less than 1.

    Source:
        Cheung et al. 2019, Table 1.

    Example:
        >>> from psp_contexts import BinaryContexts, num_parameters
        >>> contexts = BinaryContexts(256, num_contexts=50, seed=0)
        >>> num_parameters(contexts, 10), num_parameters(contexts, 10, num_models=50)
        (2816, 15360)
    """
    if not isinstance(contexts, Contexts):
        raise TypeError(
            f"contexts must be contexts, but is {contexts!r}; pass a family with its dim, "
            "BinaryContexts(256, 50, seed=0), for example."
        )
    num_models = checked_count("num_models", num_models)
    weights = contexts.dim * checked_count("out_features", out_features)
    if isinstance(contexts, IdentityContexts):
        return num_models * weights
    return weights * (2 if contexts.is_complex else 1) + contexts.num_parameters(num_models)
