"""The superposed embedding: one table of vectors for all models."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from psp_nn.layers.inputs import check_indices
from psp_nn.layers.layer import Layer, superposed_parameter
from psp_nn.layers.selection import One, PerSample
from psp_nn.layers.superposed import base_name


class SuperposedEmbedding(Layer, nn.Embedding):
    """An embedding that holds K models: vector e of model k is row e of W C_k.

    The context acts on the vectors, after they have been looked up.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> words = torch.nn.Embedding(1000, 16)
        >>> words = superpose(words, family=BinaryContexts, num_contexts=50, seed=0)
        >>> with use_context(words, torch.tensor([3, 7])):
        ...     words(torch.tensor([[1, 2, 3], [4, 5, 6]])).shape
        torch.Size([2, 3, 16])
    """

    binds_each_sample = True

    weight: Any = superposed_parameter("weight")

    def forward(self, input: Tensor) -> Tensor:
        """The vectors of the model in use.

        Args:
            input: Indices of vectors, shape (…).

        Returns:
            Shape (…, embedding_dim), complex if the contexts are.

        Raises:
            IndexError: If there is no vector of an index.
            TypeError: If the input is no tensor of integers.
            ValueError: If it is on another device, or the batch mixes contexts and it has not one
                sample per context along the stated dimension.
        """
        x = input
        stored = self.stored()
        check_indices(self, x, stored)
        self.note_use()
        selected, contexts = self.superposition.selection, self.contexts_for()
        base = self._buffers.get(base_name("weight"))
        # The largest norm is one of vectors as they are read, and a base or learned contexts
        # leave those that are stored with others.
        renormed = self.max_norm is not None and (
            base is not None or next(contexts.parameters(), None) is not None
        )
        if renormed or not isinstance(selected, One | PerSample):
            return self._rows(x, self.retrieved())
        rows = self._rows(x, stored).unsqueeze(-2)
        if isinstance(selected, One):
            y = contexts.retrieve(rows, self.context())
        else:
            selected.check(rows, self.superposition.name, trailing=2)
            leading = rows.dim() - (1 if contexts.gathers else 2)
            y = contexts.retrieve(rows, self.sample_contexts("weight", leading))
        return y.squeeze(-2) if base is None else y.squeeze(-2) + self._rows(x, base)

    def _rows(self, x: Tensor, weight: Tensor) -> Tensor:
        if weight.is_complex():  # torch looks up no complex rows with gradients
            parts = self._rows(x, torch.view_as_real(weight).flatten(1))
            return torch.view_as_complex(parts.unflatten(-1, (-1, 2)))
        try:
            return F.embedding(
                x,
                weight,
                self.padding_idx,
                self.max_norm,
                self.norm_type,
                self.scale_grad_by_freq,
                self.sparse,
            )
        except IndexError:
            raise IndexError(
                f"layer '{self.superposition.name}' has vectors 0..{self.num_embeddings - 1}, but its "
                f"input x holds indices from {int(x.min())} to {int(x.max())}."
            ) from None
