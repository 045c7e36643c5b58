"""The base class of all families: what names a context, and the operators it makes."""

import hashlib
import json
from abc import ABC, abstractmethod
from functools import partial
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
from psp_contexts._random import Source
from psp_contexts.operators import Grouped, Operator, TensorOperator

LARGEST_DIM = 2**32
"""Beyond memory; up to it the factors of a length are found at once."""

_COMPLEX = {torch.float64: torch.complex128, torch.complex128: torch.complex128}


class Contexts(nn.Module, ABC):
    """A family of invertible linear maps C_0 … C_{K-1} on vectors of length `dim`.

    Contexts are a pure function of (seed, name, index): the same in every process and on every
    device, whatever `num_contexts` is and whichever were used before. So nothing of a fixed
    family is saved. Contexts that were drawn are cached, up to `cache_bytes` per dtype and device.

    `contexts[k]` is the operator of context k, with `bind`, `unbind`, `store`, `retrieve` and
    `matrix`. The methods of the same names here are short forms.

    A new family defines the parameters of a context (`_draw`), their number
    (`parameters_per_context`), and the operator that they make (`_operator`).
    `psp_contexts.testing` then holds it to the laws.

    Args:
        dim: Length of the vectors, 1 to 2³².
        num_contexts: Number of contexts K, 1 to 2⁶³ − 1. Millions cost nothing until used.
        seed: Any int. Other seeds give independent contexts.
        name: Name of the layer, for example. Families with other names are independent under one
            seed.

    Raises:
        ValueError: If `dim` or `num_contexts` is out of range, or the family has no map for `dim`.

    Source:
        Cheung et al. 2019, section 2: W = Σ_k W_k C_k⁻¹, read back as W C_k.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> contexts = BinaryContexts(4, num_contexts=50, seed=0)
        >>> x = torch.ones(2, 4)
        >>> torch.equal(contexts[7].unbind(contexts[7].bind(x)), x)
        True
    """

    is_complex: ClassVar[bool] = False
    """True if the maps have complex entries; real input is then promoted."""

    cache_bytes: int = 2**27
    """Bytes of drawn contexts to keep per dtype and device, at most.

    A family that fits as a whole reserves its room at once. Where memory is given out lazily, as
    on a CPU, it is taken as contexts are used.
    """

    gathers: ClassVar[bool] = True
    """True if a batch of contexts gathers one operator per vector; else it is `Grouped`."""

    def __init__(self, dim: int, num_contexts: int, *, seed: int, name: str = "") -> None:
        super().__init__()
        self.dim = checked_count("dim", dim, LARGEST_DIM)
        self.num_contexts = checked_count("num_contexts", num_contexts)
        self.seed = int(seed.__index__())  # of numpy's integers, too, since the spec is JSON
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
        """Return the operator of a context, which serves vectors of any dtype and device.

        Args:
            context: An index, or a LongTensor of any shape.

        Raises:
            IndexError: If an index is not in 0..num_contexts-1.
            TypeError: If a tensor of indices is no LongTensor.

        Example:
            >>> from psp_contexts import BinaryContexts
            >>> BinaryContexts(2, num_contexts=3, seed=0)[1].matrix().abs().tolist()
            [[1.0, 0.0], [0.0, 1.0]]
        """
        return _ContextOperator(self, checked_context(self, context))

    def operator(self, context: int | Tensor, like: Tensor) -> Operator:
        """Return the operator of a context in the dtype and on the device of a tensor.

        It checks nothing and looks nothing up, which suits small layers and tracing. That of
        learned contexts holds their present values and is differentiable. That of fixed contexts
        shares its tensors with the cache: do not write to them.

        Args:
            context: An index, or a LongTensor of any shape.
            like: A tensor with the dtype and device of the vectors.

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
        check_dtype(self, "like", like.dtype)
        return self._look_up(checked_context(self, context), like)

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
            IndexError: If an index is not in 0..num_contexts-1. Negative indices are not.
            TypeError: If x has another dtype, or a tensor of indices is no LongTensor.
            ValueError: If the shapes do not fit.

        Example:
            >>> import torch
            >>> from psp_contexts import BinaryContexts
            >>> contexts = BinaryContexts(4, num_contexts=50, seed=0)
            >>> contexts.bind(torch.ones(2, 4), torch.tensor([3, 7])).shape
            torch.Size([2, 4])
        """
        return self._checked_operator("x", x, context, 1).bind(x)

    def unbind(self, x: Tensor, context: int | Tensor) -> Tensor:
        """Return C_k⁻¹ x for every vector of x; see `bind`.

        Example:
            >>> import torch
            >>> from psp_contexts import RotationContexts
            >>> contexts = RotationContexts(3, num_contexts=5, seed=0)
            >>> x = torch.tensor([1.0, 2.0, 3.0])
            >>> torch.allclose(contexts.unbind(contexts.bind(x, 4), 4), x, atol=1e-6)
            True
        """
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

        Example:
            >>> from psp_contexts import PermutationContexts
            >>> PermutationContexts(3, num_contexts=2, seed=0).matrix(1).sum(0).tolist()
            [1.0, 1.0, 1.0]
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
        context = checked_context(self, index.__index__())
        assert isinstance(context, int)
        return self._draw(context)

    def fill(self, like: Tensor) -> None:
        """Draw every context now, for the dtype and device of a tensor.

        A later lookup is then one gather without a question that depends on the data, as
        `torch.compile` needs. For `torch.export` use `operator`.

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
        """Return the arguments that name this family, as plain JSON values."""
        return {
            "family": type(self).__name__,
            "dim": self.dim,
            "num_contexts": self.num_contexts,
            "seed": self.seed,
            "name": self.name,
        }

    def checksum(self) -> str:
        """Return a digest of the spec and of the first and last context drawn from it.

        It tells whether another machine or release draws the same contexts. Real numbers enter
        with 12 bits after the point, on which all linear algebra libraries agree. Learned
        contexts enter with their start; what they have learned is in the state dict.
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
        # Fake tensors hold no data; the type keeps them out of the cache of real ones. The type
        # of a fake parameter is Parameter, and that of its data is FakeTensor.
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

    # Behaviour as a module.

    def get_extra_state(self) -> Tensor:
        """Return the spec as bytes: all that a state dict holds of a fixed family."""
        return torch.frombuffer(bytearray(json.dumps(self.spec()).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse the state of another family.

        Raises:
            ValueError: If `state` names other contexts than these, or is not the state of a family.
        """
        try:
            saved = json.loads(bytes(state.tolist()))
        except (ValueError, RecursionError, TypeError):
            saved = None
        if not isinstance(saved, dict):
            raise ValueError(
                f"state is not the state of contexts, but a tensor of {state.dtype} of shape "
                f"{tuple(state.shape)} that names none; pass what get_extra_state returns."
            )
        spec = self.spec()
        differ = [key for key in {**spec, **saved} if saved.get(key) != spec.get(key)]
        if differ:
            raise ValueError(
                "the state was saved with other contexts: "
                + ", ".join(f"{key}={saved.get(key)!r}" for key in differ)
                + ", but this module has "
                + ", ".join(f"{key}={spec.get(key)!r}" for key in differ)
                + "; build the module with the saved ones."
            )

    def extra_repr(self) -> str:
        """Return the arguments that name this family."""
        spec = self.spec()
        return ", ".join(f"{key}={value!r}" for key, value in spec.items() if key != "family")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the cache out of copies and pickles: it can be drawn again."""
        return {**self.__dict__, "_caches": {}}

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self._caches.clear()  # drawn for another device or dtype
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]


class _ContextOperator(Operator):
    """Operator of `contexts[k]`, looked up at each use for the dtype and device of the input."""

    def __init__(self, contexts: Contexts, context: int | Tensor) -> None:
        self._contexts = contexts
        self._context = context

    @property
    def batch_shape(self) -> torch.Size:
        return self._context.shape if isinstance(self._context, Tensor) else torch.Size()

    def bind(self, x: Tensor) -> Tensor:
        return self._contexts.bind(x, self._context)

    def unbind(self, x: Tensor) -> Tensor:
        return self._contexts.unbind(x, self._context)

    def store(self, weight: Tensor) -> Tensor:
        return self._contexts.store(weight, self._context)

    def retrieve(self, weight: Tensor) -> Tensor:
        return self._contexts.retrieve(weight, self._context)

    def matrix(self) -> Tensor:
        return self._contexts.matrix(self._context)

    def reshape(self, *batch_shape: int) -> "_ContextOperator":
        context = torch.as_tensor(self._context).reshape(batch_shape)
        return _ContextOperator(self._contexts, context)
