"""What every family of contexts is: lookup, and the laws' vocabulary."""

import hashlib
import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from psp_contexts._arguments import (
    LARGEST_DIM,
    check_alignment,
    check_dtype,
    check_vectors,
    checked_context,
    checked_count,
    checked_index,
    checked_integer,
    checked_spec,
    checked_text,
)
from psp_contexts._cache import OperandCache, Operands
from psp_contexts._random import Source

_COMPLEX = {torch.float64: torch.complex128, torch.complex128: torch.complex128}


class Contexts(nn.Module, ABC):
    """A family of invertible linear maps C_0 … C_{K-1} on vectors of length `dim`.

    Contexts are a pure function of (seed, name, index): the same in every process, on every
    device, whatever `num_contexts` is and whichever were used before. So nothing of a fixed
    family is saved; what has been drawn is a cache of at most `cache_bytes` per dtype and device.

    A new family says which numbers name one context (`_draw`) and how many those are
    (`parameters_per_context`), what it makes of them once (`_operands`), and how they act (`_bind`,
    `_unbind`, `_matrix`; `_store` and `_retrieve`, too, where the inverse is not the transpose),
    all on checked arguments; `psp_contexts.testing` then holds it to the laws.

    Args:
        dim: Length of the vectors, 1 to 2³².
        num_contexts: How many contexts there are, K, 1 to 2⁶³ − 1. Millions cost nothing until
            used.
        seed: Any int. Other seeds give independent contexts.
        name: Whose contexts these are, for example the layer's name: families with other names
            are independent under one seed.

    Raises:
        TypeError: If `dim`, `num_contexts` or `seed` is not an int, or `name` not a str.
        ValueError: If `dim` or `num_contexts` is out of range, `name` has no UTF-8 form, or the
            family has no map for `dim`.

    Source:
        Cheung et al. 2019, section 2: W = Σ_k W_k C_k⁻¹, read back as W C_k.
    """

    is_complex: ClassVar[bool] = False
    """Whether the maps have complex entries; real input is then promoted."""

    cache_bytes: int = 2**27
    """How many bytes of drawn contexts to keep per dtype and device, at most.

    A family that fits as a whole reserves its room at once; where memory is given out lazily, as
    on a CPU, it is taken as contexts are used.
    """

    gathers: ClassVar[bool] = True
    """Whether `look_up` serves many contexts at once; else their operands are too large for it."""

    def __init__(self, dim: int, num_contexts: int, *, seed: int, name: str = "") -> None:
        """See the class."""
        super().__init__()
        self.dim = checked_count("dim", dim, LARGEST_DIM)
        self.num_contexts = checked_count("num_contexts", num_contexts)
        self.seed = checked_integer("seed", seed)
        self.name = checked_text("name", name)
        self._caches: dict[tuple[object, ...], OperandCache] = {}

    # What a family defines.

    @abstractmethod
    def _draw(self, index: int) -> tuple[Tensor, ...]:
        """`draw` for a checked index."""

    @abstractmethod
    def _operands(self, numbers: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """What `_bind` needs, made once from the numbers of one context."""

    @abstractmethod
    def _bind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        """`bind` on checked arguments."""

    @abstractmethod
    def _unbind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        """`unbind` on checked arguments."""

    @abstractmethod
    def _matrix(self, operands: Operands) -> Tensor:
        """Dense matrices (…, dim, dim) from operands with leading dimensions (…)."""

    # The public verbs.

    def bind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        """C_k x for every vector of x.

        Args:
            x: Vectors, shape (…, dim), of 16 to 64 bits, floating or, for complex families,
                complex.
            context: One index for all, or a LongTensor that broadcasts to x.shape[:-1]; or what
                `look_up` gave for it, which is taken unchecked.

        Returns:
            Shape and dtype of x; complex families promote a real x. Under autocast, families that
            multiply matrices give the dtype of a product.

        Raises:
            IndexError: If an index is not in 0..num_contexts-1; negative ones are not.
            TypeError: If x has another dtype or is sparse, or the index is no integer.
            ValueError: If the shapes do not fit, or the index holds no values but x does.

        Example:
            >>> import torch
            >>> from psp_contexts import BinaryContexts
            >>> contexts = BinaryContexts(4, num_contexts=50, seed=0)
            >>> contexts.bind(torch.ones(2, 4), torch.tensor([3, 7])).shape
            torch.Size([2, 4])
        """
        if isinstance(context, Operands):
            return self._bind(x, context)
        return self._bind(x, self._checked(x, context))

    def unbind(self, x: Tensor, context: int | Tensor | Operands) -> Tensor:
        """C_k⁻¹ x for every vector of x; arguments and errors as for `bind`.

        Example:
            >>> import torch
            >>> from psp_contexts import RotationContexts
            >>> contexts = RotationContexts(3, num_contexts=5, seed=0)
            >>> x = torch.tensor([1.0, 2.0, 3.0])
            >>> torch.allclose(contexts.unbind(contexts.bind(x, 4), 4), x, atol=1e-6)
            True
        """
        if isinstance(context, Operands):
            return self._unbind(x, context)
        return self._unbind(x, self._checked(x, context))

    def store(self, weight: Tensor, context: int | Tensor | Operands) -> Tensor:
        """W C_k⁻¹: what model k adds to the superposition.

        Args:
            weight: The model's weights, shape (…, out, dim).
            context: One index for all, or a LongTensor that broadcasts to weight.shape[:-2]; or
                what `look_up` gave for it with a last dimension of 1, which is taken unchecked.

        Returns:
            Shape of `weight`; complex families promote a real weight.

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
        if isinstance(context, Operands):
            return self._store(weight, context)
        return self._store(weight, self._checked_rows(weight, context))

    def retrieve(self, weight: Tensor, context: int | Tensor | Operands) -> Tensor:
        """W C_k: model k read back; arguments and errors as for `store`."""
        if isinstance(context, Operands):
            return self._retrieve(weight, context)
        return self._retrieve(weight, self._checked_rows(weight, context))

    def look_up(self, like: Tensor, context: int | Tensor, *, check: bool = True) -> Operands:
        """What the verbs make of a context, to be passed in its place when it is used often.

        The verbs then ask nothing: no bounds, no cache, which suits small layers and tracing.
        Not kept up to date: of learned contexts it holds the values of now. Not to be written to:
        of fixed ones it is what the family itself uses.

        Args:
            like: A tensor with the dtype and device of what will be bound.
            context: An index, or, if the family `gathers`, a LongTensor that broadcasts to the
                leading dimensions of what will be bound.
            check: Whether to check the arguments; False if that has been done.

        Raises:
            IndexError: If an index is not in 0..num_contexts-1.
            TypeError: If `like` is not what can be bound, or the index no integer.
            ValueError: If `context` has dimensions and the family does not gather, or holds no
                values but `like` does.

        Example:
            >>> import torch
            >>> from psp_contexts import BinaryContexts
            >>> contexts = BinaryContexts(4, num_contexts=50, seed=0)
            >>> x = torch.ones(4)
            >>> torch.equal(contexts.bind(x, contexts.look_up(x, 3)), contexts.bind(x, 3))
            True
        """
        if check is not False:
            check_vectors(self, "like", like, None)
            context = checked_context(self, context, like)
        if isinstance(context, Tensor) and context.dim() and not self.gathers:
            raise ValueError(
                f"{type(self).__name__} keeps operands too large to gather those of a context of "
                f"shape {tuple(context.shape)}; pass the indices themselves to the verbs."
            )
        return self._lookup(like, context)

    def matrix(self, context: int | Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        """The dense matrix of C_k: slow, for tests and for looking at.

        Args:
            context: An index, or a LongTensor of any shape.
            dtype: The precision; complex families return the complex dtype that goes with it.

        Returns:
            Shape (*context.shape, dim, dim), on the CPU, differentiable for learned contexts.

        Raises:
            IndexError: If an index is not in 0..num_contexts-1.
            TypeError: If the index is no integer, or `dtype` none that can be bound.

        Example:
            >>> from psp_contexts import PermutationContexts
            >>> PermutationContexts(3, num_contexts=2, seed=0).matrix(1).sum(0).tolist()
            [1.0, 1.0, 1.0]
        """
        check_dtype("dtype", dtype)
        like = torch.empty(0, dtype=dtype, device="cpu")
        return self._dense(like, checked_context(self, context, like))

    def draw(self, index: int) -> tuple[Tensor, ...]:
        """The numbers that name context `index`, exact, on the CPU: Table 1 counts these.

        Raises:
            IndexError, TypeError: If the index is not an int in 0..num_contexts-1.
        """
        return self._draw(checked_index("index", index, self.num_contexts))

    def fill(self, like: Tensor) -> None:
        """Draw every context now, for the dtype and device of `like`.

        A later lookup is then one gather, with no question that depends on the data, as
        `torch.compile` needs; for `torch.export` pass on what `look_up` returns.

        Raises:
            MemoryError: If the contexts take more than `cache_bytes`.
            TypeError: If `like` is not what can be bound.
        """
        check_vectors(self, "like", like, None)
        self._fill(like)

    def num_parameters(self, num_contexts: int) -> int:
        """How many numbers name the first `num_contexts` contexts, were they stored.

        The paper's Table 1; see `num_parameters`. By default as many for every context as
        `draw` gives.

        Raises:
            TypeError, ValueError: If `num_contexts` is not a positive int.
        """
        return self._num_parameters(checked_count("num_contexts", num_contexts))

    @property
    @abstractmethod
    def parameters_per_context(self) -> int:
        """How many numbers one more context takes, in closed form."""

    def _shared(self) -> tuple[Tensor, ...]:
        """What all contexts are made from beside what is drawn for each."""
        return ()

    def spec(self) -> dict[str, Any]:
        """What names this family: enough to build it again, as plain JSON values."""
        return {
            "family": type(self).__name__,
            "dim": self.dim,
            "num_contexts": self.num_contexts,
            "seed": self.seed,
            "name": self.name,
        }

    def checksum(self) -> str:
        """A digest of the spec and of the first and last context drawn from it.

        It tells whether another machine's or release's contexts are these. Real numbers enter
        with 12 bits after the point, which no linear algebra library disagrees about. Of learned
        contexts it says where they start; what they have learned is in the state dict.
        """
        digest = hashlib.blake2b(json.dumps(self.spec(), sort_keys=True).encode(), digest_size=16)
        for part in (*self._shared(), *self.draw(0), *self.draw(self.num_contexts - 1)):
            numbers = part.detach().double().mul(2.0**12).round().long()
            digest.update(numbers.numpy().astype("<i8").tobytes())
        return digest.hexdigest()

    # Lookup and validation, shared by all.

    def _source(self, *part: str) -> Source:
        return Source(type(self).__name__, self.name, self.seed, *part)

    def _cache(self, like: Tensor) -> OperandCache:
        # The type keeps fake tensors, which hold no data, out of the real ones' cache; that a
        # fake one is a parameter does not show in its type.
        kind = Tensor if type(like) is nn.Parameter else type(like)
        key = (like.dtype, like.device, kind)
        if key not in self._caches:
            dtype, device = self._dtype(like.dtype), like.device

            def make(index: int) -> Operands:
                made = self._operands(self.draw(index), dtype)
                return Operands([part.to(device) for part in made])

            cache = OperandCache(make, self.num_contexts, self.cache_bytes)
            return self._caches.setdefault(key, cache)  # another thread may have been faster
        return self._caches[key]

    def _dtype(self, dtype: torch.dtype) -> torch.dtype:
        return _COMPLEX.get(dtype, torch.complex64) if self.is_complex else dtype

    def _lookup(self, like: Tensor, context: int | Tensor | Operands) -> Operands:
        if isinstance(context, Operands):
            return context
        cache = self._cache(like)
        if isinstance(context, Tensor):
            return cache.many(context.to(like.device))
        return cache.one(context)

    def _dense(self, like: Tensor, context: int | Tensor) -> Tensor:
        return self._matrix(self._lookup(like, context))

    def _fill(self, like: Tensor) -> None:
        self._cache(like).fill()

    def _num_parameters(self, num_contexts: int) -> int:
        return num_contexts * self.parameters_per_context

    def _store(self, weight: Tensor, context: int | Tensor | Operands) -> Tensor:
        # A row w of W C⁻¹ is (C⁻¹)ᵀ w, which is C w for the real orthogonal families.
        return self._bind(weight, context)

    def _retrieve(self, weight: Tensor, context: int | Tensor | Operands) -> Tensor:
        return self._unbind(weight, context)

    def _checked(self, x: Tensor, context: int | Tensor) -> int | Tensor:
        check_vectors(self, "x", x, self.dim)
        index = checked_context(self, context, x)
        if isinstance(index, Tensor):
            check_alignment("x", x, index, 1)
        return index

    def _checked_rows(self, weight: Tensor, context: int | Tensor) -> int | Tensor:
        check_vectors(self, "weight", weight, self.dim)
        index = checked_context(self, context, weight)
        if weight.dim() < 2:
            raise ValueError(
                f"weight must have shape (…, out, {self.dim}), but has {tuple(weight.shape)}; "
                "for one vector use bind or unbind."
            )
        if not isinstance(index, Tensor):
            return index
        check_alignment("weight", weight, index, 2)
        return index.unsqueeze(-1)

    # How it behaves as a module.

    def get_extra_state(self) -> Tensor:
        """The spec as bytes: all that a state dict holds of a fixed family."""
        return torch.frombuffer(bytearray(json.dumps(self.spec()).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse the state of another family.

        Raises:
            TypeError: If `state` is not a tensor.
            ValueError: If `state` names other contexts than these, or is none of a family.
        """
        theirs, ours = checked_spec("state", state), self.spec()
        if theirs != ours:
            differ = [key for key in {**ours, **theirs} if theirs.get(key) != ours.get(key)]
            raise ValueError(
                "the state was saved with other contexts: "
                + ", ".join(f"{key}={theirs.get(key)!r}" for key in differ)
                + ", but this module has "
                + ", ".join(f"{key}={ours.get(key)!r}" for key in differ)
                + "; build the module with the saved ones."
            )

    def extra_repr(self) -> str:
        """The arguments that name this family."""
        spec = self.spec()
        return ", ".join(f"{key}={value!r}" for key, value in spec.items() if key != "family")

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles leave the cache behind: it can be drawn again."""
        return {**self.__dict__, "_caches": {}}

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self._caches.clear()  # what was drawn for another device or dtype is of no more use
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
