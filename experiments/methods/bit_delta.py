"""BitDelta: one bit for each weight of a fine-tuned network, and one scale for each matrix."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from experiments.methods.fine_tuned import FineTuned
from experiments.runner.added import pack_bits, unpack_bits
from psp_data import Stream

State = Mapping[str, Tensor]

SCALE_STEPS, SCALE_RATE = 200, 1e-4
"""Steps and Adam learning rate of the distillation of the scales, those of the paper, whose rate
falls along a cosine."""


def compress(base: State, tuned: State) -> dict[str, Tensor]:
    """Return what BitDelta saves of a fine-tuned network.

    Args:
        base: State of the network that it was fine-tuned from.
        tuned: Its state.

    Returns:
        For each matrix or kernel the signs of its difference from the base, packed in bytes, and
        the mean absolute difference; every other tensor (biases, norms) whole. The head is
        compressed, too, which the paper leaves whole.

    Source:
        Liu et al. 2024, BitDelta: Your fine-tune may only be worth one bit, section 3.1.

    Example:
        >>> import torch
        >>> from experiments.methods.bit_delta import compress, restore
        >>> base = {"weight": torch.zeros(1, 4), "bias": torch.zeros(1)}
        >>> tuned = {"weight": torch.tensor([[1.0, -3.0, 0.0, 4.0]]), "bias": torch.ones(1)}
        >>> saved = compress(base, tuned)
        >>> saved["weight.signs"], saved["weight.scale"]
        (tensor([176], dtype=torch.uint8), tensor(2.))
        >>> restore(base, saved)["weight"]
        tensor([[ 2., -2.,  2.,  2.]])
    """
    saved: dict[str, Tensor] = {}
    for name, value in tuned.items():
        if value.ndim < 2:
            saved[name] = value.clone()
            continue
        difference = value - base[name]
        saved[f"{name}.signs"] = pack_bits(difference >= 0)
        saved[f"{name}.scale"] = difference.abs().mean()
    return saved


def restore(base: State, saved: State) -> dict[str, Tensor]:
    """Return the state of the network of which `compress` saved something."""
    state = {}
    for name, value in base.items():
        if name in saved:
            state[name] = saved[name]
        else:
            signs = 2.0 * unpack_bits(saved[f"{name}.signs"], value.shape) - 1
            state[name] = value + saved[f"{name}.scale"] * signs
    return state


class BitDelta(FineTuned):
    """Networks fine-tuned apart, of which BitDelta keeps the signs and distilled scales."""

    def keep(self, stream: Stream, done: int) -> None:
        """Compress the network, with scales distilled on the task's last batches."""
        tuned = {name: value.clone() for name, value in self.net.state_dict().items()}
        saved = compress(self.base, tuned)
        first = max(stream.first_step(stream.task(done - 1)), done - SCALE_STEPS)
        self._distil(saved, tuned, stream, range(first, done))
        self.net.load_state_dict(restore(self.base, saved))

    def added_tensors(self) -> dict[str, Tensor]:
        """Return the signs, scales, biases and norms."""
        state = self.net.state_dict()
        return compress(self.base or state, state)

    def added_parameters(self) -> int:
        """Count a sign as a parameter, as the paper's Table 1 counts those of a context."""
        values = self.net.state_dict().values()
        return sum(value.numel() + (value.ndim > 1) for value in values)

    def _distil(self, saved: dict[str, Tensor], tuned: State, stream: Stream, steps: range) -> None:
        """Fit the scales so that the logits are those of the fine-tuned network."""
        names = [name for name in saved if name.endswith(".scale")]
        scales = {name: saved[name].clone().requires_grad_() for name in names}
        optimiser = torch.optim.Adam(scales.values(), lr=SCALE_RATE)
        for step in steps:
            samples, _ = stream.train_batch(step)
            with torch.no_grad():
                target = functional_call(self.net, dict(tuned), samples)
            logits = functional_call(self.net, restore(self.base, saved | scales), samples)
            optimiser.zero_grad()
            F.mse_loss(logits, target).backward()
            optimiser.step()
        saved |= {name: scale.detach() for name, scale in scales.items()}
