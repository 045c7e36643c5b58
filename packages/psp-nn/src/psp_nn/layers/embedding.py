"""The superposed embedding: one table of vectors for all models."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from psp_nn.layers.attributes import superposed_parameter
from psp_nn.layers.inputs import check_device
from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import Base, Mixture, PerSample
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

    weight: Any = superposed_parameter("weight")

    @property
    def binds_samples(self) -> bool:
        """True: the vectors of every sample are read with its own context."""
        return True

    def forward(self, input: Tensor) -> Tensor:
        """Look up vectors of the model in use.

        Args:
            input: Indices of vectors, shape (…).

        Returns:
            Shape (…, embedding_dim), complex if the contexts are.

        Raises:
            ValueError: If `input` is on another device, or the batch mixes contexts and `input`
                does not have one sample per context along the stated dimension.
        """
        stored, selection = self.stored(), self.superposition.selection
        check_device(self, input, stored)
        self.note_use()
        base = self._buffers.get(base_name("weight"))
        # max_norm limits vectors as they are read. With a base or learned contexts those that are
        # stored have another norm.
        renormed = self.max_norm is not None and (
            base is not None or next(self.contexts_for().parameters(), None) is not None
        )
        if renormed or isinstance(selection, Mixture | Base):
            return self._look_up_vectors(input, self.retrieved())
        rows = self._look_up_vectors(input, stored).unsqueeze(-2)
        operator = self.operator()
        if isinstance(selection, PerSample):
            selection.check(rows, self.superposition.name, trailing=2)
            operator = operator.reshape(*selection.shape(input.dim()))
        y = operator.retrieve(rows).squeeze(-2)
        return y if base is None else y + self._look_up_vectors(input, base)

    def _look_up_vectors(self, x: Tensor, weight: Tensor) -> Tensor:
        if weight.is_complex():  # F.embedding has no gradient for complex weights
            parts = self._look_up_vectors(x, torch.view_as_real(weight).flatten(1))
            return torch.view_as_complex(parts.unflatten(-1, (-1, 2)))
        return F.embedding(
            x,
            weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )
