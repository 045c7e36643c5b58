"""Moments on the sphere, symbolic in its dimension."""

from functools import cache

import sympy as sp

from analysis._arguments import checked_integer
from analysis.symbolic._chance import Expr

LARGEST_ORDER = 64
"""Of a moment: the integrals of higher ones take minutes."""


def sphere_moment(order: int, dim: Expr) -> Expr:
    """E u₁^order of a point u uniform on the unit sphere of ℝ^dim.

    A Gaussian vector is its radius times an independent uniform direction, so that
    E g₁^n = E r^n · E u₁^n: both sides are integrated. It gives every moment of a Haar rotation,
    since Ux is uniform on the sphere of radius ‖x‖: E (wᵀUx)^n = ‖w‖^n ‖x‖^n E u₁^n.

    Args:
        order: n, 0 to 64.
        dim: A positive integer or a sympy expression that may be one.

    Returns:
        A rational function of `dim`.

    Raises:
        TypeError: If `order` is no int, or `dim` neither that nor a sympy expression.
        ValueError: If `order` is out of range, or `dim` not positive.

    Example:
        >>> import sympy
        >>> from analysis.symbolic import sphere_moment
        >>> M = sympy.Symbol("M", positive=True)
        >>> sphere_moment(2, M), sphere_moment(4, M).equals(3 / (M * (M + 2)))
        (1/M, True)
    """
    order = checked_integer("order", order, 0, LARGEST_ORDER)
    # sympy would take text as well, and run what is in it.
    if not isinstance(dim, sp.Expr):
        dim = checked_integer("dim", dim, least=1)
    elif dim.is_positive is False or dim.is_finite is False:
        raise ValueError(f"dim={dim} must be positive; pass a positive integer or symbol.")
    size = sp.Symbol("size", positive=True)
    return sp.factor(_moment(order, size).subs(size, dim))


@cache
def _moment(order: int, size: Expr) -> Expr:
    g = sp.Symbol("g", real=True)
    r = sp.Symbol("r", positive=True)
    bell = sp.exp(-(g**2) / 2) / sp.sqrt(2 * sp.pi)
    coordinate = sp.integrate(g**order * bell, (g, -sp.oo, sp.oo))
    shell = r ** (size - 1) * sp.exp(-(r**2) / 2)
    radius = sp.integrate(r**order * shell, (r, 0, sp.oo)) / sp.integrate(shell, (r, 0, sp.oo))
    return sp.gammasimp(coordinate / radius)
