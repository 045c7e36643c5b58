"""Moments of the complex families, integrated over their phases."""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sympy as sp

from analysis.symbolic._random import Expr
from psp_contexts import ComplexContexts, Contexts, LocalMixContexts, OnePowerContexts

Phases = dict[Any, Any]
"""The phase of one entry of C_k: coefficients of independent uniform phases, by name."""


@dataclass(frozen=True)
class Factor:
    """Σ_j w_j x_j u_j of one stored model, or its conjugate, as a factor of a product.

    Attributes:
        w: The row of the stored model, real symbols.
        stored: k.
        conjugate: True for the conjugate.
    """

    w: Sequence[Expr]
    stored: int
    conjugate: bool = False


def phase_product(contexts: Contexts, factors: Sequence[Factor], x: Sequence[Expr]) -> Expr:
    """Derive E of a product of interferences wᵀ C_k⁻¹ C_0 x and conjugates; model 0 is read.

    Each choice of one unit per factor gives one term. Units are independent, and within a unit
    the average over the phases is a product of integrals.
    """
    phases = [_relative(contexts, factor) for factor in factors]
    total = sp.Integer(0)
    for units in itertools.product(range(contexts.dim), repeat=len(factors)):
        at_unit: dict[int, list[Phases]] = defaultdict(list)
        for unit, phase in zip(units, phases, strict=True):
            at_unit[unit].append(phase)
        term = sp.Mul(*(_average(_sum(parts)) for parts in at_unit.values()))
        if term:
            term *= sp.Mul(*(f.w[unit] * x[unit] for f, unit in zip(factors, units, strict=True)))
            total += term
    return sp.expand(total)


def is_phased(contexts: Contexts) -> bool:
    """True if the family is defined here."""
    return type(contexts) in (ComplexContexts, OnePowerContexts, LocalMixContexts)


def define_phases(contexts: Contexts, index: int) -> Phases:
    """Return the phase of an entry of C_index, by the family's definition."""
    if isinstance(contexts, OnePowerContexts):
        return {"shared": sp.Integer(index)}
    if isinstance(contexts, LocalMixContexts):
        reach = contexts.neighbours
        share = sp.Rational(1, 2 * reach + 1)
        return {index + step: share for step in range(-reach, reach + 1)}
    return {index: sp.Integer(1)}


def _relative(contexts: Contexts, factor: Factor) -> Phases:
    """Return the phase of an entry of C_k⁻¹ C_0, negated for a conjugate."""
    read, stored = define_phases(contexts, 0), define_phases(contexts, factor.stored)
    phase = _sum([read, {name: -value for name, value in stored.items()}])
    return {name: -value for name, value in phase.items()} if factor.conjugate else phase


def _sum(parts: Sequence[Phases]) -> Phases:
    total: Phases = defaultdict(lambda: sp.Integer(0))
    for part in parts:
        for name, value in part.items():
            total[name] += value
    return dict(total)


def _average(phase: Phases) -> Expr:
    return sp.Mul(*(characteristic(value) for value in phase.values()))


@cache
def characteristic(coefficient: Expr) -> Expr:
    """E e^{icφ}, φ uniform on [−π, π]."""
    phi = sp.Symbol("phi", real=True)
    integral = sp.integrate(sp.exp(sp.I * coefficient * phi), (phi, -sp.pi, sp.pi))
    return sp.simplify(sp.expand_complex(integral / (2 * sp.pi)))
