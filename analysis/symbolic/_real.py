"""Moments of the real families, as averages over their definitions."""

import itertools

import sympy as sp
from sympy.polys.rings import ring

from analysis.symbolic._random import Expr, RandomSymbols
from psp_contexts import (
    BinaryContexts,
    BlockRotationContexts,
    Contexts,
    IdentityContexts,
    KroneckerRotationContexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
)


def real_moment(contexts: Contexts, w: list[Expr], x: list[Expr], order: int) -> Expr:
    """Derive E (wᵀ C_kᵀ C_s x)^order over two independent contexts."""
    random = RandomSymbols()
    # C_kᵀ C_s is Haar even if C_s = I. From the fourth moment on this saves most of the terms.
    stored, read = define(contexts, random), define(contexts, random, rotate=order <= 2)
    given = w + x
    domain = ring([*given, *random.symbols], sp.QQ)[0]
    total = domain.zero
    for left, right in itertools.product(stored, read):
        x_bound = [_dot(domain, row, x) for row in right]  # C_s x
        w_bound = [_dot(domain, row, w) for row in left]  # C_k w
        total += _sum(domain, [a * b for a, b in zip(w_bound, x_bound, strict=True)]) ** order
    return random.expectation(total, given) / (len(stored) * len(read))


def real_product(contexts: Contexts, w: list[Expr], other: list[Expr], x: list[Expr]) -> Expr:
    """Derive E (wᵀ C_kᵀ C_s x)(w′ᵀ C_lᵀ C_s x) over three independent contexts."""
    random = RandomSymbols()
    stored, other_stored, read = (define(contexts, random) for _ in range(3))
    given = [*w, *other, *x]
    domain = ring([*given, *random.symbols], sp.QQ)[0]
    total = domain.zero
    for left, right, shared in itertools.product(stored, other_stored, read):
        x_bound = [_dot(domain, row, x) for row in shared]
        factors = [
            _sum(domain, [_dot(domain, row, v) * b for row, b in zip(matrix, x_bound, strict=True)])
            for matrix, v in ((left, w), (right, other))
        ]
        total += factors[0] * factors[1]
    return random.expectation(total, given) / (len(stored) * len(other_stored) * len(read))


def define(
    contexts: Contexts, random: RandomSymbols, rotate: bool = True
) -> list[list[list[Expr]]]:
    """Return the equally likely matrices of a context, as rows of random symbols.

    Args:
        contexts: Contexts with their dim and options.
        random: Source of the random symbols.
        rotate: Draw Haar rotations; otherwise replace them by the identity.

    Raises:
        NotImplementedError: For a family without a definition here.
    """
    dim = contexts.dim
    one = sp.eye(dim)
    orders = [sp.Matrix(rows) for rows in itertools.permutations(one.tolist())]
    family = type(contexts)
    if family is IdentityContexts:
        matrices = [one]
    elif family is BinaryContexts:
        matrices = [_signs(dim, random)]
    elif family is PermutationContexts:
        matrices = orders
    elif family is SignedPermutationContexts:
        signs = _signs(dim, random)
        matrices = [signs * order for order in orders]
    elif family is RotationContexts:
        matrices = [_haar(dim, random, rotate)]
    elif isinstance(contexts, BlockRotationContexts):
        size = contexts.block_size
        matrices = [sp.diag(*(_haar(size, random, rotate) for _ in range(dim // size)))]
    elif isinstance(contexts, KroneckerRotationContexts):
        a, b = (_haar(size, random, rotate) for size in contexts.sizes)
        matrices = [sp.kronecker_product(a, b) * _signs(dim, random)]
    else:
        raise NotImplementedError(f"symbolic has no definition of the family {family.__name__}.")
    return [matrix.tolist() for matrix in matrices]


def _signs(dim: int, random: RandomSymbols) -> Expr:
    return sp.diag(*(random.sign() for _ in range(dim)))


def _haar(size: int, random: RandomSymbols, rotate: bool) -> Expr:
    """Return a Haar matrix on O(size): uniform Euler angles and a fair reflection."""
    if not rotate:
        return sp.eye(size)
    if size == 1:
        return sp.Matrix([[random.sign()]])
    if size == 2:
        return _plane_rotation(*random.angle()) * sp.diag(1, random.sign())
    if size == 3:
        first, last = (sp.diag(_plane_rotation(*random.angle()), 1) for _ in range(2))
        tilt = sp.diag(1, _plane_rotation(*random.polar_angle()))
        return first * tilt * last * random.sign()
    raise NotImplementedError(
        f"symbolic integrates over O(1), O(2) and O(3), not O({size}); use a smaller rotation, or "
        "sphere_moment, which is symbolic in the size."
    )


def _plane_rotation(cosine: Expr, sine: Expr) -> Expr:
    return sp.Matrix([[cosine, -sine], [sine, cosine]])


def _dot(domain: Expr, row: list[Expr], vector: list[Expr]) -> Expr:
    return _sum(domain, [domain(entry) * domain(v) for entry, v in zip(row, vector, strict=True)])


def _sum(domain: Expr, terms: list[Expr]) -> Expr:
    return sum(terms, start=domain.zero)
