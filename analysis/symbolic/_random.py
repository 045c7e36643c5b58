"""Polynomials in random variables, and their exact expectations."""

from collections.abc import Callable
from functools import cache
from typing import Any

import sympy as sp

Expr = Any
"""A sympy expression; sympy publishes no types."""


class RandomSymbols:
    """Symbols of independent random variables with known moments, to build contexts from."""

    def __init__(self) -> None:
        self.symbols: list[Expr] = []
        self._groups: list[tuple[slice, Callable[..., Expr]]] = []

    def sign(self) -> Expr:
        """±1, fair."""
        return self._new(1, sign_moment)[0]

    def angle(self) -> tuple[Expr, Expr]:
        """(cos φ, sin φ), φ uniform on the circle."""
        cosine, sine = self._new(2, angle_moment)
        return cosine, sine

    def polar_angle(self) -> tuple[Expr, Expr]:
        """(cos β, sin β), β the angle between a uniform point of the sphere and its axis."""
        cosine, sine = self._new(2, polar_moment)
        return cosine, sine

    def expectation(self, polynomial: Expr, given: list[Expr]) -> Expr:
        """Return the expectation of a polynomial over all random symbols.

        Args:
            polynomial: An element of a sympy ring in the symbols `given` and then `symbols`.
            given: The symbols that are not random.

        Returns:
            An expression in `given`.
        """
        total = sp.Integer(0)
        for powers, coefficient in polynomial.terms():
            random_powers = powers[len(given) :]
            term = sp.Rational(int(coefficient.numerator), int(coefficient.denominator))
            for group, moment in self._groups:
                term *= moment(*random_powers[group])
                if not term:
                    break
            else:
                total += term * sp.Mul(*(s**p for s, p in zip(given, powers, strict=False)))
        return total

    def _new(self, count: int, moment: Callable[..., Expr]) -> list[Expr]:
        start = len(self.symbols)
        self.symbols += [sp.Symbol(f"r{start + i}", real=True) for i in range(count)]
        self._groups.append((slice(start, start + count), moment))
        return self.symbols[start:]


@cache
def sign_moment(power: int) -> Expr:
    """The mean of εⁿ over ε = −1 and 1."""
    return sp.Rational(1, 2) * sum(sp.Integer(value) ** power for value in (-1, 1))


@cache
def angle_moment(cosines: int, sines: int) -> Expr:
    """∫ cosᵖφ sin^qφ dφ / 2π over the circle."""
    phi = sp.Symbol("phi", real=True)
    integrand = sp.cos(phi) ** cosines * sp.sin(phi) ** sines
    return sp.integrate(integrand, (phi, 0, 2 * sp.pi)) / (2 * sp.pi)


@cache
def polar_moment(cosines: int, sines: int) -> Expr:
    """∫ cosᵖβ sin^qβ sin β dβ / 2 over 0..π."""
    beta = sp.Symbol("beta", real=True)
    integrand = sp.cos(beta) ** cosines * sp.sin(beta) ** (sines + 1)
    return sp.integrate(integrand, (beta, 0, sp.pi)) / 2
