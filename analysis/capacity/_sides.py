"""Contexts on both sides of a superposed weight, and unused ones like them."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.networks._weights import Weight
from psp_contexts import (
    Contexts,
    PermutationContexts,
    RotationContexts,
    SignedPermutationContexts,
)


@dataclass(frozen=True)
class Sides:
    """Contexts C_k on the inputs of a weight and, if it is two-sided, R_k on its outputs."""

    weight: Weight
    inputs: Contexts
    outputs: Contexts | None
    num_contexts: int

    @classmethod
    def of(cls, weight: Weight) -> "Sides":
        outputs = weight.layer.output_contexts_for(weight.key)
        return cls(weight, weight.contexts, outputs, weight.num_contexts)

    @property
    def base_energy(self) -> float:
        """Sum of squares of the base, 0 without one."""
        base = self.weight.layer.base(self.weight.key)
        return 0.0 if base is None else float(base.abs().square().sum())

    def unused(self, count: int, seed: tuple[int, ...]) -> "Sides":
        """Return `count` other contexts of the same families."""
        outputs = None if self.outputs is None else self._redrawn(self.outputs, count, seed)
        return Sides(self.weight, self._redrawn(self.inputs, count, seed), outputs, count)

    def retrieve(self, value: Tensor, context: int) -> Tensor:
        """Return R_k⁻¹ D C_k in the shape of the parameter."""
        layer, key = self.weight.layer, self.weight.key
        rows = self.inputs.retrieve(self.weight.rows(value), self._index(self.inputs, context))
        seen = layer.from_rows(key, rows)
        if self.outputs is None:
            return seen
        operator = self.outputs.operator(self._index(self.outputs, context), like=seen)
        return layer.unbind_outputs(key, operator, seen)

    def store(self, value: Tensor, context: int) -> Tensor:
        """Return R_k ΔW C_k⁻¹, the inverse of `retrieve`."""
        layer, key = self.weight.layer, self.weight.key
        if self.outputs is not None:
            operator = self.outputs.operator(self._index(self.outputs, context), like=value)
            value = layer.bind_outputs(key, operator, value)
        rows = self.inputs.store(self.weight.rows(value), self._index(self.inputs, context))
        return layer.from_rows(key, rows)

    def to_outputs(self, value: Tensor) -> Tensor:
        """Reshape a stored value so that its outputs are the last dimension but one."""
        return self.weight.layer.to_outputs(self.weight.key, value)

    def set(self, value: Tensor) -> None:
        """Replace what is stored."""
        self.weight.layer.stored(self.weight.key).copy_(value)

    def shared_part(self, value: Tensor) -> Tensor:
        """Return the part that every model reads alike: its mean over all contexts."""
        layer, key = self.weight.layer, self.weight.key
        if not isinstance(self.inputs, PermutationContexts):
            return value.new_zeros(())
        rows = self.weight.rows(value)
        shared = layer.from_rows(key, rows.mean(-1, keepdim=True).expand_as(rows))
        if not isinstance(self.outputs, PermutationContexts):
            return shared
        blocks = layer.to_outputs(key, shared).unflatten(-2, (-1, self.outputs.block_size))
        mean = blocks.mean(-3, keepdim=True).expand_as(blocks)
        return layer.from_outputs(key, mean.flatten(-3, -2))

    def _index(self, contexts: Contexts, context: int) -> int | Tensor:
        """Return the context of every group; those of a model are consecutive."""
        groups = contexts.num_contexts // self.num_contexts
        return context if groups == 1 else context * groups + torch.arange(groups)

    def _redrawn(self, contexts: Contexts, count: int, seed: tuple[int, ...]) -> Contexts:
        options = {name: value for name, value in contexts.spec().items() if name != "family"}
        digest = hashlib.blake2b(repr((options["seed"], seed)).encode(), digest_size=7).digest()
        groups = contexts.num_contexts // self.num_contexts
        options |= {"num_contexts": groups * count, "seed": int.from_bytes(digest, "little")}
        family = type(contexts)
        if isinstance(contexts, RotationContexts):
            # The same covariance for any weights and inputs, without dim³ operations a draw.
            family = SignedPermutationContexts
        return family(**options)
