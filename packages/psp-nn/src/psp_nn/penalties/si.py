"""Synaptic intelligence: a penalty on moving what earlier losses fell by."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from psp_nn._arguments import check_parameters, checked_number
from psp_nn.penalties.state import State, check_parts, copied, fitting


class SynapticIntelligence:
    """The penalty c Σ_i Ω_i (θ_i − θ*_i)², Ω from each parameter's share in the loss's fall.

    Along a task's training ω_i = −Σ_steps g_i Δθ_i adds up to the decrease of its loss. At the
    task's end Ω_i += max(0, ω_i) / ((θ_i − θ_i at its start)² + ξ). It works on any network,
    superposed or not, and with any optimiser.

    Args:
        net: The network. What requires gradients now is followed.
        strength: c, 0 or more.
        damping: ξ, positive, which keeps Ω finite where a parameter has hardly moved.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If `net` has no parameters, or a number is out of range or not finite.

    Source:
        Zenke, Poole and Ganguli 2017, Continual learning through synaptic intelligence; the
        paper's reference 22.

    Example:
        >>> import torch
        >>> from psp_nn import SynapticIntelligence
        >>> net = torch.nn.Linear(3, 1)
        >>> optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> intelligence = SynapticIntelligence(net, strength=0.1)
        >>> for _ in range(5):
        ...     loss = net(torch.ones(1, 3)).square().sum()  # without any penalty
        ...     optimiser.zero_grad()
        ...     loss.backward()
        ...     with intelligence.step():  # adds the penalty's gradient, follows the path
        ...         optimiser.step()
        >>> intelligence.consolidate()  # after the task
    """

    def __init__(self, net: nn.Module, *, strength: float, damping: float = 0.1) -> None:
        """See the class."""
        check_parameters("net", net)
        self.net = net
        self.strength = checked_number("strength", strength)
        self.damping = checked_number("damping", damping, positive=True)
        self.importance: dict[str, Tensor] = {}
        self.path_integral: dict[str, Tensor] = {}
        self._start: dict[str, Tensor] = {}
        for name, value in net.named_parameters():
            if value.requires_grad:
                self.importance[name] = torch.zeros_like(value.detach().real)
                self.path_integral[name] = torch.zeros_like(value.detach().real)
                self._start[name] = value.detach().clone()

    def penalty(self) -> Tensor:
        """c Σ_i Ω_i (θ_i − θ*_i)², a scalar with gradients, for looking at: `step` adds those."""
        first = next(self.net.parameters())
        total = torch.zeros((), dtype=first.real.dtype, device=first.device)
        for name, value in self._parameters():
            moved = value - self._start[name]
            total = total + (self.importance[name] * _product(moved, moved)).sum()
        return self.strength * total

    @contextmanager
    def step(self) -> Iterator[None]:
        """Surrounds the optimiser's step, when `backward` of the task's loss has been called.

        The gradients of the penalty are added to those of the loss, and the path integral, which
        is about the loss alone, goes on by one step. The gradients of the loss are read on entry:
        undo the scaling of mixed precision before, and clip inside. If what is inside fails, they
        are what they were.
        """
        before: dict[str, tuple[Tensor, Tensor]] = {}
        with torch.no_grad():
            for name, value in self._parameters():
                if value.grad is None:
                    continue
                before[name] = (value.detach().clone(), value.grad.detach().clone())
                moved = value - self._start[name]
                value.grad.add_(2 * self.strength * self.importance[name] * moved)
        try:
            yield
        except BaseException:
            for name, value in self._parameters():
                if name in before:
                    value.grad = before[name][1]
            raise
        with torch.no_grad():
            for name, value in self._parameters():
                if name in before:
                    old, gradient = before[name]
                    self.path_integral[name] -= _product(gradient, value - old)

    def consolidate(self) -> None:
        """End a task: what its loss fell by becomes important, and the next one starts here."""
        with torch.no_grad():
            for name, value in self._parameters():
                moved = value - self._start[name]
                gained = self.path_integral[name].clamp(min=0)
                self.importance[name] += gained / (_product(moved, moved) + self.damping)
                self.path_integral[name].zero_()
                self._start[name] = value.detach().clone()

    def state_dict(self) -> State:
        """What has been learned of the tasks: tensors by the names of parameters.

        The path of a task under way is in it; `strength` and `damping` are not. Written with
        `torch.save`, it is read with `weights_only=True`.

        Example:
            >>> import torch
            >>> from psp_nn import SynapticIntelligence
            >>> net = torch.nn.Linear(3, 1)
            >>> intelligence = SynapticIntelligence(net, strength=0.1)
            >>> resumed = SynapticIntelligence(net, strength=0.1)
            >>> resumed.load_state_dict(intelligence.state_dict())
            >>> sorted(intelligence.state_dict())
            ['importance', 'path_integral', 'start']
        """
        return {
            "importance": copied(self.importance),
            "path_integral": copied(self.path_integral),
            "start": copied(self._start),
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from what `state_dict` gave, with the network's parameters as they were then.

        Args:
            state: Its tensors are copied to the dtype and the device of the network's parameters.

        Raises:
            TypeError: If it is no dict, or a part of it no dict of tensors.
            ValueError: If it is the state of something else, or its names or shapes are not those
                of the parameters that are followed; nothing is changed then.
        """
        who = "SynapticIntelligence.load_state_dict"
        check_parts(who, state, self.state_dict())
        values = {name: value.detach() for name, value in self._parameters()}
        real = {name: value.real for name, value in values.items()}
        importance = fitting(who, "importance", state["importance"], real)
        path_integral = fitting(who, "path_integral", state["path_integral"], real)
        start = fitting(who, "start", state["start"], values)
        self.importance, self.path_integral, self._start = importance, path_integral, start

    def _parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for name, value in self.net.named_parameters():
            if name in self._start:
                yield name, value
            elif value.requires_grad:
                raise ValueError(
                    f"SynapticIntelligence: '{name}' requires gradients, but did not when this "
                    "was made; make another one, or freeze it."
                )


def _product(first: Tensor, second: Tensor) -> Tensor:
    """The real part of conj(a) b, by which a loss with gradient a changes along b."""
    return (first.conj() * second).real if first.is_complex() else first * second
