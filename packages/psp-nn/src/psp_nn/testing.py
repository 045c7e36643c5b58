"""A training step on a simulated GPU, to test that a network leaves nothing on the CPU.

Fake tensors of torch have a device and no data, so that an operation on tensors of two devices
fails as it would with data. But in the backward pass of a GPU tensor, autograd asks the driver for
a stream. Here each fake tensor is wrapped in a shell, which autograd sees as a meta tensor, and
every operation, forward and backward, runs on the fake tensor inside.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map


class Shell(Tensor):
    """A fake tensor of any device, for autograd on a machine without that device.

    Args:
        inside: The wrapped fake tensor.

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
        """Create a shell with the tensor's shape."""
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
        self.inside = inside

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Device of the fake tensor."""
        return self.inside.device

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run the operation on the fake tensors inside."""
        shells = (leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Shell))
        device = next(shells).device

        def unwrap(value: Any) -> Any:
            if isinstance(value, Shell):
                return value.inside
            # Autograd creates tensors on the device that it sees.
            return device if value == torch.device("meta") else value

        def wrap(value: Any) -> Any:
            return Shell(value) if isinstance(value, FakeTensor) else value

        out = func(*tree_map(unwrap, args), **tree_map(unwrap, kwargs or {}))
        return return_and_correct_aliasing(func, args, kwargs or {}, tree_map(wrap, out))


def put_into_shells(net: nn.Module) -> None:
    """Wrap every parameter and buffer of a network in a shell, in place.

    Args:
        net: A network of fake tensors.
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
