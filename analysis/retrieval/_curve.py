"""Whole superpositions measured: models stored in real contexts, read back, and the noise."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis._arguments import (
    check_contexts,
    check_tensor,
    checked_device,
    checked_flag,
    checked_integer,
    checked_integers,
    served_by,
)
from analysis.theory import expected_noise_power, snr, squared_alignment
from psp_contexts import Contexts

Models = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Gives the models of some indices, a LongTensor (k,): weights (k, out, dim), inputs (k, n, dim).

A pure function of the indices, since models are asked for more than once.
"""


@dataclass(frozen=True)
class Retrieval:
    """What reading models out of a superposition of K gave: one point of a curve.

    Powers are means over the models read and their inputs, summed over outputs.

    Attributes:
        num_models: K.
        reads: How many models were read.
        signal: ‖W_s x‖².
        noise: ‖W C_s x − W_s x‖², W the superposition; of real parts, if they were asked for.
        noise_error: Standard error of `noise` over the models read, NaN for a single one. Reads of
            one superposition share its weights; runs with other seeds are the better judge.
        bias: Mean of the noise over outputs, inputs and models (its real part): 0 when unbiased.
        kurtosis: Mean fourth power of the noise at an output over the squared mean second one: 3
            for real Gaussian noise, 2 for complex, more where a few outputs carry it.
        squared_alignment: ρ², mean of ‖W_s x‖² / (‖W_s‖_F² ‖x‖²).
        law_snr: ρ² dim / (K − 1) at that ρ, and twice as much of real parts of complex contexts.
        expected_noise: `noise` by the exact closed form for these very weights and inputs,
            averaged over contexts; None where it was not computed.
    """

    num_models: int
    reads: int
    signal: float
    noise: float
    noise_error: float
    bias: float
    kurtosis: float
    squared_alignment: float
    law_snr: float
    expected_noise: float | None

    @property
    def snr(self) -> float:
        """Measured signal power over measured noise power."""
        return self.signal / self.noise if self.noise else math.inf

    @property
    def expected_snr(self) -> float | None:
        """Measured signal power over the noise power of the exact closed form."""
        if self.expected_noise is None:
            return None
        return self.signal / self.expected_noise if self.expected_noise else math.inf


def measure_retrieval(
    contexts: Contexts,
    models: Models | tuple[Tensor, Tensor],
    num_models: Sequence[int],
    *,
    reads: int = 8,
    real_part: bool = False,
    expected: bool = False,
    device: torch.device | str = "cpu",
    chunk_bytes: int = 2**26,
) -> list[Retrieval]:
    """Store more and more models, and at each number K read some of them back.

    Models 0..K−1 are stored in contexts 0..K−1; the models read are spread evenly over them. The
    whole curve takes one pass over the models, a few of which are in memory at a time. So
    K = 1000 models of dim 1024 take about a second for contexts that are cheap to draw. A Haar
    rotation takes a QR factorisation of dim² numbers, 0.13 s at dim 1024, for every context
    stored and read: minutes for that same curve.

    Args:
        contexts: The family, with at least max(num_models) contexts.
        models: Weights (K, out, dim) and inputs (K, n, dim), or a function that gives those of
            some indices; see `Models`. Row k of the inputs are those that model k is read with.
        num_models: The K at which to read, increasing, at least 2.
        reads: How many models to read at each K, at most.
        real_part: Look at the real part of signal and noise alone, as a complex net's logits do.
        expected: Compute the exact closed form, too; see `analysis.theory.expected_noise_power`.
            It looks at all weights for every model read, on the CPU, and needs `models` as tensors.
        device: Where to store and read.
        chunk_bytes: How many bytes of weights to store at a time.

    Returns:
        One point for each K.

    Raises:
        TypeError: If an argument is of another type, or a tensor complex and the family real.
        ValueError: If `num_models` or the shapes do not fit, `expected` lacks tensors, a number is
            less than 1, or the device is not there.
        IndexError: If `contexts` has fewer contexts than models are stored.

    Example:
        >>> from analysis.retrieval import aligned_models, measure_retrieval
        >>> from psp_contexts import BinaryContexts
        >>> contexts = BinaryContexts(1024, num_contexts=257, seed=0)
        >>> models = aligned_models(257, out_features=4, dim=1024, seed=0)
        >>> (point,) = measure_retrieval(contexts, models, [257])
        >>> round(point.law_snr, 3), abs(point.snr - 4) < 1
        (4.0, True)
    """
    check_contexts("contexts", contexts)
    reads = checked_integer("reads", reads, least=1)
    real_part, expected = checked_flag("real_part", real_part), checked_flag("expected", expected)
    device = checked_device("device", device)
    chunk_bytes = checked_integer("chunk_bytes", chunk_bytes, least=1)
    give, weights = _as_function(models, contexts)
    counts = _checked_counts(num_models, weights, contexts)
    if expected and weights is None:
        raise ValueError(
            "expected=True needs all weights at once, but models is a function; pass the tensors "
            "(weights, inputs)."
        )
    superposition: Tensor | None = None
    stored, points = 0, []
    for count in counts:
        superposition = _add(contexts, give, stored, count, superposition, device, chunk_bytes)
        stored = count
        index = torch.linspace(0, count - 1, min(reads, count)).round().long()
        exact = weights[:count] if expected and weights is not None else None
        points.append(_read(contexts, give, index, superposition, count, exact, real_part, device))
    return points


