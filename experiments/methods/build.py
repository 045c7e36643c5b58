"""A method by its name: the learner that it makes of a network."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from experiments.methods.consolidating import EWC, SI
from experiments.methods.multi_head import MultiHead, MultiHeadEWC, MultiHeadSI, give_heads
from experiments.methods.single import Single
from experiments.runner import FAMILIES, Learner, rmsprop
from experiments.runner.learner import Precision
from psp_contexts import Contexts, DiagonalContexts, IdentityContexts
from psp_nn import Norms, superpose

CONTEXTS: dict[str, Callable[..., Contexts]] = {
    **{name: family for name, family in FAMILIES.items() if name != "Identity"},
    **{
        f"Learned{name}": partial(family, learned=True)
        for name, family in FAMILIES.items()
        if issubclass(family, DiagonalContexts)
    },
}
"""The methods that superpose, and their contexts."""

PENALTIES = ("EWC", "OnlineEWC", "SI")
"""The methods with a strength."""

METHODS = ("standard", *CONTEXTS, *PENALTIES, "single")
"""All methods: *standard* trains one net on and on, *single* a new one for every task."""

MULTI_HEAD = ("multi-head", *(f"multi-head-{penalty}" for penalty in PENALTIES))
"""Those of them that may have one output layer for every task instead of one for all."""


def penalty_of(method: str) -> str | None:
    """The one of `PENALTIES` that a method has, with one head or with many.

    Example:
        >>> from experiments.methods import penalty_of
        >>> [penalty_of(method) for method in ("SI", "multi-head-SI", "multi-head", "Binary")]
        ['SI', 'SI', None, None]
    """
    name = method.removeprefix("multi-head-")
    return name if name in PENALTIES else None


def is_complex(method: str) -> bool:
    """Whether a method computes with complex numbers, at four times the arithmetic."""
    family = FAMILIES.get(method.removeprefix("Learned"))
    return family is not None and family.is_complex


def check_method(method: str, width: int) -> None:
    """Refuse a method that cannot be run so.

    Args:
        method: One of `METHODS`.
        width: Units in each hidden layer.

    Raises:
        ValueError: If it has no map for that length.
    """
    if method in CONTEXTS:
        CONTEXTS[method](width, 1, seed=0)  # some have no map for some lengths


def build_learner(
    method: str,
    build: Callable[[int], nn.Module],
    *,
    num_contexts: int,
    seed: int,
    learning_rate: float,
    strength: float | None = None,
    norms: Norms = Norms.SHARED,
    exclude: Iterable[str] = (),
    fisher_images: int = 1024,
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
    compiled: bool = False,
) -> Learner:
    """A network with what a method adds to it.

    All methods start from the same weights, but for the phases that complex ones are given. In
    convolutions, diagonal contexts act on whole kernels, as in the paper; those that mix their
    dimensions act on the input channels.

    Args:
        method: One of `METHODS` or `MULTI_HEAD`.
        build: A plain network by the seed of its weights.
        num_contexts: How many contexts, or heads, there shall be.
        seed: Of the weights and the contexts.
        learning_rate: Of RMSprop.
        strength: Of the methods with a penalty.
        norms: What becomes of norm layers, in plain networks, too.
        exclude: See `superpose`: layers that all models share.
        fisher_images: See `EWC`.
        device: Where to train.
        precision: See `Learner`.
        compiled: See `Learner`.

    Example:
        >>> import torch
        >>> from experiments.methods import build_learner, num_parameters
        >>> options = {"num_contexts": 50, "seed": 0, "learning_rate": 1e-4}
        >>> learner = build_learner("Binary", lambda seed: torch.nn.Linear(8, 2), **options)
        >>> learner.use(49)
        >>> num_parameters(learner, tasks=50)
        {'total': 418, 'per_added_model': 8}
    """

    def build_for(task: int) -> nn.Module:
        return build(seed if task == 0 else seed + 1_000_000 * task).to(device)

    def prepare(net: nn.Module) -> nn.Module:
        return _superposed(method, net, num_contexts, seed, norms, exclude).to(device)

    def optimise(net: nn.Module) -> torch.optim.Optimizer:
        return rmsprop(net.parameters(), lr=learning_rate)

    options: dict[str, Any] = {"precision": precision, "compiled": compiled}
    if method == "single":
        return Single(lambda task: prepare(build_for(task)), optimise, **options)
    heads = method in MULTI_HEAD
    net = prepare(give_heads(build_for, num_contexts) if heads else build_for(0))
    penalty = penalty_of(method)
    if penalty:
        assert strength is not None
        options["strength"] = strength
    if penalty in ("EWC", "OnlineEWC"):
        ewc = MultiHeadEWC if heads else EWC
        options |= {"online": penalty == "OnlineEWC", "fisher_images": fisher_images}
        return ewc(net, optimise(net), **options)
    if penalty == "SI":
        si = MultiHeadSI if heads else SI
        return si(net, optimise(net), **options)
    return (MultiHead if heads else Learner)(net, optimise(net), **options)


def _superposed(
    method: str,
    net: nn.Module,
    num_contexts: int,
    seed: int,
    norms: Norms,
    exclude: Iterable[str],
) -> nn.Module:
    """The network in superposition, or its norm layers alone if the method has no contexts."""
    options: dict[str, Any] = {
        "num_contexts": num_contexts,
        "seed": seed,
        "base": False,
        "norms": norms,
    }
    if method in CONTEXTS:
        mixes = not issubclass(FAMILIES[method.removeprefix("Learned")], DiagonalContexts)
        family = CONTEXTS[method]
        return superpose(net, family=family, exclude=exclude, per_channel=mixes, **options)
    layers = [name for name, layer in net.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    if norms is Norms.SHARED or not layers:
        return net
    return superpose(net, family=IdentityContexts, include=layers, **options)
