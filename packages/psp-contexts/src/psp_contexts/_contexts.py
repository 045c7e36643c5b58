"""The base class of all families: arguments, parameters and operators of contexts."""

import hashlib
import json
from abc import abstractmethod
from functools import partial
from operator import index as to_index
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from psp_contexts._cache import OperatorCache
from psp_contexts._checks import (
    ALL_DTYPES,
    check_dtype,
    check_vectors,
    checked_context,
    checked_count,
)
from psp_contexts._context_operator import ContextOperator
from psp_contexts._random import Source
from psp_contexts._spec import SpecModule
from psp_contexts.operators import Grouped, Operator, TensorOperator

LARGEST_DIM = 2**32
"""Largest `dim`: beyond any memory, and small enough to be factored at once."""

_COMPLEX = {torch.float64: torch.complex128, torch.complex128: torch.complex128}


class Contexts(SpecModule):
    """Invertible linear maps C_0 … C_{K-1} on vectors of length `dim`; each subclass is a family.

    Contexts are a pure function of (seed, name, index): the same in every process and on every
    device, whatever `num_contexts` is and whichever were used before. So nothing of a fixed
    family is saved. Drawn contexts are cached, up to `cache_bytes` per dtype and device.

    `contexts[k]` is the operator of context k, with `bind`, `unbind`, `store`, `retrieve` and
    `matrix`. `contexts.bind(x, k)` and so on do the same.

    A new family defines the parameters of a context (`_draw`), their number
    (`parameters_per_context`), and the operator that they make (`_operator`). Test it with the
    laws of `psp_contexts.testing`.

    Args:
        dim: Length of the vectors, 1 to 2³².
        num_contexts: Number of contexts K, 1 to 2⁶³ − 1. Millions cost nothing until used.
        seed: Any int. Different seeds give independent contexts.
        name: For example the name of the layer. Under one seed, different names give independent
            contexts.

    Raises:
        ValueError: If `dim` or `num_contexts` is out of range, or the family has no map for `dim`.

    Source:
        Cheung et al. 2019, section 2: W = Σ_k W_k C_k⁻¹, read back as W C_k.
    """

    is_complex: ClassVar[bool] = False
    """True if the maps have complex entries; real input is then promoted."""

    cache_bytes: int = 2**27
    """Bytes of drawn contexts to keep per dtype and device, at most.

    Contexts that all fit allocate their table at once. The CPU's allocator commits memory
    only as contexts are drawn.
    """

    gathers: ClassVar[bool] = True
    """True if a batch of contexts gathers a copy of each operator; otherwise it is `Grouped`."""

    def __init__(self, dim: int, num_contexts: int, *, seed: int, name: str = "") -> None:
        super().__init__()
        self.dim = checked_count("dim", dim, LARGEST_DIM)
        self.num_contexts = checked_count("num_contexts", num_contexts)
        self.seed = int(to_index(seed))  # numpy's integers are not JSON
        self.name = str.__str__(name)  # the text of an Enum's member, not the member's name
        self._caches: dict[tuple[object, ...], OperatorCache] = {}

    # Definition of a family.

    @abstractmethod
    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """Return the exact parameters of a context, on the CPU."""

    @abstractmethod
    def _operator(self, parameters: tuple[Tensor, ...]) -> Operator:
        """Return the operator that the parameters of a context make."""

    @property
    @abstractmethod
    def parameters_per_context(self) -> int:
        """Number of parameters of one more context, in closed form."""

    def _shared(self) -> tuple[Tensor, ...]:
        """Return the parameters that all contexts share."""
        return ()

    # Operators.

    def __getitem__(self, context: int | Tensor) -> Operator:
        """Return the operator of a context, for vectors of any dtype and device; see `operator`."""
        return ContextOperator(self, checked_context(self, context))

    def operator(self, context: int | Tensor, like: Tensor, *, check: bool = True) -> Operator:
        """Return the operator of a context in the dtype and on the device of a tensor.

        The operator checks nothing and looks nothing up, which suits small layers and tracing. For
        learned contexts it holds their current values and is differentiable. For fixed contexts
        it shares its tensors with the cache: do not write to them.

        Args:
            context: An index, or a LongTensor of any shape.
            like: A tensor with the dtype and device of the vectors.
            check: False for an index and a dtype that have been checked before. Checking a tensor
                of indices reads its values, for which a GPU has to be waited for. Without it, an
                index out of range gives an undefined operator or another error.

        Raises:
            IndexError: If an index is not in 0..num_contexts-1.
            TypeError: If the family does not serve the dtype of `like`.

        Example:
            >>> import torch
            >>> from psp_contexts import BinaryContexts
            >>> contexts = BinaryContexts(4, num_contexts=50, seed=0)
            >>> x = torch.ones(4)
            >>> torch.equal(contexts.operator(3, x).bind(x), contexts.bind(x, 3))
            True
        """
        if check:
            check_dtype(self, "like", like.dtype)
            context = checked_context(self, context)
        return self._look_up(context, like)

    def bind(self, x: Tensor, context: int | Tensor) -> Tensor:
        """Return C_k x for every vector of x.

        Args:
            x: Vectors, shape (…, dim), of 16 to 64 bits, floating or, for complex families,
                complex.
            context: One index for all, or a LongTensor that broadcasts to x.shape[:-1].

        Returns:
            Shape and dtype of x. Complex families promote a real x. Under autocast, families that
            multiply matrices give the dtype of a product.

        Raises:
            IndexError: If an index is not in 0..num_contexts-1; negative indices are refused.
            TypeError: If x has another dtype, or a tensor of indices is no LongTensor.
            ValueError: If the shapes do not fit.
        """
        return self._checked_operator("x", x, context, 1).bind(x)

    def unbind(self, x: Tensor, context: int | Tensor) -> Tensor:
        """Return C_k⁻¹ x for every vector of x; see `bind`."""
        return self._checked_operator("x", x, context, 1).unbind(x)

    def store(self, weight: Tensor, context: int | Tensor) -> Tensor:
        """Return W C_k⁻¹, the term that model k adds to the superposition.

        Args:
            weight: The model's weight, shape (…, out, dim).
            context: One index for all, or a LongTensor that broadcasts to weight.shape[:-2].

        Returns:
            Shape of `weight`. Complex families promote a real weight.

        Raises:
            IndexError, TypeError, ValueError: As for `bind`.

        Example:
            >>> import torch
            >>> from psp_contexts import BinaryContexts
            >>> contexts = BinaryContexts(3, num_contexts=2, seed=3)
            >>> models = torch.ones(2, 1, 3)
            >>> superposition = contexts.store(models, torch.arange(2)).sum(0)
            >>> contexts.retrieve(superposition, 1)  # model 1, and model 0 as noise
            tensor([[0., 2., 2.]])
        """
        return self._checked_operator("weight", weight, context, 2).store(weight)

    def retrieve(self, weight: Tensor, context: int | Tensor) -> Tensor:
        """Return W C_k, model k read back; see `store`."""
        return self._checked_operator("weight", weight, context, 2).retrieve(weight)

    def matrix(self, context: int | Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return the dense matrix of C_k: slow, for tests and inspection.

        Args:
            context: An index, or a LongTensor of any shape.
            dtype: The precision. Complex families return the complex dtype of that precision.

        Returns:
            Shape (*context.shape, dim, dim), on the CPU, differentiable for learned contexts.

        Raises:
            IndexError: If an index is not in 0..num_contexts-1.
            TypeError: If `dtype` is neither floating nor complex, or a tensor of indices is no
                LongTensor.
        """
        if dtype not in ALL_DTYPES:
            raise TypeError(f"dtype must be floating or complex, of 16 to 64 bits, but is {dtype}.")
        like = torch.empty(0, dtype=dtype, device="cpu")
        operator = self._look_up(checked_context(self, context), like)
        return operator.matrix().to(self._dtype(dtype))

    # Parameters.

    def draw(self, index: int) -> tuple[Tensor, ...]:
        """Return the exact parameters of a context, on the CPU: Table 1 counts these.

        Raises:
            IndexError: If the index is not in 0..num_contexts-1.
        """
        context = checked_context(self, to_index(index))
        assert isinstance(context, int)
        return self._draw(context)

    def fill(self, like: Tensor) -> None:
        """Draw every context now, for the dtype and device of a tensor.

        A later lookup is then one gather that reads no values, as `torch.compile` needs. For
        `torch.export` use `operator`.

        Raises:
            MemoryError: If the contexts take more than `cache_bytes`.
            TypeError: If the family does not serve the dtype of `like`.
        """
        check_dtype(self, "like", like.dtype)
        self._cache(like).fill()

    def num_parameters(self, num_contexts: int) -> int:
        """Return the number of parameters of the first `num_contexts` contexts, were they stored.

        The paper's Table 1; see the function `num_parameters`.

        Raises:
            ValueError: If `num_contexts` is less than 1.
        """
        return checked_count("num_contexts", num_contexts) * self.parameters_per_context

    def spec(self) -> dict[str, Any]:
        """Return the arguments that rebuild these contexts, as plain JSON values."""
        return {
            "family": type(self).__name__,
            "dim": self.dim,
            "num_contexts": self.num_contexts,
            "seed": self.seed,
            "name": self.name,
        }

    def checksum(self) -> str:
        """Return a digest of the spec and of the first and last context drawn from it.

        Compare it to find out whether another machine or release draws the same contexts. Real
        numbers are rounded to 12 bits after the point, on which all linear algebra libraries
        agree. Learned contexts enter with their initial values; the state dict has the others.
        """
        digest = hashlib.blake2b(json.dumps(self.spec(), sort_keys=True).encode(), digest_size=16)
        for part in (*self._shared(), *self.draw(0), *self.draw(self.num_contexts - 1)):
            rounded = part.detach().double().mul(2.0**12).round().long()
            digest.update(rounded.numpy().astype("<i8").tobytes())
        return digest.hexdigest()

    # Lookup.

    def _source(self, *part: str) -> Source:
        return Source(type(self).__name__, self.name, self.seed, *part)

    def _checked_operator(
        self, argument: str, x: Tensor, context: int | Tensor, trailing: int
    ) -> Operator:
        context = checked_context(self, context)
        check_vectors(self, argument, x, context, trailing)
        return self._look_up(context, x)

    def _look_up(self, context: int | Tensor, like: Tensor) -> Operator:
        """Return the operator of a checked context."""
        if isinstance(context, int):
            return self._cache(like).one(context)
        if context.dim() and not self.gathers:
            # Not `like` itself, which may be large, nor the cache, which cannot be copied.
            return Grouped(partial(self._look_up, like=like.new_empty(0)), context)
        return self._cache(like).many(context.to(like.device))

    def _cache(self, like: Tensor) -> OperatorCache:
        # The type keeps fake tensors, which hold no data, out of the cache of real ones. A fake
        # parameter has the type FakeTensor, a real one Parameter.
        kind = Tensor if type(like) is nn.Parameter else type(like)
        key = (like.dtype, like.device, kind)
        if key not in self._caches:
            dtype, device = self._dtype(like.dtype), like.device

            def make(index: int) -> TensorOperator:
                operator = self._operator(self._draw(index))
                assert isinstance(operator, TensorOperator)
                return operator.to(dtype, device)

            cache = OperatorCache(make, self.num_contexts, self.cache_bytes)
            return self._caches.setdefault(key, cache)  # another thread may have been faster
        return self._caches[key]

    def _dtype(self, dtype: torch.dtype) -> torch.dtype:
        return _COMPLEX.get(dtype, torch.complex64) if self.is_complex else dtype

    def __getstate__(self) -> dict[str, Any]:
        """Leave the cache out of copies and pickles: it can be drawn again."""
        return {**self.__dict__, "_caches": {}}

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self._caches.clear()  # drawn for another device or dtype
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
