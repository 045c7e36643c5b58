"""Methods: superposition with every family, and its competitors."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import nn

import psp_contexts
from experiments.methods.from_base import FromBase
from experiments.methods.multi_head import draw_heads, name_of_head
from experiments.methods.penalised import EWC, SI
from experiments.methods.rivals import Rival, rival_learner
from experiments.methods.separate_nets import SeparateNets
from experiments.runner.learner import Learner, Precision
from experiments.runner.optimiser import OptimiserName, optimiser_of
from psp_contexts import (
    BinaryContexts,
    Contexts,
    DiagonalContexts,
    IdentityContexts,
    KroneckerRotationContexts,
    SignedPermutationContexts,
)
from psp_nn import Norms, retrieve, superpose, superpose_models

Penalty = Literal["EWC", "OnlineEWC", "SI"]

FAMILIES: dict[str, type[Contexts]] = {
    name.removesuffix("Contexts"): getattr(psp_contexts, name)
    for name in psp_contexts.__all__
    if name.endswith("Contexts") and name not in ("Contexts", "DiagonalContexts")
}
"""Every concrete family of psp-contexts by its short name: `{"Binary": BinaryContexts, …}`."""


def name_of(family: type[Contexts]) -> str:
    """Return the short name of a family."""
    return family.__name__.removesuffix("Contexts")


@dataclass(frozen=True)
class Method:
    """A way to learn several tasks; by default, one plain network learns them one by one.

    `str` spells a method for the command line and the record; `parse` reads it.

    Attributes:
        family: Family of the contexts, if the network is superposed.
        learned: Train the contexts, too.
        base: The network of the first task is the base of all models; see `FromBase`.
        two_sided: Permute the outputs of the differences from the base, too.
        penalty: Penalty on forgetting.
        heads: One output layer for each task.
        separate: One network for each task.
        rival: Another way to keep many models; see `rival_learner`. `offline` has a family, and
            `XdG` may have the penalty SI.

    Example:
        >>> from experiments.methods.method import Method
        >>> Method.parse("LearnedBinary").family
        <class 'psp_contexts._binary.BinaryContexts'>
        >>> str(Method(penalty="SI", heads=True)), str(Method())
        ('multi-head-SI', 'standard')
    """

    family: type[Contexts] | None = None
    learned: bool = False
    base: bool = False
    two_sided: bool = False
    penalty: Penalty | None = None
    heads: bool = False
    separate: bool = False
    rival: Rival | None = None

    @classmethod
    def parse(cls, name: str) -> "Method":
        """Return the method of that name.

        Raises:
            ValueError: If there is none.
        """
        if name not in METHODS:
            raise ValueError(f"unknown method {name!r}; choose from {', '.join(METHODS)}.")
        return METHODS[name]

    def __str__(self) -> str:
        """Spell the method."""
        words = [
            "single" if self.separate else "",
            "multi-head" if self.heads else "",
            self.rival or "",
            "base" if self.base else "",
            "two-sided" if self.two_sided else "",
            ("Learned" if self.learned else "") + (name_of(self.family) if self.family else ""),
            self.penalty or "",
        ]
        return "-".join(filter(None, words)) or "standard"

    @property
    def is_complex(self) -> bool:
        """True if the network has complex weights, with four times the arithmetic."""
        return self.family is not None and self.family.is_complex

    @property
    def has_base(self) -> bool:
        """True if later tasks start from the network of the first task."""
        return self.base or self.rival not in (None, "SupSup", "XdG")

    def check_dim(self, dim: int) -> None:
        """Raise ValueError if the family has no maps on vectors of that length."""
        if self.family:
            self.family(dim, 1, seed=0)

    def learner(
        self,
        build: Callable[[int], nn.Module],
        *,
        num_contexts: int,
        seed: int,
        learning_rate: float,
        later_learning_rate: float | None = None,
        optimiser: OptimiserName = "RMSprop",
        strength: float | None = None,
        norms: Norms = Norms.SHARED,
        exclude: Iterable[str] = (),
        fisher_images: int = 1024,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
        compiled: bool = False,
    ) -> Learner:
        """Make the learner of a network.

        All methods start from the same weights; complex families add phases to them. In
        convolutions, diagonal contexts act on whole kernels, as in the paper; families that mix
        dimensions act on the input channels.

        Args:
            build: Builds a plain network from the seed of its weights.
            num_contexts: Number of contexts, heads or networks.
            seed: Seed of the weights and the contexts.
            learning_rate: Learning rate.
            later_learning_rate: The same from the second task on; by default `learning_rate`.
            optimiser: Optimiser of the network.
            strength: Strength of the penalty.
            norms: Treatment of norm layers, in plain networks, too.
            exclude: Layers that all models share; see `superpose`.
            fisher_images: See `EWC`.
            device: Device of the network.
            precision: See `Learner`.
            compiled: See `Learner`.

        Example:
            >>> import torch
            >>> from experiments.methods.method import Method
            >>> learner = Method.parse("Binary").learner(
            ...     lambda seed: torch.nn.Linear(8, 2), num_contexts=50, seed=0, learning_rate=1e-4
            ... )
            >>> learner.use(49)
            >>> learner.num_parameters(tasks=50)
            {'total': 418, 'per_added_model': 8}
        """

        def build_task(task: int) -> nn.Module:
            return build(seed if task == 0 else seed + 1_000_000 * task).to(device)

        def prepare(net: nn.Module) -> nn.Module:
            options = {"num_contexts": num_contexts, "seed": seed, "norms": norms}
            return self._superposed(net, exclude, **options).to(device)

        def prepare_plain(net: nn.Module) -> nn.Module:
            if norms is not Norms.BATCH:
                return net
            plain = Method()._superposed(net, (), num_contexts=1, seed=seed, norms=norms)
            return retrieve(plain, 0) if plain is not net else net

        def optimise(net: nn.Module) -> torch.optim.Optimizer:
            return optimiser_of(optimiser, net, learning_rate)

        options: dict[str, Any] = {"precision": precision, "compiled": compiled}
        options["later_learning_rate"] = later_learning_rate
        if self.base:
            return FromBase(prepare_plain(build_task(0)), optimise, prepare, **options)
        if self.rival:
            sizes: dict[str, Any] = {"num_contexts": num_contexts, "seed": seed}

            def superpose_offline(net: nn.Module) -> nn.Module:
                assert self.family
                mixes = not issubclass(self.family, DiagonalContexts)
                rest = {"norms": norms, "per_channel": mixes, **sizes}
                return superpose_models([net], family=self.family, base=net, **rest).net.to(device)

            return rival_learner(
                self.rival,
                prepare_plain(build_task(0)),
                optimise,
                superpose_offline=superpose_offline,
                strength=strength if self.penalty else None,
                **sizes,
                **options,
            )
        if self.separate:
            return SeparateNets(lambda task: prepare(build_task(task)), optimise, **options)
        net = prepare(build_task(0))
        if self.heads:
            draw_heads(net, build_task)
        learner: type[Learner] = Learner
        if self.penalty:
            options["strength"] = strength
        if self.penalty == "SI":
            learner = SI
        elif self.penalty:
            learner = EWC
            options |= {"online": self.penalty == "OnlineEWC", "fisher_images": fisher_images}
        return learner(net, optimise(net), **options)

    def _superposed(self, net: nn.Module, exclude: Iterable[str], **options: Any) -> nn.Module:
        """Superpose the network; without a family, its norm layers and its head alone."""
        if self.heads:
            options["own"] = name_of_head(net)
        if self.family:
            family: Callable[..., Contexts] = self.family
            if self.learned:
                family = partial(family, learned=True)
            options["per_channel"] = not issubclass(self.family, DiagonalContexts)
            if self.base:
                options["two_sided"] = self.two_sided
            return superpose(net, family=family, base=self.base, exclude=exclude, **options)
        norms = [name for name, layer in net.named_modules() if isinstance(layer, nn.BatchNorm2d)]
        if options["norms"] is Norms.SHARED:
            norms = []
        if not (norms or self.heads):
            return net
        return superpose(net, family=IdentityContexts, base=False, include=norms, **options)


_FAMILIES = [family for family in FAMILIES.values() if family is not IdentityContexts]
_TWO_SIDED = (BinaryContexts, SignedPermutationContexts, KroneckerRotationContexts)
_OFFLINE = (BinaryContexts, SignedPermutationContexts)
_PENALTIES: tuple[Penalty, ...] = ("EWC", "OnlineEWC", "SI")

METHODS = {
    str(method): method
    for method in (
        Method(),
        *(Method(family) for family in _FAMILIES),
        *(Method(f, learned=True) for f in _FAMILIES if issubclass(f, DiagonalContexts)),
        *(Method(family, base=True) for family in _FAMILIES),
        *(Method(family, base=True, two_sided=True) for family in _TWO_SIDED),
        *(Method(penalty=penalty) for penalty in _PENALTIES),
        Method(separate=True),
        *(Method(family, rival="offline") for family in _OFFLINE),
        *(Method(rival=rival) for rival in get_args(Rival) if rival != "offline"),
        Method(rival="XdG", penalty="SI"),
        Method(heads=True),
        *(Method(heads=True, penalty=penalty) for penalty in _PENALTIES),
    )
}
"""All methods by name: *standard* trains one network on all tasks, *single* one for each task."""


def named(*names: str) -> tuple[Method, ...]:
    """Return the methods of those names, for a sweep.

    Example:
        >>> from experiments.methods.method import named
        >>> [method.penalty for method in named("Binary", "EWC")]
        [None, 'EWC']
    """
    return tuple(map(Method.parse, names))
