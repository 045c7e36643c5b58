"""Noise of whole superpositions, measured as the number of stored models grows."""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.theory import expected_noise_power, snr, squared_alignment
from psp_contexts import Contexts

Models = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Function from indices, a LongTensor (k,), to weights (k, out, dim) and inputs (k, n, dim).

It must be a pure function of the indices, since models are requested more than once.
"""


@dataclass(frozen=True)
class Retrieval:
    """Measurements of models read out of a superposition of K models: one point of a curve.

    Powers are means over the models read and their inputs, summed over outputs.

    Attributes:
        num_models: K.
        reads: Number of models read.
        signal: ‖W_s x‖².
        noise: ‖W C_s x − W_s x‖², W the superposition; of the real parts with `real_part`.
        noise_error: Standard error of `noise` over the models read, NaN for a single one. All
            reads of one superposition share its weights, so runs with other seeds judge better.
        bias: Mean (real part) of the noise over outputs, inputs and models; 0 if unbiased.
        kurtosis: Mean fourth power of the noise at an output over the squared mean second power: 3
            for real Gaussian noise, 2 for complex, more where a few outputs carry the noise.
        squared_alignment: ρ², mean of ‖W_s x‖² / (‖W_s‖_F² ‖x‖²).
        predicted_snr: ρ² dim / (K − 1) at that ρ; twice that for real parts of complex contexts.
        expected_noise: `noise` by the exact closed form for these weights and inputs, averaged
            over contexts; None where it was not computed.
    """

    num_models: int
    reads: int
    signal: float
    noise: float
    noise_error: float
    bias: float
    kurtosis: float
    squared_alignment: float
    predicted_snr: float
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
    """Store a growing number of models, and read some of them back at each number K.

    Models 0..K−1 are stored in contexts 0..K−1; the models read are spread evenly over them. The
    whole curve takes one pass over the models, with a few of them in memory at a time. K = 1000
    models of dim 1024 take about a second for contexts that are cheap to draw. A Haar rotation
    takes a QR factorisation of a dim × dim matrix, 0.13 s at dim 1024, for every context stored
    and read: minutes for the same curve.

    Args:
        contexts: Contexts, at least max(num_models) of them.
        models: Weights (K, out, dim) and inputs (K, n, dim), or a function that returns those of
            given indices; see `Models`. Model k is read with row k of the inputs.
        num_models: Numbers K at which to read, increasing, at least 2.
        reads: Largest number of models to read at each K.
        real_part: Measure the real part of signal and noise alone, as a complex net's logits do.
        expected: Compute the exact closed form as well; see
            `analysis.theory.expected_noise_power`. It uses all weights for every model read, on
            the CPU, and needs `models` as tensors.
        device: Device that stores and reads.
        chunk_bytes: Bytes of weights to store at a time.

    Returns:
        One point for each K.

    Raises:
        TypeError: If a tensor is complex and the family real.
        ValueError: If `num_models` does not increase from 2, the shapes do not match, `reads` is
            less than 1, or `expected` is set for a function.
        IndexError: If there are fewer contexts or models than `num_models` asks for.

    Example:
        >>> from analysis.retrieval import aligned_models, measure_retrieval
        >>> from psp_contexts import BinaryContexts
        >>> contexts = BinaryContexts(1024, num_contexts=257, seed=0)
        >>> models = aligned_models(257, out_features=4, dim=1024, seed=0)
        >>> (point,) = measure_retrieval(contexts, models, [257])
        >>> round(point.predicted_snr, 3), abs(point.snr - 4) < 1
        (4.0, True)
    """
    if reads < 1:
        raise ValueError(f"reads={reads} must be at least 1.")
    counts = [operator.index(count) for count in num_models]
    if not counts or counts[0] < 2 or sorted(set(counts)) != counts:
        raise ValueError(
            f"num_models={counts} must increase from 2 or more; one model alone has no noise."
        )
    get_models, weights = _as_function(models, counts[-1])
    if expected and weights is None:
        raise ValueError("expected=True needs models as tensors (weights, inputs), not a function.")
    superposition: Tensor | None = None
    stored, points = 0, []
    for count in counts:
        superposition = _add(
            contexts, get_models, stored, count, superposition, device, chunk_bytes
        )
        stored = count
        index = torch.linspace(0, count - 1, min(reads, count)).round().long()
        exact = weights[:count] if expected and weights is not None else None
        points.append(
            _read(contexts, get_models, index, superposition, count, exact, real_part, device)
        )
    return points


def _as_function(
    models: Models | tuple[Tensor, Tensor], count: int
) -> tuple[Models, Tensor | None]:
    """Return the models as a function of their indices, and all weights if they are tensors."""
    if callable(models):
        return lambda index: _checked_shapes(index, *models(index)), None
    weights, inputs = models
    if not count <= len(weights) == len(inputs):
        raise IndexError(
            f"{count} models need weights and inputs, not {len(weights)} and {len(inputs)} of them."
        )
    return lambda index: _checked_shapes(index, weights[index], inputs[index]), weights


def _checked_shapes(index: Tensor, weights: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    matches = weights.dim() == inputs.dim() == 3 and len(weights) == len(inputs) == len(index)
    if not matches or 0 in (*weights.shape, *inputs.shape):
        raise ValueError(
            f"models: weights have shape {tuple(weights.shape)} and inputs {tuple(inputs.shape)} "
            f"for {len(index)} models; pass (models, out, dim) and (models, n, dim), not empty."
        )
    return weights, inputs


def _add(
    contexts: Contexts,
    models: Models,
    start: int,
    stop: int,
    superposition: Tensor | None,
    device: torch.device | str,
    chunk_bytes: int,
) -> Tensor:
    """Return the superposition with models start..stop−1 added, shape (out, dim)."""
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
    all_weights: Tensor | None,
    real_part: bool,
    device: torch.device | str,
) -> Retrieval:
    weights, inputs = (part.to(device) for part in models(index))
    signal = inputs @ weights.mT  # (reads, n, out)
    noise = contexts.bind(inputs, index.to(device).unsqueeze(-1)) @ superposition.mT - signal
    if real_part:
        signal, noise = signal.real, noise.real
    # Outputs are small, and not every device has double precision.
    signal, noise = signal.cpu(), noise.cpu()
    per_output = noise.abs().double().square()
    power = per_output.sum(-1).mean(-1)  # (reads,)
    fourth, second = per_output.square().mean().item(), per_output.mean().item()
    rho2 = squared_alignment(weights, inputs).cpu().double().mean().item()
    expected = None
    if all_weights is not None:
        exact = [
            expected_noise_power(contexts, all_weights, x, read=s, real_part=real_part).mean()
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
        predicted_snr=doubled * snr(contexts.dim, count, rho2).item(),
        expected_noise=expected,
    )
