"""Moments on the sphere, symbolic in its dimension."""

import operator
from functools import cache

import sympy as sp

from analysis.symbolic._random import Expr


def sphere_moment(order: int, dim: Expr) -> Expr:
    """Derive E u₁^order of a point u uniform on the unit sphere of ℝ^dim.

    A Gaussian vector is its radius times an independent uniform direction, so that
    E g₁^n = E r^n · E u₁^n: both sides are integrated. The result gives every moment of a Haar
    rotation, since Ux is uniform on the sphere of radius ‖x‖: E (wᵀUx)^n = ‖w‖^n ‖x‖^n E u₁^n.

    Args:
        order: n, at least 0; orders above 64 take minutes.
        dim: A positive integer, or a sympy expression that may be positive.

    Returns:
        A rational function of `dim`.

    Raises:
        TypeError: If `order` is no integer, or `dim` neither an integer nor a sympy expression.
        ValueError: If `order` is negative, or `dim` not positive.

    Example:
        >>> import sympy
        >>> from analysis.symbolic import sphere_moment
        >>> M = sympy.Symbol("M", positive=True)
        >>> sphere_moment(2, M), sphere_moment(4, M).equals(3 / (M * (M + 2)))
        (1/M, True)
    """
    # A string as dim would be evaluated as code by sympy's subs.
    dim = dim if isinstance(dim, sp.Expr) else sp.Integer(operator.index(dim))
    if dim.is_positive is False or dim.is_finite is False:
        raise ValueError(f"dim={dim} must be positive; pass a positive integer or symbol.")
    if operator.index(order) < 0:
        raise ValueError(f"order={order} must be at least 0.")
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
