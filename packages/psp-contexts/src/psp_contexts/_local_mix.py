"""Phases mixed over neighbours in time: the paper's contexts for slow drift."""

from typing import Any

import torch
from torch import Tensor

from psp_contexts._checks import checked_count
from psp_contexts._complex import ComplexContexts
from psp_contexts._diagonal import rows_of

MOST_NEIGHBOURS = 1000
"""Largest number of neighbours.

A context draws the phases of all its neighbours, and the more there are, the more alike all
contexts become: with a thousand, two that are far apart overlap by 0.998.
"""


class LocalMixContexts(ComplexContexts):
    """C_k = diag(e^{iθ}), θ(k) the mean of independent phases φ(k−n) … φ(k+n).

    Contexts less than 2n+1 apart share phases, so that models of neighbouring steps help each
    other. The price is that a mean of phases is not uniform on the circle. Even distant contexts
    overlap, E[e^{iθ(s)−iθ(k)}] = sinc(1/(2n+1))^{2(2n+1)} = 0.32 for n = 1.

    Args:
        dim: See `Contexts`.
        num_contexts: See `Contexts`.
        seed: See `Contexts`.
        name: See `Contexts`.
        neighbours: Number n of neighbours on either side that are mixed in, at most 1000. 0 gives
            independent phases.
        learned: Whether the phases φ are trained.

    Source:
        Cheung et al. 2019, section 4.1.3, pspFastLocalMix.

    Example:
        >>> import torch
        >>> from psp_contexts import LocalMixContexts
        >>> contexts = LocalMixContexts(2000, num_contexts=1000, seed=0)
        >>> x = torch.ones(2000)
        >>> far, near = (contexts.bind(x, 5).vdot(contexts.bind(x, k)).real for k in (500, 6))
        >>> (near / far).round()  # overlaps 0.68 and 0.32
        tensor(2.)
    """

    def __init__(
        self,
        dim: int,
        num_contexts: int,
        *,
        seed: int,
        name: str = "",
        neighbours: int = 1,
        learned: bool = False,
    ) -> None:
        self.neighbours = checked_count("neighbours", neighbours, MOST_NEIGHBOURS, least=0)
        super().__init__(dim, num_contexts, seed=seed, name=name, learned=learned)

    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """Return the mixed phases in radians, float64."""
        return (torch.stack([self._phases(index + step) for step in self._window()]).mean(0),)

    def _window(self) -> range:
        return range(2 * self.neighbours + 1)

    def _phases(self, position: int) -> Tensor:
        # Position p holds φ(p − n), since the first context has neighbours, too.
        return self._source().phases(position, self.dim)

    @property
    def _num_rows(self) -> int:
        return self.num_contexts + 2 * self.neighbours

    def _start_row(self, row: int) -> Tensor:
        return self._phases(row)

    def _learned(self, table: Tensor, context: int | Tensor) -> Tensor:
        window = [rows_of(table, context + step) for step in self._window()]
        return torch.stack(window).mean(0)

    def spec(self) -> dict[str, Any]:
        """Return the arguments, with `neighbours`."""
        return {**super().spec(), "neighbours": self.neighbours}
