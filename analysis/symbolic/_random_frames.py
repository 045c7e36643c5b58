"""Derivation of the law of a linear layer that fits one task after the other in random frames."""

from functools import cache

import sympy as sp

from analysis.symbolic._random import Expr
from analysis.symbolic._sphere import sphere_moment


def projection_moments(constraints: Expr, dim: Expr) -> tuple[Expr, Expr]:
    """Return a and b of E[P A P] = a A + b tr(A) I, for P onto a uniformly random subspace.

    The average commutes with every rotation, so that it has this form for symmetric A. Its trace
    and its value at A = vvᵀ fix the two numbers: E tr(P A P) = d/p tr A, and
    E (vᵀPv)² = d E u₁⁴ + d (d − 1) E u₁²u₂² for u uniform on the sphere.

    Args:
        constraints: Rank d of the projection.
        dim: Dimension p.
    """
    d, p = constraints, dim
    fourth = sphere_moment(4, p)
    mixed = (1 / p - fourth) / (p - 1)  # from E (Σ u_i²) u_1² = E u_1²
    a, b = sp.symbols("a b")
    solution = sp.solve(
        [a + b * p - d / p, a + b - d * fourth - d * (d - 1) * mixed], [a, b], dict=True
    )[0]
    return sp.factor(solution[a]), sp.factor(solution[b])


def linear_energies(further: int, constraints: Expr, dim: Expr) -> tuple[Expr, Expr]:
    """Return E⟨w, t⟩ and E‖Pw‖² of the task learned first, after `further` other tasks.

    Learning a task maps w to (I − P′) w + t′, where P′ projects onto a random subspace of rank d
    and t′ is a random point in it of energy 1. With g = E‖Pw‖² and e = E‖w‖²:

        ⟨w, t⟩ → (1 − d/p) ⟨w, t⟩
        g → (1 − 2 d/p + a) g + b d e + d/p
        e → (1 − d/p) e + 1

    Args:
        further: Number of tasks learned since.
        constraints: Rank d of a task's inputs.
        dim: Length p of the weights.
    """
    share = constraints / dim
    a, b = projection_moments(constraints, dim)
    signal = seen = energy = sp.Integer(1)
    for _ in range(further):
        seen = (1 - 2 * share + a) * seen + b * constraints * energy + share
        signal, energy = (1 - share) * signal, (1 - share) * energy + 1
    return sp.simplify(signal), sp.simplify(seen)


@cache
def linear_limit() -> tuple[Expr, Expr, Expr]:
    """Return forgetting and SNR for p → ∞ at n d/p = x, and the symbol x.

    Per task of share s = d/p, to first order in s, a is of order s², b d of order s² as well, so
    that d⟨w, t⟩/dx = −⟨w, t⟩, dg/dx = 1 − 2 g + h and dh/dx = 1 − h for h = e d/p.

    Example:
        >>> import sympy
        >>> from analysis.symbolic import linear_limit
        >>> forgetting, snr, x = linear_limit()
        >>> forgotten = 1 - sympy.exp(-x)
        >>> forgetting.equals(forgotten * (1 + forgotten))
        True
    """
    x = sp.Symbol("x", positive=True)
    s, d = sp.symbols("s d", positive=True)
    a, b = projection_moments(d, d / s)
    seen, filled = sp.Function("g")(x), sp.Function("h")(x)
    h = sp.Symbol("h")
    # Rates per unit of x = n s: the change of one task over s, as s → 0.
    g_ = sp.Symbol("g")
    rate = sp.limit(sp.simplify(((-2 * s + a) * g_ + b * d * h / s + s) / s), s, 0)
    filling = sp.dsolve(filled.diff(x) - (1 - filled), filled, ics={filled.subs(x, 0): 0}).rhs
    equation = seen.diff(x) - rate.subs({g_: seen, h: filling})
    total = sp.dsolve(equation, seen, ics={seen.subs(x, 0): 1}).rhs
    signal = sp.exp(-x)
    forgetting = sp.simplify(total - 2 * signal + 1)
    return forgetting, sp.simplify(signal**2 / (total - signal**2)), x
