"""Pickling of layers whose class `superpose` made, by the class that they had before."""

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
