"""Norm layers of superposed networks: affine and running statistics for each model."""

from enum import Enum
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from psp_nn.layers.layer import Layer, entry_per_context
from psp_nn.layers.loop_over_contexts import by_context
from psp_nn.layers.selection import Mixture, One, PerSample


class Norms(Enum):
    """What becomes of the norm layers of a superposed network.

    Shared running statistics are those of the model trained last, and destroy the others.
    """

    PER_CONTEXT = "affine and running statistics for each model"
    SHARED = "one affine and one set of running statistics, as in the original network"
    FROZEN = "the affine and the running statistics of the original network, never changed"
    BATCH = "BatchNorm without affine or running statistics, as in the paper; others shared"


class _SuperposedNorm(Layer):
    """A norm layer with tables; complex input is normalised in both parts apart."""

    weights: ClassVar[tuple[str, ...]] = ()
    tables: ClassVar[tuple[str, ...]] = ("weight", "bias")

    weight: Any = entry_per_context("weight")

    def forward(self, input: Tensor) -> Tensor:
        """The norm with the affine of the model in use.

        Args:
            input: As for the plain layer; complex in a complex network.

        Returns:
            Shape and dtype of the input.

        Raises:
            TypeError: If the input is no tensor.
            ValueError: If the batch mixes contexts and it has not one sample per context along
                the stated dimension.
        """
        x = input
        if not isinstance(x, Tensor):
            raise TypeError(
                f"layer '{self.layer_name}' needs a Tensor as its input x, but got a "
                f"{type(x).__name__}."
            )
        self.note_use()
        if not x.is_complex():
            return self._normed(x)
        try:
            self.__dict__["part"] = 0
            real = self._normed(x.real)
            self.__dict__["part"] = 1
            return torch.complex(real, self._normed(x.imag))
        finally:
            self.__dict__["part"] = 0

    def _normed(self, x: Tensor) -> Tensor:
        if isinstance(self.selected, PerSample):
            return self._per_sample(x, self.selected)
        y: Tensor = super().forward(x)
        return y

    def _per_sample(self, x: Tensor, selected: PerSample) -> Tensor:
        channels = self._channels(x)
        selected.check(x, self.layer_name, trailing=x.dim() - channels.start)
        with self.read_once(weight=None, bias=None):
            y: Tensor = super().forward(x)
        scale, shift = (self._entries(name, x, selected) for name in ("weight", "bias"))
        if scale is not None:
            y = y * scale
        return y if shift is None else y + shift

    def _entries(self, name: str, x: Tensor, selected: PerSample) -> Tensor | None:
        """The entries of the models of all samples, shaped to broadcast to x."""
        table: Tensor | None = self._parameters.get(name)
        if table is None:
            table = self._buffers.get(name)
        if table is None:
            return None
        shape = [1] * x.dim()
        channels = self._channels(x)
        self._check_channels(x, table.shape[channels.start - channels.stop :])
        shape[channels] = x.shape[channels]
        if name in self.per_context:
            shape[selected.batch_dim] = len(selected.index)
            table = selected.rows(table)
        if self.parts == 2:
            table = table.select(1 if name in self.per_context else 0, self.part)
        return table.reshape(shape)

    def _channels(self, x: Tensor) -> slice:
        """The dimensions of x that the affine has numbers for."""
        return slice(1, 2)

    def _check_channels(self, x: Tensor, sizes: torch.Size) -> None:
        """Refuse what would broadcast."""
        if x.shape[self._channels(x)] != sizes:
            raise ValueError(
                f"layer '{self.layer_name}' norms {tuple(sizes)} channels, but its input x has "
                f"shape {tuple(x.shape)}."
            )


