"""Closed forms of `analysis.theory`, derived with sympy from the families' definitions."""

from analysis.symbolic._moments import fourth_moment as fourth_moment
from analysis.symbolic._moments import mean as mean
from analysis.symbolic._moments import pseudo_moment as pseudo_moment
from analysis.symbolic._moments import real_product_moment as real_product_moment
from analysis.symbolic._moments import second_moment as second_moment
from analysis.symbolic._moments import vectors as vectors
from analysis.symbolic._random_frames import linear_energies as linear_energies
from analysis.symbolic._random_frames import linear_limit as linear_limit
from analysis.symbolic._sphere import sphere_moment as sphere_moment

__all__ = [
    "fourth_moment",
    "linear_energies",
    "linear_limit",
    "mean",
    "pseudo_moment",
    "real_product_moment",
    "second_moment",
    "sphere_moment",
    "vectors",
]
