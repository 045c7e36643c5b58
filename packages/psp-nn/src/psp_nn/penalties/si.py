"""Synaptic intelligence: a penalty on moving parameters that lowered earlier losses."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from psp_nn.penalties.state import (
    State,
    check_keys,
    copy_tensors,
    fit_rows,
    load_tensors,
    missing,
    zero_penalty,
)


class SynapticIntelligence:
    """The penalty c Σ_i Ω_i (θ_i − θ*_i)², where Ω_i is the share of θ_i in the fall of the loss.

    Along a task's training, ω_i = −Σ_steps g_i Δθ_i adds up to the decrease of its loss. At the
    task's end Ω_i += max(0, ω_i) / ((Δθ_i over the task)² + ξ). It works on any network,
    superposed or not, and with any optimiser.

    Args:
        net: The network. Parameters that require gradients now are tracked.
        strength: c, at least 0.
        damping: ξ, positive. It keeps Ω finite where a parameter has hardly moved.

    Raises:
        ValueError: If the strength or the damping is out of range or not finite.

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
        ...     with intelligence.step():  # adds the penalty's gradient and updates ω
        ...         optimiser.step()
        >>> intelligence.consolidate()  # after the task
    """

    def __init__(self, net: nn.Module, *, strength: float, damping: float = 0.1) -> None:
        if not 0 <= strength < math.inf:
            raise ValueError(f"strength must be finite and at least 0, but is {strength!r}.")
        if not 0 < damping < math.inf:
            raise ValueError(f"damping must be finite and positive, but is {damping!r}.")
        self.net = net
        self.strength = strength
        self.damping = damping
        self._start = copy_tensors({n: p for n, p in net.named_parameters() if p.requires_grad})
        self.importance = {name: torch.zeros_like(p.real) for name, p in self._start.items()}
        self.path_integral = copy_tensors(self.importance)

    def penalty(self) -> Tensor:
        """Return c Σ_i Ω_i (θ_i − θ*_i)², a differentiable scalar.

        Do not add it to the loss: `step` adds its gradient.
        """
        total = zero_penalty(self.net)
        for name, parameter in self._tracked():
            moved = parameter - self._start[name]
            total = total + (self.importance[name] * _inner_product(moved, moved)).sum()
        return self.strength * total

    @contextmanager
    def step(self) -> Iterator[None]:
        """Wrap the optimiser's step that follows `backward` on the task's loss.

        On entry, the penalty's gradients are added to those of the loss. On exit, the path
        integral of the loss alone is updated. Undo the scaling of mixed precision before, and
        clip gradients inside. If the body raises, the gradients of the loss are restored.
        """
        before: dict[str, tuple[Tensor, Tensor]] = {}
        with torch.no_grad():
            for name, parameter in self._tracked():
                if parameter.grad is None:
                    continue
                before[name] = (parameter.detach().clone(), parameter.grad.detach().clone())
                moved = parameter - self._start[name]
                parameter.grad.add_(2 * self.strength * self.importance[name] * moved)
        try:
            yield
        except BaseException:
            for name, parameter in self._tracked():
                if name in before:
                    parameter.grad = before[name][1]
            raise
        with torch.no_grad():
            for name, parameter in self._tracked():
                if name in before:
                    old, gradient = before[name]
                    self.path_integral[name] -= _inner_product(gradient, parameter - old)

    def consolidate(self) -> None:
        """End a task: update the importance, and start the next path at the current parameters."""
        with torch.no_grad():
            for name, parameter in self._tracked():
                moved = parameter - self._start[name]
                decrease = self.path_integral[name].clamp(min=0)
                self.importance[name] += decrease / (_inner_product(moved, moved) + self.damping)
                self.path_integral[name].zero_()
                self._start[name] = parameter.detach().clone()

    def state_dict(self) -> State:
        """Return what has been learned of the tasks so far: tensors by parameter name.

        The path of an unfinished task is included, `strength` and `damping` are not. A state
        written by `torch.save` can be read with `weights_only=True`.

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
            "importance": copy_tensors(self.importance),
            "path_integral": copy_tensors(self.path_integral),
            "start": copy_tensors(self._start),
        }

    def load_state_dict(self, state: State) -> None:
        """Replace the state by one that `state_dict` returned.

        Load the network's own parameters of that time separately.

        Args:
            state: The state. Its tensors are copied to the parameters' dtypes and devices.

        Raises:
            ValueError: If the state has other keys, or its names or shapes are not those of the
                tracked parameters; nothing changes then.
        """
        caller = "SynapticIntelligence.load_state_dict"
        check_keys(caller, state, self.state_dict())
        parameters = {name: parameter.detach() for name, parameter in self._tracked()}
        real = {name: parameter.real for name, parameter in parameters.items()}
        importance = load_tensors(caller, "importance", state["importance"], real)
        path_integral = load_tensors(caller, "path_integral", state["path_integral"], real)
        start = load_tensors(caller, "start", state["start"], parameters)
        self.importance, self.path_integral, self._start = importance, path_integral, start

    def _tracked(self) -> Iterator[tuple[str, nn.Parameter]]:
        caller, parameters = "SynapticIntelligence", dict(self.net.named_parameters())
        for name in self._start:
            if name not in parameters:
                raise missing(caller, name)
        for name, parameter in parameters.items():
            if name in self._start:
                self._fit(caller, name, parameter)
                yield name, parameter
            elif parameter.requires_grad:
                raise ValueError(
                    f"{caller}: '{name}' requires gradients, but did not when this "
                    "penalty was built; build a new one, or freeze the parameter."
                )

    @torch.no_grad()
    def _fit(self, caller: str, name: str, parameter: nn.Parameter) -> None:
        """Give rows that were added to a parameter no importance."""
        zero = torch.zeros_like(parameter.real)
        for values, fill in (
            (self.importance, zero),
            (self.path_integral, zero),
            (self._start, parameter),
        ):
            values[name] = fit_rows(caller, name, values[name], parameter, fill)


def _inner_product(first: Tensor, second: Tensor) -> Tensor:
    """Return the real part of conj(a) b: the change along b of a loss with gradient a."""
    return (first.conj() * second).real if first.is_complex() else first * second