class _WithStatistics(_SuperposedNorm):
    """A norm layer that may keep running statistics."""

    eps: float
    track_running_stats: bool

    tables: ClassVar[tuple[str, ...]] = (
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    )

    bias: Any = entry_per_context("bias")
    running_mean: Any = entry_per_context("running_mean")
    running_var: Any = entry_per_context("running_var")
    num_batches_tracked: Any = entry_per_context("num_batches_tracked")

    def reset_running_stats(self) -> None:
        """Forget the statistics of the model in use, those of the others stay.

        So does `torch.optim.swa_utils.update_bn` before it takes them anew from a few batches.

        Raises:
            RuntimeError: If there are statistics for each model and not one model is in use.
        """
        for name, value in (("running_mean", 0), ("running_var", 1), ("num_batches_tracked", 0)):
            table = self._buffers[name]
            if table is None:
                continue
            if name not in self.per_context:
                table.fill_(value)
                continue
            if not isinstance(self.selected, One):
                raise RuntimeError(
                    f"layer '{self.layer_name}' cannot reset the statistics of several models at "
                    "once; select one with use_context."
                )
            index = self.selected.tensor.reshape(1).to(table.device)
            table.index_fill_(0, index, value)

    def _normed(self, x: Tensor) -> Tensor:
        selected = self.selected
        if isinstance(selected, Mixture) and not self.training and self.track_running_stats:
            # Torch has no gradient to statistics, which a mixture's coefficients need.
            shape = [-1 if dim == 1 else 1 for dim in range(x.dim())]
            self._check_channels(x, self.entry("running_mean").shape)
            entries = (self.entry(n) for n in ("running_mean", "running_var", "weight", "bias"))
            return self._normed_by(x, *(e if e is None else e.view(shape) for e in entries))
        statistics = [
            name
            for name in ("running_mean", "running_var", "num_batches_tracked")
            if name in self.per_context and self.training
        ]
        if not statistics or isinstance(selected, PerSample):
            return super()._normed(x)
        if not isinstance(selected, One):
            raise RuntimeError(
                f"layer '{self.layer_name}' cannot update the statistics of a mixture of models; "
                "call eval() first."
            )
        if isinstance(selected.current, int):
            return super()._normed(x)  # entries read by an int are views, and updated in place
        with self.read_once() as read:
            y = super()._normed(x)
        for name in statistics:
            self._write(name, selected.tensor, read[name])
        return y

    def _write(self, name: str, index: Tensor, entry: Tensor) -> None:
        table = self._buffers[name]
        assert table is not None
        if self.parts == 2:
            table = table[:, self.part]
        table.index_copy_(0, index.reshape(1).to(table.device), entry.unsqueeze(0))

    def _per_sample(self, x: Tensor, selected: PerSample) -> Tensor:
        trailing = x.dim() - 1
        mean, var = self._buffers["running_mean"], self._buffers["running_var"]
        if self.training or mean is None or var is None:
            part = self.part
            return by_context(
                self, x, lambda samples: self._of_part(samples, part), trailing=trailing
            )
        selected.check(x, self.layer_name, trailing=trailing)
        mean, var, scale, shift = (
            self._entries(name, x, selected)
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        return self._normed_by(x, mean, var, scale, shift)

    def _normed_by(
        self,
        x: Tensor,
        mean: Tensor | None,
        var: Tensor | None,
        scale: Tensor | None,
        shift: Tensor | None,
    ) -> Tensor:
        """The norm with given statistics, in the input's dtype as torch gives it."""
        assert mean is not None
        assert var is not None
        factor = (var + self.eps).rsqrt()
        if scale is not None:
            factor = factor * scale
        term = -mean * factor
        if shift is not None:
            term = term + shift
        return torch.addcmul(term, x, factor).to(x.dtype)  # one pass over x

    def _of_part(self, x: Tensor, part: int) -> Tensor:
        self.__dict__["part"] = part
        return self._normed(x)


class SuperposedBatchNorm(_WithStatistics, nn.modules.batchnorm._BatchNorm):
    """BatchNorm with affine and running statistics for each model.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        >>> net = superpose(net, family=BinaryContexts, num_contexts=50, seed=0)
        >>> with use_context(net, 7):
        ...     _ = net(torch.randn(2, 3, 8, 8))
        >>> net.state_dict()["1.num_batches_tracked"].nonzero().tolist()
        [[7]]
    """


class SuperposedInstanceNorm(_WithStatistics, nn.modules.instancenorm._InstanceNorm):
    """InstanceNorm with what it has of affine and running statistics for each model."""


class SuperposedGroupNorm(_SuperposedNorm, nn.GroupNorm):
    """GroupNorm with an affine for each model."""

    bias: Any = entry_per_context("bias")


class SuperposedLayerNorm(_SuperposedNorm, nn.LayerNorm):
    """LayerNorm with an affine for each model."""

    bias: Any = entry_per_context("bias")

    def _channels(self, x: Tensor) -> slice:
        return slice(x.dim() - len(self.normalized_shape), x.dim())


class SuperposedRMSNorm(_SuperposedNorm, nn.RMSNorm):
    """RMSNorm with a scale for each model."""

    tables: ClassVar[tuple[str, ...]] = ("weight",)

    def _channels(self, x: Tensor) -> slice:
        return slice(x.dim() - len(self.normalized_shape), x.dim())


class Frozen(nn.Module):
    """A mixin for norm layers that always use their running statistics."""

    def train(self, mode: bool = True) -> "Frozen":
        """Stays in evaluation."""
        return super().train(False)


_frozen: dict[type[nn.Module], type[nn.Module]] = {}


def freeze_norm(module: nn.Module) -> None:
    """Make a norm layer keep its affine and its statistics, if it has them, for ever."""
    module.requires_grad_(False)
    if module._buffers.get("running_mean") is not None:
        plain = type(module)
        if plain not in _frozen:
            _frozen[plain] = type(f"Frozen{plain.__name__}", (Frozen, plain), {})
        module.__class__ = _frozen[plain]
        module.eval()


def use_batch_statistics(module: nn.Module) -> None:
    """Take affine and running statistics from a BatchNorm; other norm layers stay."""
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        for name in ("weight", "bias"):
            module._parameters[name] = None
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            module._buffers[name] = None
        module.affine = module.track_running_stats = False
