"""Norm layers with running statistics for each model: BatchNorm and InstanceNorm."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from psp_nn.layers.attributes import entry_per_context
from psp_nn.layers.made_class import MadeClass
from psp_nn.layers.norm import SuperposedNorm
from psp_nn.layers.selection import EachSample, MixedBatchError, Mixture, One

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class _NormWithStatistics(SuperposedNorm):
    """A norm layer that may keep running statistics."""

    eps: float
    track_running_stats: bool

    tables: ClassVar[tuple[str, ...]] = ("weight", "bias", *_STATISTICS)

    bias: Any = entry_per_context("bias")
    running_mean: Any = entry_per_context("running_mean")
    running_var: Any = entry_per_context("running_var")
    num_batches_tracked: Any = entry_per_context("num_batches_tracked")

    def reset_running_stats(self) -> None:
        """Reset the statistics of the model in use; those of the others stay.

        `torch.optim.swa_utils.update_bn` calls this before it computes them from a few batches.

        Raises:
            RuntimeError: If there are statistics for each model and not one model is in use.
        """
        for name, value in zip(_STATISTICS, (0, 1, 0), strict=True):
            table = self._buffers[name]
            if table is None:
                continue
            if name not in self.superposition.per_context:
                table.fill_(value)
                continue
            selection = self.superposition.selection
            if not isinstance(selection, One):
                raise RuntimeError(
                    f"layer '{self.superposition.name}' cannot reset the statistics of several "
                    "models at once; select one with use_context."
                )
            table.index_fill_(0, selection.tensor.reshape(1).to(table.device), value)

    def _normalise(self, x: Tensor, part: int) -> Tensor:
        state = self.superposition
        selection = state.selection
        several = isinstance(selection, Mixture | EachSample)
        if several and not self.training and self._buffers["running_mean"] is not None:
            # The kernels of torch have no gradient for the statistics, which depend on the mixture,
            # and take more than one pass for those of several models.
            entries = self._entries(part)
            self._check_channels(x, entries["running_mean"].shape)
            shape = [-1 if dim == 1 else 1 for dim in range(x.dim())]
            names = ("running_mean", "running_var", "weight", "bias")
            mean, var, scale, shift = (
                None if entries[name] is None else entries[name].view(shape) for name in names
            )
            return self._apply_statistics(x, mean, var, scale, shift)
        if isinstance(selection, One) and selection.batch is not None and self.training:
            self._check_samples(x, selection)
        updated = [name for name in _STATISTICS if name in state.per_context and self.training]
        if not updated:
            return super()._normalise(x, part)
        if not isinstance(selection, One):
            raise RuntimeError(
                f"layer '{state.name}' cannot update the statistics of a mixture of models; "
                "call eval() first."
            )
        if isinstance(selection.current, int):
            return super()._normalise(x, part)  # an int reads views, which are updated in place
        with self.read_once(**self._entries(part)) as entries:
            y = self._plain_forward(x)
        for name in updated:
            self._write(name, part, selection.tensor, entries[name])
        return y

    def _write(self, name: str, part: int, index: Tensor, entry: Tensor) -> None:
        table = self._buffers[name]
        assert table is not None
        if self.superposition.parts == 2:
            table = table[:, part]
        table.index_copy_(0, index.reshape(1).to(table.device), entry.unsqueeze(0))

    def _check_samples(self, x: Tensor, selection: One) -> None:
        """Check that a context has more than one value per channel, which has no variance."""
        if isinstance(self, nn.modules.batchnorm._BatchNorm) and x.numel() == x.shape[1]:
            raise MixedBatchError(
                f"layer '{self.superposition.name}' normalises the samples of each context apart, "
                f"and has only one of context {selection.index}; give it more, or call eval() to "
                "use the running statistics."
            )

    def _check_channels(self, x: Tensor, sizes: torch.Size) -> None:
        if x.shape[1:2] != sizes:  # it would broadcast
            raise ValueError(
                f"layer '{self.superposition.name}' normalises {tuple(sizes)} channels, but its "
                f"input has shape {tuple(x.shape)}."
            )

    def _apply_statistics(
        self,
        x: Tensor,
        mean: Tensor | None,
        var: Tensor | None,
        scale: Tensor | None,
        shift: Tensor | None,
    ) -> Tensor:
        """Normalise with given statistics, in the dtype of x as torch does."""
        assert mean is not None
        assert var is not None
        factor = (var + self.eps).rsqrt()
        if scale is not None:
            factor = factor * scale
        term = -mean * factor
        if shift is not None:
            term = term + shift
        return torch.addcmul(term, x, factor).to(x.dtype)  # one pass over x


class SuperposedBatchNorm(_NormWithStatistics, nn.modules.batchnorm._BatchNorm):
    """BatchNorm with affine and running statistics for each model.

    Example:
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import superpose, use_context
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        >>> net = superpose(net, family=BinaryContexts, num_contexts=50, seed=0, base=False)
        >>> with use_context(net, 7):
        ...     _ = net(torch.randn(2, 3, 8, 8))
        >>> net.state_dict()["1.num_batches_tracked"].nonzero().tolist()
        [[7]]
    """


class SuperposedInstanceNorm(_NormWithStatistics, nn.modules.instancenorm._InstanceNorm):
    """InstanceNorm with its affine and running statistics, if any, for each model."""


class Frozen(MadeClass):
    """Mixin for norm layers that always use their running statistics."""

    def train(self, mode: bool = True) -> "Frozen":
        """Stay in evaluation mode."""
        return super().train(False)


_frozen_classes: dict[type[nn.Module], type[nn.Module]] = {}


def freeze_norm(module: nn.Module) -> None:
    """Stop the updates of a norm layer's affine and of its statistics, if it has them."""
    module.requires_grad_(False)
    if module._buffers.get("running_mean") is not None:
        module.__class__ = frozen_class(type(module))
        module.eval()


def frozen_class(plain: type[nn.Module]) -> type[nn.Module]:
    """Return the class that always uses the running statistics of a norm layer."""
    if plain not in _frozen_classes:
        _frozen_classes[plain] = type(f"Frozen{plain.__name__}", (Frozen, plain), {})
    return _frozen_classes[plain]


def use_batch_statistics(module: nn.Module) -> None:
    """Remove affine and running statistics from a BatchNorm; other norm layers are unchanged."""
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        for name in ("weight", "bias"):
            module._parameters[name] = None
        for name in _STATISTICS:
            module._buffers[name] = None
        module.affine = module.track_running_stats = False
