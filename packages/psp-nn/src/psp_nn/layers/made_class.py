"""Pickling of layers whose class `superpose` made, by the class that they had before."""

import copy
import sys
from typing import Any

from torch import nn


class MadeClass(nn.Module):
    """Mixin of classes that are made for another class, and that pickle would not find."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Describe how to make the class again, where no module has it."""
        kind = type(self)
        if getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind:
            return super().__reduce_ex__(protocol)
        from psp_nn._restore import make_again, mixins_of, plain_class  # they import the mixins

        return make_again, (plain_class(kind), mixins_of(kind)), self.__getstate__()  # type: ignore[no-untyped-call]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Copy the attributes: a class with a copy of its own would assign to the parameters."""
        result = type(self).__new__(type(self))
        memo[id(self)] = result
        state = copy.deepcopy(self.__getstate__(), memo)  # type: ignore[no-untyped-call]
        result.__setstate__(state)  # type: ignore[no-untyped-call]
        return result
