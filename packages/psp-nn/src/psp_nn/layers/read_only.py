"""Tensors of the model in use, which are read from a superposition and cannot be written to."""

from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from psp_nn.layers.selection import NeedsOneModelError

_IN_PLACE = (
    *(name for name in dir(Tensor) if name.endswith("_") and not name.startswith("_")),
    *(f"__i{name}__" for name in "add and floordiv lshift mod mul or pow rshift sub".split()),
    *("__itruediv__", "__ixor__", "__setitem__"),
)
_VIEWS = (
    *("__getitem__", "chunk", "detach", "diagonal", "expand", "expand_as", "flatten", "movedim"),
    *("narrow", "permute", "reshape", "reshape_as", "select", "split", "squeeze", "t", "transpose"),
    *("unbind", "unflatten", "unsqueeze", "view", "view_as"),
)
_VIEW_PROPERTIES = ("data", "T", "mT", "H", "mH", "real", "imag")
_METADATA = (
    *("dim", "element_size", "is_complex", "is_floating_point", "numel", "size", "stride"),
    *("is_contiguous", "__len__", "ndimension"),
)
_METADATA_PROPERTIES = ("dtype", "device", "is_cuda", "is_meta", "layout", "ndim", "requires_grad")


class ReadOnly(Tensor):
    """A weight of the model in use: a copy, so that a change of it would be lost.

    Methods are overridden in Python alone: kernels see a tensor like any other, at no cost.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    owner: str

    @staticmethod
    def of(value: Tensor, owner: str) -> "ReadOnly":
        """Return a tensor that refuses changes in place; `owner` names it in the error."""
        read_only = value.as_subclass(ReadOnly)
        read_only.owner = owner
        return read_only

    def refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse a change in place."""
        raise RuntimeError(
            f"{self.owner} is read from the superposition as a copy, so that a change in place "
            "would be lost; initialise the network before superpose, put a model in with store, "
            "change stored(), or retrieve the model and change that."
        )

    def numpy(self, *, force: bool = False) -> Any:
        """Return an array that refuses changes, too."""
        array = super().numpy(force=force)
        array.flags.writeable = False
        return array

    def __array__(self, dtype: Any = None) -> Any:
        """Return an array that refuses changes, too."""
        array = self.numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """Return an ordinary tensor."""
        return self.as_subclass(Tensor).__deepcopy__(memo)  # type: ignore[no-any-return]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as an ordinary tensor."""
        return self.as_subclass(Tensor).__reduce_ex__(protocol)


class MixedWeights(Tensor):
    """A tensor with an entry for each sample's model: its metadata can be read, but no value."""

    owner: str

    @staticmethod
    def of(like: Tensor, owner: str) -> "MixedWeights":
        """Return a tensor without data, with the metadata of `like`."""
        mixed: MixedWeights = Tensor._make_wrapper_subclass(
            MixedWeights, like.shape, dtype=like.dtype, device=like.device
        )
        mixed.owner = owner
        return mixed

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Refuse operations below torch functions."""
        return cls.__torch_function__(func, types, args, kwargs)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer what does not depend on values.

        Raises:
            NeedsOneModelError: For anything else.
        """
        if func in _ALLOWED:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        leaves = tree_leaves((args, kwargs))
        owner = next((x.owner for x in leaves if isinstance(x, cls)), "a weight")
        raise NeedsOneModelError(
            f"{owner} is read as one tensor, but the batch mixes contexts; call the network once "
            "per context, or exclude the layer."
        )

    def __repr__(self, **kwargs: Any) -> str:  # type: ignore[override]
        """Return the metadata."""
        return f"MixedWeights(shape={tuple(self.shape)}, dtype={self.dtype})"


_ALLOWED = {getattr(Tensor, name) for name in _METADATA} | {
    getattr(Tensor, name).__get__ for name in (*_METADATA_PROPERTIES, "shape")
}


def _wrap(result: Any, owner: str) -> Any:
    if isinstance(result, (list, tuple)):
        return type(result)(_wrap(value, owner) for value in result)
    return ReadOnly.of(result, owner) if type(result) is Tensor else result


def _view_method(name: str) -> Any:
    method = getattr(Tensor, name)

    def view(self: ReadOnly, *args: Any, **kwargs: Any) -> Any:
        return _wrap(method(self, *args, **kwargs), self.owner)

    return view


def _view_property(name: str) -> property:
    getter = getattr(Tensor, name).__get__
    return property(lambda self: _wrap(getter(self), self.owner), ReadOnly.refuse)


for _name in _IN_PLACE:
    setattr(ReadOnly, _name, ReadOnly.refuse)
for _name in _VIEWS:
    setattr(ReadOnly, _name, _view_method(_name))
for _name in _VIEW_PROPERTIES:
    setattr(ReadOnly, _name, _view_property(_name))
ReadOnly.requires_grad = property(Tensor.requires_grad.__get__, ReadOnly.refuse)  # type: ignore
