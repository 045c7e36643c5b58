"""LoRA and IA3 of the library PEFT, on the network of the first task."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from experiments.runner.learner import Learner

ADAPTER = "task"
"""PEFT's name of the adapter."""


def add_adapter(name: str, net: nn.Module) -> dict[str, nn.Parameter]:
    """Add an adapter to every linear layer and convolution; return its parameters by name.

    LoRA has α = r, so that the adapter's output is not scaled, and no dropout. IA3 scales the
    inputs of every layer, where contexts act, too; its paper scales some activations of a
    transformer.

    Args:
        name: `IA3`, or `LoRA-` and the rank.
        net: The network, changed in place.

    Raises:
        ImportError: If PEFT is not installed.
    """
    try:
        peft = import_module("peft")
    except ImportError as error:
        raise ImportError(
            f"{name} needs the package peft, which is not installed; pip install peft, or leave "
            "LoRA and IA3 out of --method."
        ) from error
    layers = [n for n, m in net.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    plain = {id(value) for value in net.parameters()}
    if name == "IA3":
        config = peft.IA3Config(target_modules=layers, feedforward_modules=layers)
    else:
        rank = int(name.removeprefix("LoRA-"))
        config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=layers)
    with torch.random.fork_rng(devices=[]):
        peft.inject_adapter_in_model(config, net, ADAPTER)
    return {key: value for key, value in net.named_parameters() if id(value) not in plain}


class Adapters(Learner):
    """The first task trains a network; each later one an adapter, the network being frozen.

    Only the adapter of the latest task is in memory; a file would hold them all.

    Args:
        net: The plain network; PEFT adds the adapter to it.
        optimise: Builds the optimiser of the network, once for each task.
        name: See `add_adapter`.
        seed: Seed of the adapters' initial values.
        options: See `Learner`.

    Source:
        Hu et al. 2022, LoRA; Liu et al. 2022 on IA3: Few-shot parameter-efficient fine-tuning is
        better and cheaper than in-context learning.
    """

    forgets_nothing = True

    def __init__(
        self,
        net: nn.Module,
        optimise: Callable[[nn.Module], torch.optim.Optimizer],
        name: str,
        seed: int,
        **options: Any,
    ) -> None:
        self._adapter = add_adapter(name, net)
        super().__init__(net, optimise(net), **options)
        self._optimise = optimise
        self._seed = seed
        self._train_adapter(False)

    def begin_task(self, task: int) -> None:
        """Start the adapter of a later task, with a new optimiser."""
        if task:
            self._train_adapter(True)
            self._reset_adapter(task)
            self.optimiser = self._optimise(self.net)
        super().begin_task(task)

    def added_tensors(self) -> dict[str, Tensor]:
        """Return the adapter."""
        return dict(self._adapter)

    def num_parameters(self, tasks: int) -> dict[str, int]:
        """Count one network, and an adapter for every task but the first."""
        added = sum(value.numel() for value in self._adapter.values())
        counts = super().num_parameters(tasks)
        return {"total": counts["total"] + (tasks - 2) * added, "per_added_model": added}

    def state_dict(self) -> dict[str, Any]:
        """Add whether the adapter is being trained."""
        trains = any(value.requires_grad for value in self._adapter.values())
        return {**super().state_dict(), "trains_adapter": trains}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        self._train_adapter(state["trains_adapter"])

    def _train_adapter(self, trains: bool) -> None:
        """Train the adapter alone, or the rest of the network alone."""
        for name, value in self.net.named_parameters():
            value.requires_grad_((name in self._adapter) == trains)

    def _reset_adapter(self, task: int) -> None:
        """Give the adapter initial values, with which the network computes as without it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed + 1_000_000 * task)
            layer: Any
            for layer in self.net.modules():
                if hasattr(layer, "reset_lora_parameters"):
                    layer.reset_lora_parameters(ADAPTER, init_lora_weights=True)
                elif hasattr(layer, "reset_ia3_parameters"):
                    layer.reset_ia3_parameters(ADAPTER)
