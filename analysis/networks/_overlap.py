"""Overlap of the inputs' subspace under two contexts, layer by layer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from analysis.networks._inputs import layer_inputs
from analysis.networks._weights import Weight, products_of
from analysis.overlap import principal_basis, subspace_overlap
from analysis.theory import coherence_penalty, expected_overlap


@dataclass(frozen=True)
class LayerOverlap:
    """Principal subspace of what one superposed weight receives.

    Attributes:
        name: Dotted name of the weight; a convolution with groups has an entry for each.
        dim: Length of the inputs, M.
        rank: Dimension d of the subspace.
        overlap: Mean squared cosine between the subspace under two contexts, measured: the mean
            over pairs of contexts.
        expected_overlap: Its expectation over contexts, from the closed form; None where it is not
            known, as for learned contexts.
        coherence: κ, the overlap under diagonal contexts relative to rotations.
    """

    name: str
    dim: int
    rank: int
    overlap: float
    expected_overlap: float | None
    coherence: float


@torch.no_grad()
def network_overlap(
    net: nn.Module,
    samples: Tensor,
    *,
    energy: float = 0.9,
    pairs: int = 16,
    max_rows: int = 1024,
    seed: int = 0,
) -> list[LayerOverlap]:
    """Measure the overlap of the inputs' subspaces in every layer, beside the closed form.

    Args:
        net: What `superpose` returned, with the model in use that receives the samples.
        samples: Input of the network.
        energy: Share of the inputs' energy that the subspace holds; it gives the rank.
        pairs: Number of pairs of contexts to measure, drawn at random.
        max_rows: See `layer_inputs`.
        seed: Seed of the rows and the pairs.

    Returns:
        One entry for each superposed weight.

    Raises:
        ValueError: If nothing in `net` is superposed, or there is one context only.

    Source:
        Cheung et al. 2019, section 2: contexts rotate the inputs of models into subspaces that
        are nearly orthogonal.

    Example:
        >>> import torch
        >>> from analysis.networks import network_overlap
        >>> from psp_contexts import RotationContexts
        >>> from psp_nn import superpose
        >>> net = torch.nn.Linear(64, 8)
        >>> net = superpose(net, family=RotationContexts, num_contexts=10, seed=0, base=True)
        >>> samples = torch.randn(200, 8) @ torch.randn(8, 64)  # of rank 8
        >>> (layer,) = network_overlap(net, samples, energy=0.9999)
        >>> layer.rank, layer.expected_overlap
        (8, 0.125)
    """
    weights = products_of(net)
    inputs = layer_inputs(net, samples, max_rows=max_rows, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for name, rows in inputs.items():
        weight = weights[name]
        grouped = rows if weight.groups > 1 else rows.unsqueeze(0)
        for group, x in enumerate(grouped):
            label = f"{name}[{group}]" if weight.groups > 1 else name
            found.append(_measure(weight, label, group, x, energy, pairs, generator))
    return found


def _measure(
    weight: Weight,
    label: str,
    group: int,
    x: Tensor,
    share: float,
    pairs: int,
    generator: torch.Generator,
) -> LayerOverlap:
    if weight.num_contexts < 2:
        raise ValueError("network_overlap needs two contexts; superpose with num_contexts=2.")
    basis = principal_basis(x, rank_of(x, share))
    first = torch.randint(weight.num_contexts, (pairs,), generator=generator)
    shift = torch.randint(1, weight.num_contexts, (pairs,), generator=generator)
    second = (first + shift) % weight.num_contexts
    of_group = (index * weight.groups + group for index in (first, second))
    stored, read = (index.to(x.device) for index in of_group)
    return LayerOverlap(
        label,
        x.shape[-1],
        basis.shape[1],
        float(subspace_overlap(weight.contexts, basis, stored, read).mean()),
        _expected(weight, basis, stored - read),
        float(coherence_penalty(basis)),
    )


def _expected(weight: Weight, basis: Tensor, offsets: Tensor) -> float | None:
    """Return the mean expected overlap over pairs of contexts."""
    if not weight.has_closed_form:
        return None
    values, counts = offsets.unique(return_counts=True)
    overlaps = [
        int(count) * float(expected_overlap(weight.contexts, basis, offset=int(offset)))
        for offset, count in zip(values, counts, strict=True)
    ]
    return sum(overlaps) / len(offsets)


def rank_of(x: Tensor, share: float) -> int:
    """Return the least number of principal directions that hold a share of the energy."""
    energies = torch.linalg.svdvals(x).square().cumsum(0)
    return int((energies < share * energies[-1]).sum()) + 1
