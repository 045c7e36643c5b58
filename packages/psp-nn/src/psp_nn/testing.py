"""A training step on a GPU that is not there, to see that a network leaves nothing on the CPU.

torch's fake tensors know their device and hold no data, so that an operation on tensors of two
devices fails as it would. But autograd asks the driver for a stream before it goes back through
tensors of a GPU. Here each fake tensor lies in a shell that autograd takes for one without data,
on no device, while every operation, forward and backward, is done on what is inside.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_map


class Shell(Tensor):
    """A fake tensor of any device, with which autograd works on a machine without that device.

    Args:
        inside: The fake tensor.

    Example:
        >>> import torch
        >>> from torch._subclasses.fake_tensor import FakeTensorMode
        >>> from psp_nn.testing import Shell, put_into_shells
        >>> with FakeTensorMode():
        ...     with torch.device("cuda"):
        ...         net, x = torch.nn.Linear(3, 2), torch.empty(5, 3)
        ...     put_into_shells(net)
        ...     net(Shell(x)).sum().backward()
        ...     net.weight.grad.device.type
        'cuda'
    """

    inside: Tensor

    @staticmethod
    def __new__(cls, inside: Tensor) -> "Shell":
        """An empty shell of the tensor's shape."""
        shell: Shell = Tensor._make_wrapper_subclass(
            cls,
            inside.shape,
            strides=inside.stride(),
            storage_offset=inside.storage_offset(),
            dtype=inside.dtype,
            device=torch.device("meta"),
        )
        return shell

    def __init__(self, inside: Tensor) -> None:
        """See the class."""
        self.inside = inside

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Where the fake tensor is."""
        return self.inside.device

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """The operation on what is inside."""
        device = next(each for each in _flat((args, kwargs)) if isinstance(each, Shell)).device

        def opened(value: Any) -> Any:
            if isinstance(value, Shell):
                return value.inside
            # Autograd makes tensors where it takes the others to be.
            return device if value == torch.device("meta") else value

        def closed(value: Any) -> Any:
            return Shell(value) if isinstance(value, FakeTensor) else value

        out = func(*tree_map(opened, args), **tree_map(opened, kwargs or {}))
        return return_and_correct_aliasing(func, args, kwargs or {}, tree_map(closed, out))


def put_into_shells(net: nn.Module) -> None:
    """Put every parameter and buffer of a network into a shell, in place.

    Args:
        net: Of fake tensors.
    """
    shells: dict[int, Tensor] = {}

    def shell_of(value: Tensor) -> Tensor:
        if id(value) not in shells:
            shell: Tensor = Shell(value.detach())
            if isinstance(value, nn.Parameter):
                shell = nn.Parameter(shell, requires_grad=value.requires_grad)
            shells[id(value)] = shell
        return shells[id(value)]

    for module in net.modules():
        for values in (module._parameters, module._buffers):
            for name, value in values.items():
                if value is not None:
                    values[name] = shell_of(value)  # type: ignore[assignment]


def _flat(values: Any) -> list[Any]:
    found: list[Any] = []
    tree_map(found.append, values)
    return found
