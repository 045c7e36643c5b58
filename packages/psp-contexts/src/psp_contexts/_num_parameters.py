"""Parameters of a superposed linear layer: the paper's Table 1."""

from psp_contexts._checks import checked_count
from psp_contexts._contexts import Contexts
from psp_contexts._identity import IdentityContexts


def num_parameters(contexts: Contexts, out_features: int, num_models: int = 1) -> int:
    """Return the number of parameters of linear maps from `contexts.dim` to `out_features`.

    The models share one set of weights and have one context each; a complex weight counts twice.
    Identity contexts separate no models, so that each model counts as weights of its own: the
    table's row *Standard*. Contexts count as if they were stored, as in the paper, although a
    fixed family draws them from its seed.

    Args:
        contexts: The contexts of the layer's weight.
        out_features: Number of rows of the weight.
        num_models: Number of models in superposition.

    Returns:
        The number of real parameters. A sign counts as one.

    Raises:
        ValueError: If `out_features` or `num_models` is less than 1.

    Source:
        Cheung et al. 2019, Table 1.

    Example:
        >>> from psp_contexts import BinaryContexts, num_parameters
        >>> contexts = BinaryContexts(256, num_contexts=50, seed=0)
        >>> num_parameters(contexts, 10), num_parameters(contexts, 10, num_models=50)
        (2816, 15360)
    """
    num_models = checked_count("num_models", num_models)
    weights = contexts.dim * checked_count("out_features", out_features)
    if isinstance(contexts, IdentityContexts):
        return num_models * weights
    return weights * (2 if contexts.is_complex else 1) + contexts.num_parameters(num_models)