def _as_function(
    models: Models | tuple[Tensor, Tensor], contexts: Contexts
) -> tuple[Models, Tensor | None]:
    if callable(models):
        return lambda index: _checked_models(models(index), contexts, len(index)), None
    weights, inputs = _checked_models(models, contexts)
    return lambda index: (weights[index], inputs[index]), weights


def _checked_models(
    models: Any, contexts: Contexts, count: int | None = None
) -> tuple[Tensor, Tensor]:
    """Weights and inputs, of so many models if that is given."""
    if not isinstance(models, tuple | list) or len(models) != 2:
        raise TypeError(
            "models must be a pair (weights, inputs), or a function that gives one, but is a "
            f"{type(models).__name__}."
        )
    dtypes, dim = served_by(contexts), contexts.dim
    check_tensor("models: weights", models[0], "models, out, dim", dtypes=dtypes, dim=dim)
    check_tensor("models: inputs", models[1], "models, n, dim", dtypes=dtypes, dim=dim)
    weights, inputs = models
    if weights.dtype != inputs.dtype:
        raise TypeError(
            f"models: weights are {weights.dtype} and inputs {inputs.dtype}; pass one dtype."
        )
    wanted = len(weights) if count is None else count
    if not len(weights) == len(inputs) == wanted or 0 in (*weights.shape, *inputs.shape):
        raise ValueError(
            f"models: weights of shape {tuple(weights.shape)} do not go with inputs of shape "
            f"{tuple(inputs.shape)}; pass (models, out, dim) and (models, n, dim), not empty."
        )
    return weights, inputs


def _checked_counts(
    num_models: Sequence[int], weights: Tensor | None, contexts: Contexts
) -> list[int]:
    counts = checked_integers("num_models", num_models)
    if not counts or counts[0] < 2 or sorted(set(counts)) != counts:
        raise ValueError(
            f"num_models must increase from 2 or more, but is {counts}; a single model is "
            "read without noise."
        )
    if weights is not None and counts[-1] > len(weights):
        raise ValueError(
            f"num_models asks for {counts[-1]} models, but there are {len(weights)}; pass more."
        )
    if counts[-1] > contexts.num_contexts:
        raise IndexError(
            f"num_models asks for {counts[-1]} models, but the family has "
            f"{contexts.num_contexts} contexts; build it with num_contexts={counts[-1]} or more."
        )
    return counts


def _add(
    contexts: Contexts,
    models: Models,
    start: int,
    stop: int,
    superposition: Tensor | None,
    device: torch.device | str,
    chunk_bytes: int,
) -> Tensor:
    """The superposition with models start..stop-1 added, shape (out, dim)."""
    if superposition is None:
        start, superposition = 1, _store(contexts, models, torch.arange(1), device)
    per_model = superposition.numel() * superposition.element_size()
    chunk = max(1, chunk_bytes // per_model)
    for index in torch.arange(start, stop).split(chunk):
        superposition = superposition + _store(contexts, models, index, device)
    return superposition


def _store(contexts: Contexts, models: Models, index: Tensor, device: torch.device | str) -> Tensor:
    weights = models(index)[0].to(device)
    return contexts.store(weights, index.to(device)).sum(0)


def _read(
    contexts: Contexts,
    models: Models,
    index: Tensor,
    superposition: Tensor,
    count: int,
    weights: Tensor | None,
    real_part: bool,
    device: torch.device | str,
) -> Retrieval:
    own, inputs = (part.to(device) for part in models(index))
    signal = inputs @ own.mT  # (reads, n, out)
    noise = contexts.bind(inputs, index.to(device).unsqueeze(-1)) @ superposition.mT - signal
    if real_part:
        signal, noise = signal.real, noise.real
    # Few numbers are left, and not every device has double precision.
    signal, noise = signal.cpu(), noise.cpu()
    at_output = noise.abs().double().square()
    power = at_output.sum(-1).mean(-1)  # one number for each model read
    fourth, second = at_output.square().mean().item(), at_output.mean().item()
    rho2 = squared_alignment(own, inputs).cpu().double().mean().item()
    expected = None
    if weights is not None:
        exact = [
            expected_noise_power(contexts, weights, x, read=s, real_part=real_part).mean()
            for s, x in zip(index.tolist(), models(index)[1], strict=True)
        ]
        expected = torch.stack(exact).mean().item()
    doubled = 2 if contexts.is_complex and real_part else 1
    return Retrieval(
        num_models=count,
        reads=len(index),
        signal=signal.abs().double().square().sum(-1).mean().item(),
        noise=power.mean().item(),
        noise_error=power.std().item() / math.sqrt(len(index)) if len(index) > 1 else math.nan,
        bias=noise.real.double().mean().item(),
        kurtosis=fourth / second**2 if second else math.nan,
        squared_alignment=rho2,
        law_snr=doubled * snr(contexts.dim, count, rho2).item(),
        expected_noise=expected,
    )
