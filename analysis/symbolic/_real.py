"""Moments of the real families, averaged over their definitions."""

import itertools

import sympy as sp
from sympy.polys.rings import ring

from analysis.symbolic._chance import Chance, Expr
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
    """E (wᵀ C_kᵀ C_s x)^order over two independent contexts."""
    chance = Chance()
    # A Haar rotation of the one read is another Haar rotation of the one stored: from the fourth
    # moment on that spares a multitude of terms.
    stored, read = define(contexts, chance), define(contexts, chance, rotate=order <= 2)
    given = w + x
    domain = ring([*given, *chance.symbols], sp.QQ)[0]
    total = domain.zero
    for left, right in itertools.product(stored, read):
        bound = [_dot(domain, row, x) for row in right]  # C_s x
        kept = [_dot(domain, row, w) for row in left]  # C_k w
        total += _sum(domain, [a * b for a, b in zip(kept, bound, strict=True)]) ** order
    return chance.expectation(total, given) / (len(stored) * len(read))


def real_product(contexts: Contexts, w: list[Expr], other: list[Expr], x: list[Expr]) -> Expr:
    """E (wᵀ C_kᵀ C_s x)(w′ᵀ C_lᵀ C_s x) over three independent contexts."""
    chance = Chance()
    stored, other_stored, read = (define(contexts, chance) for _ in range(3))
    given = [*w, *other, *x]
    domain = ring([*given, *chance.symbols], sp.QQ)[0]
    total = domain.zero
    for left, right, shared in itertools.product(stored, other_stored, read):
        bound = [_dot(domain, row, x) for row in shared]
        factors = [
            _sum(domain, [_dot(domain, row, v) * b for row, b in zip(matrix, bound, strict=True)])
            for matrix, v in ((left, w), (right, other))
        ]
        total += factors[0] * factors[1]
    return chance.expectation(total, given) / (len(stored) * len(other_stored) * len(read))


def define(contexts: Contexts, chance: Chance, rotate: bool = True) -> list[list[list[Expr]]]:
    """One context by its definition: equally likely matrices, as rows, in random symbols.

    Args:
        contexts: The family with its dim and options.
        chance: Where its random numbers come from.
        rotate: Whether to draw Haar rotations; otherwise they are the identity.

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
        matrices = [_signs(dim, chance)]
    elif family is PermutationContexts:
        matrices = orders
    elif family is SignedPermutationContexts:
        signs = _signs(dim, chance)
        matrices = [signs * order for order in orders]
    elif family is RotationContexts:
        matrices = [_haar(dim, chance, rotate)]
    elif isinstance(contexts, BlockRotationContexts):
        size = contexts.block_size
        matrices = [sp.diag(*(_haar(size, chance, rotate) for _ in range(dim // size)))]
    elif isinstance(contexts, KroneckerRotationContexts):
        a, b = (_haar(size, chance, rotate) for size in contexts.sizes)
        matrices = [sp.kronecker_product(a, b) * _signs(dim, chance)]
    else:
        raise NotImplementedError(
            f"contexts={family.__name__}(…): symbolic has no definition of {family.__name__}; ask "
            "about one of psp_contexts."
        )
    return [matrix.tolist() for matrix in matrices]


def _signs(dim: int, chance: Chance) -> Expr:
    return sp.diag(*(chance.sign() for _ in range(dim)))


def _haar(size: int, chance: Chance, rotate: bool) -> Expr:
    """A Haar matrix on O(size): rotations by uniform Euler angles, and a fair reflection."""
    if not rotate:
        return sp.eye(size)
    if size == 1:
        return sp.Matrix([[chance.sign()]])
    if size == 2:
        return _turn(*chance.angle()) * sp.diag(1, chance.sign())
    if size == 3:
        first, last = (sp.diag(_turn(*chance.angle()), 1) for _ in range(2))
        tilt = sp.diag(1, _turn(*chance.polar_angle()))
        return first * tilt * last * chance.sign()
    raise NotImplementedError(
        f"contexts turn by O({size}), but symbolic integrates over O(1), O(2) and O(3), not "
        f"O({size}); use a smaller size, or sphere_moment, which is symbolic in the size."
    )


def _turn(cosine: Expr, sine: Expr) -> Expr:
    return sp.Matrix([[cosine, -sine], [sine, cosine]])


def _dot(domain: Expr, row: list[Expr], vector: list[Expr]) -> Expr:
    return _sum(domain, [domain(entry) * domain(v) for entry, v in zip(row, vector, strict=True)])


def _sum(domain: Expr, terms: list[Expr]) -> Expr:
    return sum(terms, start=domain.zero)
