"""Tensors that one more model adds to a file, and their size in bytes."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from psp_nn import Superposed

Tensors = Mapping[str, Tensor]
"""Tensors by name."""


def added_tensors(net: nn.Module) -> dict[str, Tensor]:
    """Return what each model of a superposition adds to its file, as the current model has it.

    That is one model's row of every table (biases, norms and heads per context) and its learned
    contexts. Contexts drawn from a seed are not saved. A network without contexts adds nothing.

    Example:
        >>> import torch
        >>> from experiments.runner.added import added_tensors
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose
        >>> options = {"family": BinaryContexts, "num_contexts": 3, "seed": 0, "base": False}
        >>> net = superpose(torch.nn.Linear(8, 2), **options, bias_per_context=True)
        >>> {name: tuple(value.shape) for name, value in added_tensors(net).items()}
        {'bias': (2,)}
    """
    added: dict[str, Tensor] = {}
    for name, layer in net.named_modules():
        if not isinstance(layer, Superposed):
            continue
        prefix = f"{name}." if name else ""
        added |= {f"{prefix}{key}": getattr(layer, key) for key in layer.superposition.per_context}
        for key in layer.superposition.superposed:
            for contexts in (layer.contexts_for(key), layer.output_contexts_for(key)):
                if contexts is None:
                    continue
                for part, value in contexts.named_parameters():
                    if len(value) == contexts.num_contexts:
                        added[f"{prefix}{key}.{part}"] = value[0]
    return floating(added)


def floating(tensors: Tensors) -> dict[str, Tensor]:
    """Leave out integers: the counters of batches of norm layers."""
    return {n: v for n, v in tensors.items() if v.is_floating_point() or v.is_complex()}


def num_bytes(tensors: Tensors) -> int:
    """Return the size of tensors in a file, without its header."""
    return sum(value.nbytes for value in tensors.values())


def pack_bits(bits: Tensor) -> Tensor:
    """Pack booleans of any shape into bytes, 8 in each; zeros fill the last byte.

    Example:
        >>> import torch
        >>> from experiments.runner.added import pack_bits, unpack_bits
        >>> bits = torch.tensor([[True, False, True], [True, True, False]])
        >>> pack_bits(bits)
        tensor([184], dtype=torch.uint8)
        >>> torch.equal(unpack_bits(pack_bits(bits), bits.shape), bits)
        True
    """
    return torch.from_numpy(np.packbits(bits.flatten().cpu().numpy())).to(bits.device)


def unpack_bits(packed: Tensor, shape: torch.Size) -> Tensor:
    """Return the booleans that `pack_bits` packed."""
    bits = np.unpackbits(packed.cpu().numpy(), count=shape.numel())
    return torch.from_numpy(bits.astype(bool)).view(shape).to(packed.device)
