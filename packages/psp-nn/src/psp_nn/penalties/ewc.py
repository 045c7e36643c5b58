"""Elastic weight consolidation: a penalty on moving parameters that matter to earlier tasks."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from psp_nn.penalties.fisher import abs_squared, fisher_diagonal
from psp_nn.penalties.state import (
    State,
    check_keys,
    copy_tensors,
    fit_rows,
    load_tensors,
    missing,
    zero_penalty,
)


class ElasticWeightConsolidation:
    """The penalty λ/2 Σ_t Σ_i F_ti (θ_i − θ*_ti)² over the tasks t consolidated so far.

    F_t is the diagonal of the classifier's Fisher information after task t, and θ*_t its
    parameters at that time. Rows that are added to a parameter later, as to a growing head, are
    free. A sum of parabolas is a parabola, so the cost does not grow with the
    number of tasks. It works on any classifier, superposed or not.

    The parabola's centre is the mean of the θ*_t, weighted by F_t. Where early tasks have the
    larger information, it lies far from the last θ*_t and pulls the network away from what it
    has just learned. With `online=True` the centre is the last θ*_t:
    λ/2 Σ_i (Σ_t F_ti) (θ_i − θ*_i)².

    Args:
        net: A classifier, x ↦ logits (batch, classes).
        strength: λ, at least 0.
        online: Centre the penalty at the parameters after the last task.

    Raises:
        ValueError: If the strength is negative or not finite.

    Source:
        Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks; the
        paper's reference 5. Online: Huszár 2018, Note on the quadratic penalties in elastic weight
        consolidation; Schwarz et al. 2018, Progress & Compress.

    Example:
        >>> import torch
        >>> from psp_nn import ElasticWeightConsolidation
        >>> net = torch.nn.Linear(3, 2)
        >>> ewc = ElasticWeightConsolidation(net, strength=100.0)
        >>> ewc.penalty().item()
        0.0
        >>> ewc.consolidate([torch.randn(10, 3)])  # after a task, with some of its inputs
        >>> _ = net.weight.data.add_(1)
        >>> ewc.penalty().item() > 0  # add it to the loss of the next task
        True
    """

    def __init__(self, net: nn.Module, *, strength: float, online: bool = False) -> None:
        if not 0 <= strength < math.inf:
            raise ValueError(f"strength must be finite and at least 0, but is {strength!r}.")
        self.net = net
        self.strength = strength
        self.online = online
        self._importance: dict[str, Tensor] = {}
        self._centre: dict[str, Tensor] = {}
        self._least = 0.0

    def penalty(self) -> Tensor:
        """Return the penalty, a differentiable scalar."""
        parameters = self._fitted_parameters()
        total = zero_penalty(self.net)
        for name, importance in self._importance.items():
            total = total + (importance * abs_squared(parameters[name] - self._centre[name])).sum()
        return self.strength / 2 * (total + self._least)

    def consolidate(self, batches: Iterable[Tensor], *, chunk: int = 32) -> None:
        """Add a task, with the network's current parameters as its θ*.

        Args:
            batches: Inputs of the task, each of shape (batch, …).
            chunk: Number of samples whose gradients are held at once.

        Raises:
            TypeError, ValueError: As in `fisher_diagonal`, or if the information is not finite;
                nothing is added then.
        """
        self._fitted_parameters()
        fisher = fisher_diagonal(self.net, batches, chunk=chunk)
        for name, information in fisher.items():
            if not information.isfinite().all():
                raise ValueError(
                    f"the Fisher information of '{name}' is not finite; pass finite batches and a "
                    "network that has not diverged."
                )
        with torch.inference_mode(False):  # for a backward pass later
            self._add(fisher)

    @torch.no_grad()
    def _fitted_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters, and give rows that were added to them no importance."""
        parameters = dict(self.net.named_parameters())
        for name, importance in self._importance.items():
            if name not in parameters:
                raise missing("ElasticWeightConsolidation", name)
            parameter, caller = parameters[name], "ElasticWeightConsolidation"
            zero = torch.zeros_like(parameter.real)
            self._importance[name] = fit_rows(caller, name, importance, parameter, zero)
            self._centre[name] = fit_rows(caller, name, self._centre[name], parameter, parameter)
        return parameters

    def _add(self, fisher: dict[str, Tensor]) -> None:
        parameters = dict(self.net.named_parameters())
        for name, new in fisher.items():
            current = parameters[name].detach().clone()
            old = self._importance.get(name, torch.zeros_like(new))
            total = self._importance[name] = old + new
            if self.online:
                self._centre[name] = current
                continue
            centre = self._centre.get(name, current)
            share = torch.where(total > 0, new / total, torch.zeros_like(total))
            # a (θ−p)² + b (θ−q)² = (a+b) (θ−m)² + ab/(a+b) (p−q)²
            self._least += float((old * share * abs_squared(centre - current)).sum())
            self._centre[name] = centre + share * (current - centre)

    def state_dict(self) -> State:
        """Return what has been consolidated: tensors by parameter name, a float and `online`.

        `strength` is not included. A state written by `torch.save` can be read with
        `weights_only=True`.

        Example:
            >>> import torch
            >>> from psp_nn import ElasticWeightConsolidation
            >>> net = torch.nn.Linear(3, 2)
            >>> ewc = ElasticWeightConsolidation(net, strength=100.0)
            >>> ewc.consolidate([torch.randn(10, 3)])
            >>> resumed = ElasticWeightConsolidation(net, strength=100.0)
            >>> resumed.load_state_dict(ewc.state_dict())
            >>> _ = net.weight.data.add_(1)
            >>> torch.equal(resumed.penalty(), ewc.penalty())
            True
        """
        return {
            "importance": copy_tensors(self._importance),
            "centre": copy_tensors(self._centre),
            "least": self._least,
            "online": self.online,
        }

    def load_state_dict(self, state: State) -> None:
        """Replace what has been consolidated by a state that `state_dict` returned.

        Args:
            state: The state. Its tensors are copied to the parameters' dtypes and devices.

        Raises:
            ValueError: If the state has other keys or another `online`, or its names or shapes
                are not those of the network's parameters; nothing changes then.
        """
        caller = "ElasticWeightConsolidation.load_state_dict"
        check_keys(caller, state, self.state_dict())
        if state["online"] != self.online:
            raise ValueError(f"{caller}: state['online'] is {state['online']}, not {self.online}.")
        # The state omits frozen parameters, and all of them before the first task.
        parameters = {
            name: value
            for name, value in self.net.named_parameters()
            if name in state["importance"]
        }
        real = {name: value.detach().real for name, value in parameters.items()}
        importance = load_tensors(caller, "importance", state["importance"], real)
        centre = load_tensors(caller, "centre", state["centre"], parameters)
        self._least = float(state["least"])
        self._importance, self._centre = importance, centre
