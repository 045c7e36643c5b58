"""Names of the models of a network, and a record of those that `store` put there."""

import json
from typing import Any

import torch
from torch import Tensor, nn

RECORD_NAME = "model_record"
"""Name of the record among the children of a network's first superposed layer."""


class ModelRecord(nn.Module):
    """Record of the models of a network, in its state dict and its files.

    It is shared by all superposed layers, and a child of the first one.

    Attributes:
        names: Contexts by the name of their model.
        digests: Digest of the model that `store` put into each context.
        refined: Contexts with a model that was fine-tuned from what was read there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        """Forget all models."""
        self.names: dict[str, int] = {}
        self.digests: dict[int, str] = {}
        self.refined: set[int] = set()

    def holds(self, context: int) -> bool:
        """Return True if `store` put a model into a context."""
        return context in self.digests or context in self.refined

    def forget(self, context: int) -> None:
        """Forget the model in a context and its name."""
        self.digests.pop(context, None)
        self.refined.discard(context)
        self.names = {name: k for name, k in self.names.items() if k != context}

    def name_of(self, context: int) -> str | None:
        """Return the name of the model in a context, or None if it has none."""
        return next((name for name, k in self.names.items() if k == context), None)

    def of_part(self) -> "ModelRecord":
        """Return the record of a part of the network: a digest is that of all weights."""
        part = ModelRecord()
        part.names, part.refined = self.names, self.refined | set(self.digests)
        return part

    def to_json(self) -> str:
        """Return the record as JSON."""
        digests = {str(context): digest for context, digest in sorted(self.digests.items())}
        record = {"names": self.names, "digests": digests, "refined": sorted(self.refined)}
        return json.dumps(record, sort_keys=True)

    def read_json(self, text: str, num_contexts: int) -> None:
        """Replace the record with one that `to_json` returned.

        Raises:
            ValueError: If the text is no record of at most `num_contexts` models.
        """
        try:
            record = json.loads(text)
            names = {str(name): int(context) for name, context in record["names"].items()}
            digests = {int(context): str(text) for context, text in record["digests"].items()}
            refined = {int(context) for context in record["refined"]}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"this is no record of models: {text[:50]!r}.") from error
        contexts = [*names.values(), *digests, *refined]
        if not all(0 <= context < num_contexts for context in contexts):
            raise ValueError(
                f"the record names context {max(contexts)}, but the network has {num_contexts}."
            )
        self.names, self.digests, self.refined = names, digests, refined

    def get_extra_state(self) -> Tensor:
        """Return the record as bytes: a tensor, which weights_only loading accepts."""
        return torch.frombuffer(bytearray(self.to_json().encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Replace the record with one from a state dict.

        Raises:
            ValueError: If `state` is no record.
        """
        self.read_json(bytes(map(round, state.tolist())).decode(errors="replace"), 2**63)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Load the record if the state dict has one; those of older releases have none."""
        if f"{prefix}_extra_state" in state_dict:
            super()._load_from_state_dict(state_dict, prefix, *args)
