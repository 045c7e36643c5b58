"""Interference between models with contexts on both sides of their differences from a base."""

from typing import NamedTuple

from jaxtyping import Float64, Num
from torch import Tensor

from analysis.theory._algebra import double, energy
from analysis.theory._families import Family, prepare


class ProfileCosts(NamedTuple):
    """Costs of the energy profiles of a difference; 1 where the energy is spread evenly.

    Attributes:
        columns: Power of Binary's interference as a multiple of a rotation's. It is large where
            the columns with much energy meet inputs with much energy.
        rows: Power that one-sided contexts transmit to a readout as a multiple of what rows in
            random order transmit. It is large where the readout is aligned with the difference.
    """

    columns: Float64[Tensor, "*batch"]
    rows: Float64[Tensor, "*batch"]


def transmitted_moment(
    family: Family,
    difference: Num[Tensor, "out dim"],
    x: Num[Tensor, "*#batch dim"],
    readout: Num[Tensor, "*#batch out"],
    *,
    two_sided: bool,
) -> Float64[Tensor, "*batch"]:
    """E|rᵀ R D U x|²: the power of a model's interference in a function of the output units.

    A stored difference D reaches the output units of the model that is read as R D U x, with
    U = C_k⁻¹ C_s of the family and, with contexts on both sides, R = R_s⁻¹ R_k a uniform
    permutation. A readout r, such as the gradient of a logit, says what the units are worth. A
    difference that training made is a sum of outer products of gradients and inputs. Its rows add
    up coherently in a readout like those gradients. R breaks this, at no storage:

        E|rᵀ R D U x|² = r̄² m(1ᵀD) + s² (Σ_i m(d_i) − m(1ᵀD) / n)

    with m(w) = E|wᵀUx|² the family's second moment, d_i the n rows, and the mean r̄ and variance
    s² = Σ(r_i − r̄)² / (n − 1) of the readout. One-sided contexts give m(rᵀD).

    Args:
        family: Contexts of the input side, or a class with its defaults.
        difference: D, what one stored model differs from the base.
        x: Inputs of the model that is read.
        readout: r, the weight of every output unit.
        two_sided: True for permutations of the output units.

    Returns:
        float64.

    Raises:
        NotImplementedError, TypeError, ValueError: As for `second_moment`.

    Example:
        >>> import torch
        >>> from analysis.theory import transmitted_moment
        >>> from psp_contexts import BinaryContexts
        >>> gradient, x = torch.randn(8), torch.randn(16)
        >>> step = gradient.outer(x)
        >>> options = (BinaryContexts, step, x, gradient)
        >>> one_sided = transmitted_moment(*options, two_sided=False)
        >>> bool(transmitted_moment(*options, two_sided=True) < one_sided)
        True
    """
    moments, (rows, x) = prepare(family, None, difference=difference, x=x)
    readout = double(readout)
    if readout.shape[-1] != len(rows):
        raise ValueError(
            f"readout must have one entry for each of the {len(rows)} rows of the difference, but "
            f"has shape {tuple(readout.shape)}."
        )
    if not two_sided:
        return moments.second_moment(readout.to(rows.dtype) @ rows, x, None)
    mean = readout.mean(-1)
    variance = energy(readout - mean.unsqueeze(-1)) / max(len(rows) - 1, 1)
    together = moments.second_moment(rows.sum(0), x, None)
    apart = moments.second_moment(rows, x.unsqueeze(-2), None).sum(-1)
    return mean.square() * together + variance * (apart - together / len(rows))


def profile_costs(
    difference: Num[Tensor, "out dim"],
    x: Num[Tensor, "*#batch dim"],
    readout: Num[Tensor, "*#batch out"],
) -> ProfileCosts:
    """Return what the energy profiles of a difference cost, κ = M Σ_j e_j x_j² / (‖D‖² ‖x‖²).

    e_j is the energy of column j. The cost of the rows is n ‖rᵀD‖² / (‖r‖² ‖D‖²). Permutations
    among the contexts C remove the former, permutations of the output units the latter.

    Arguments are those of `transmitted_moment`.

    Example:
        >>> import torch
        >>> from analysis.theory import profile_costs
        >>> gradient, x = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0, 0.0])
        >>> columns, rows = profile_costs(gradient.outer(x), x, gradient)
        >>> columns.item(), rows.item()
        (3.0, 2.0)
    """
    rows, x, readout = double(difference), double(x), double(readout)
    out, dim = rows.shape
    total = energy(rows.flatten())
    columns = dim * (x.square() @ rows.square().sum(0)) / (total * energy(x))
    return ProfileCosts(columns, out * energy(readout @ rows) / (total * energy(readout)))
