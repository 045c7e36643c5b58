"""Elastic weight consolidation: a penalty on moving what earlier tasks are sensitive to."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from psp_nn._arguments import check_flag, check_parameters, checked_number
from psp_nn.penalties.fisher import fisher_diagonal, squared
from psp_nn.penalties.state import State, check_parts, copied, fitting


class ElasticWeightConsolidation:
    """The penalty λ/2 Σ_t Σ_i F_ti (θ_i − θ*_ti)² of the tasks t consolidated so far.

    F_t is the diagonal of the Fisher information of the classifier after task t, θ*_t its
    parameters then. The sum of the tasks' parabolas is one parabola, so that the cost does not
    grow with their number. It works on any classifier, superposed or not.

    Its centre is the mean of the θ*_t weighted by F_t, which may lie far from the last θ*_t where
    early tasks have the larger information, and then draws the net away from what it has just
    learned. *Online*, the centre is the last θ*_t: λ/2 Σ_i (Σ_t F_ti) (θ_i − θ*_i)².

    Args:
        net: A classifier, x ↦ logits (batch, classes).
        strength: λ, 0 or more.
        online: Whether all tasks' information holds the net at the parameters after the last one.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If `net` has no parameters, or the strength is negative or not finite.

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
        """See the class."""
        check_parameters("net", net)
        self.net = net
        self.strength = checked_number("strength", strength)
        check_flag("online", online)
        self.online = online
        self._importance: dict[str, Tensor] = {}
        self._centre: dict[str, Tensor] = {}
        self._least = 0.0

    def penalty(self) -> Tensor:
        """The penalty, a scalar with gradients to the parameters."""
        parameters = dict(self.net.named_parameters())
        first = next(iter(parameters.values()))
        total = torch.zeros((), dtype=first.real.dtype, device=first.device)
        for name, importance in self._importance.items():
            total = total + (importance * squared(parameters[name] - self._centre[name])).sum()
        return self.strength / 2 * (total + self._least)

    def consolidate(self, batches: Iterable[Tensor], *, chunk: int = 32) -> None:
        """Add a task, at the parameters of now.

        Args:
            batches: Inputs of the task, each of shape (batch, …).
            chunk: Of how many samples the gradients are held at once.

        Raises:
            TypeError, ValueError: As for `fisher_diagonal`, or if the information is not finite;
                nothing is added then.
        """
        fisher = fisher_diagonal(self.net, batches, chunk=chunk)
        for name, new in fisher.items():
            if not new.isfinite().all():
                raise ValueError(
                    f"ElasticWeightConsolidation.consolidate: the Fisher information of '{name}' "
                    "holds numbers that are infinite or not a number, which no penalty would get "
                    "rid of again; pass finite inputs, and a net that has not diverged."
                )
        for name, parameter in self.net.named_parameters():
            if name not in fisher:
                continue
            now, new = parameter.detach().clone(), fisher[name]
            old = self._importance.get(name, torch.zeros_like(new))
            both = old + new
            if self.online:
                self._importance[name], self._centre[name] = both, now
                continue
            centre = self._centre.get(name, now)
            share = torch.where(both > 0, new / both, torch.zeros_like(both))
            # a (θ−p)² + b (θ−q)² = (a+b) (θ−m)² + ab/(a+b) (p−q)²
            self._least += float((old * share * squared(centre - now)).sum())
            self._importance[name] = both
            self._centre[name] = centre + share * (now - centre)

    def state_dict(self) -> State:
        """What has been consolidated: tensors by the names of parameters, a number, and `online`.

        `strength` is not in it. Written with `torch.save`, it is read with `weights_only=True`.

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
            "importance": copied(self._importance),
            "centre": copied(self._centre),
            "least": self._least,
            "online": self.online,
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from what `state_dict` gave; what was consolidated here is replaced.

        Args:
            state: Its tensors are copied to the dtype and the device of the network's parameters.

        Raises:
            TypeError: If it is no dict, or a part of it is not what it should be.
            ValueError: If it is the state of something else, or its names or shapes are not those
                of the network's parameters; nothing is changed then.
        """
        who = "ElasticWeightConsolidation.load_state_dict"
        check_parts(who, state, self.state_dict())
        if not isinstance(state["least"], float):
            raise TypeError(f"{who}: state['least'] must be a float, but is not.")
        if state["online"] is not self.online:
            raise ValueError(
                f"{who}: state['online'] is {state['online']!r}, but this penalty has "
                f"online={self.online}; pass the state of one that has the same."
            )
        if not math.isfinite(state["least"]):
            raise ValueError(f"{who}: state['least'] must be finite, but is not.")
        centres = dict(self.net.named_parameters())
        if isinstance(state["importance"], dict):
            # A parameter that was frozen is in neither part, and before the first task none is.
            centres = {name: centres[name] for name in centres if name in state["importance"]}
        importances = {name: value.detach().real for name, value in centres.items()}
        importance = fitting(who, "importance", state["importance"], importances)
        centre = fitting(who, "centre", state["centre"], centres)
        self._importance, self._centre, self._least = importance, centre, state["least"]
