"""Other ways to keep many models, by name."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

from experiments.methods.adapters import Adapters
from experiments.methods.bit_delta import BitDelta
from experiments.methods.fine_tuned import FineTuned
from experiments.methods.gating import XdG, XdGSI, add_gates
from experiments.methods.offline import Offline
from experiments.methods.sup_sup import SupSup
from experiments.runner.learner import Learner

Rival = Literal[
    "fine-tuned", "BitDelta", "offline", "LoRA-1", "LoRA-4", "LoRA-16", "IA3", "SupSup", "XdG"
]


def rival_learner(
    rival: Rival,
    net: nn.Module,
    optimise: Callable[[nn.Module], torch.optim.Optimizer],
    *,
    superpose_offline: Callable[[nn.Module], nn.Module],
    num_contexts: int,
    seed: int,
    strength: float | None,
    **options: Any,
) -> Learner:
    """Make the learner of a rival.

    Args:
        rival: The rival.
        net: The plain network.
        optimise: Builds the optimiser of a network.
        superpose_offline: Returns the superposition of which a network is the base.
        num_contexts: Number of tasks.
        seed: Seed of gates, masks and adapters.
        strength: Strength of SI beside XdG; None for XdG alone.
        options: See `Learner`.
    """
    if rival == "fine-tuned":
        return FineTuned(net, optimise, **options)
    if rival == "BitDelta":
        return BitDelta(net, optimise, **options)
    if rival == "offline":
        return Offline(net, optimise, superpose_offline, **options)
    if rival == "SupSup":
        return SupSup(net, optimise, seed, **options)
    if rival == "XdG":
        net = add_gates(net, num_contexts, seed)
        if strength is None:
            return XdG(net, optimise(net), **options)
        return XdGSI(net, optimise(net), strength=strength, **options)
    return Adapters(net, optimise, rival, seed, **options)
