"""The superposed embedding: one table of vectors for all models."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from psp_contexts import Operator
from psp_nn.layers.attributes import superposed_parameter
from psp_nn.layers.inputs import check_device
from psp_nn.layers.layer import Layer
from psp_nn.layers.selection import Base, Mixture


class SuperposedEmbedding(Layer, nn.Embedding):
    """An embedding that holds K models: vector e of model k is row e of W C_k.

    The context acts on the vectors, after they have been looked up.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> words = torch.nn.Embedding(1000, 16)
        >>> words = superpose(words, family=BinaryContexts, num_contexts=50, seed=0, base=False)
        >>> with use_context(words, torch.tensor([3, 7])):
        ...     words(torch.tensor([[1, 2, 3], [4, 5, 6]])).shape
        torch.Size([2, 3, 16])
    """

    weight: Any = superposed_parameter("weight")

    @property
    def binds_samples(self) -> bool:
        """True if the contexts are small enough to gather one for each sample."""
        return self.contexts_for().gathers

    def forward(self, input: Tensor) -> Tensor:
        """Look up vectors of the model in use.

        Args:
            input: Indices of vectors, shape (…).

        Returns:
            Shape (…, embedding_dim), complex if the contexts are.

        Raises:
            ValueError: If `input` is on another device.
        """
        stored = self.stored()
        check_device(self, input, stored)
        self.note_use()
        base = self.base()
        # max_norm limits vectors as they are read. With a base or learned contexts those that are
        # stored have another norm.
        renormed = self.max_norm is not None and (
            base is not None or next(self.contexts_for().parameters(), None) is not None
        )
        if renormed or isinstance(self.superposition.selection, Mixture | Base):
            return self._look_up_vectors(input, self.retrieved())
        rows = self._look_up_vectors(input, stored).unsqueeze(-2)
        operator, outputs = self.operator(), self.output_operator()
        y = operator.retrieve(rows).squeeze(-2)
        y = y if outputs is None else outputs.unbind(y)
        return y if base is None else y + self._look_up_vectors(input, base)

    # The output units are the entries of a vector: columns of the weight, not rows.

    def to_outputs(self, name: str, weight: Tensor) -> Tensor:
        """Return the weight with a row for each entry of the vectors."""
        return weight.mT

    def bind_outputs(self, name: str, operator: Operator, weight: Tensor) -> Tensor:
        """Bind the vectors of the weight by R."""
        return operator.bind(weight)

    def unbind_outputs(self, name: str, operator: Operator, weight: Tensor) -> Tensor:
        """Bind the vectors of the weight by R⁻¹."""
        return operator.unbind(weight)

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
