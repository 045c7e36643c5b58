"""Time superposed networks against plain ones: `python -m psp_nn.benchmark`.

Everything runs on one thread. Each time is the minimum over interleaved rounds, which excludes
other load on the machine as far as possible. A line ends with its target, an upper bound of the
ratio.
"""

import argparse
import copy
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from psp_contexts import (
    BinaryContexts,
    ComplexContexts,
    Contexts,
    KroneckerRotationContexts,
    RotationContexts,
    SignedPermutationContexts,
)
from psp_nn import save, superpose, use_context

INPUTS, CLASSES, BATCH, CONTEXTS = 784, 10, 128, 50
PARTS = ("steps", "base", "mixed", "mixed-resnet", "mixed-llama", "resnet", "disk")

TARGETS: dict[tuple[type[Contexts], int], float] = {
    (BinaryContexts, 256): 1.15,
    (BinaryContexts, 2048): 1.05,
    (SignedPermutationContexts, 256): 1.3,
    (SignedPermutationContexts, 2048): 1.1,
    (ComplexContexts, 2048): 4.2,
    (KroneckerRotationContexts, 2048): 1.5,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m psp_nn.benchmark", description=__doc__)
    # argparse checks an empty list of positional arguments against the choices, too.
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of a comparison")
    parser.add_argument("--widths", type=int, nargs="+", default=[256, 2048], help="hidden units")
    parser.add_argument("--contexts", type=int, default=CONTEXTS, help="contexts in a mixed batch")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    parts = options.parts or PARTS
    for width in options.widths:
        if "steps" in parts:
            steps(width, options.seconds)
        if "base" in parts:
            base(width, options.seconds)
        if "mixed" in parts:
            mixed(width, options.contexts, options.seconds)
    if "mixed-resnet" in parts:
        mixed_resnet(options.contexts, options.seconds)
    if "mixed-llama" in parts:
        mixed_llama(options.contexts, options.seconds)
    if "resnet" in parts:
        resnet(options.seconds)
    if "disk" in parts:
        disk()


def steps(width: int, seconds: float) -> None:
    """Time a training step of every family against the plain network."""
    families: tuple[type[Contexts], ...] = (
        BinaryContexts,
        SignedPermutationContexts,
        KroneckerRotationContexts,
        ComplexContexts,
        RotationContexts,
    )
    x, labels = torch.randn(BATCH, INPUTS), torch.randint(CLASSES, (BATCH,))
    runs = {"plain": _step(_mlp(width), x, labels)}
    targets = {}
    for family in families:
        net = superpose(_mlp(width), family=family, num_contexts=CONTEXTS, seed=0, base=False)
        use_context(net, 7)
        runs[family.__name__] = _step(net, x, labels)
        targets[family.__name__] = TARGETS.get((family, width), math.nan)
    targets["RotationContexts"] = 1.2 * _rotation_arithmetic(width)
    print(f"training step, batch {BATCH}, {INPUTS}-{width}-{width}-{CLASSES}")
    _show(_minimum_times(runs, seconds), "plain", targets)


def base(width: int, seconds: float) -> None:
    """Time a training step over a base, with one- and two-sided contexts, against one without."""
    x, labels = torch.randn(BATCH, INPUTS), torch.randint(CLASSES, (BATCH,))
    options: dict[str, dict[str, Any]] = {
        "base=False": {"base": False},
        "base=True, one-sided": {"base": True, "two_sided": False},
        "base=True": {"base": True},
    }
    runs = {"plain": _step(_mlp(width), x, labels)}
    for name, arguments in options.items():
        net = superpose(
            _mlp(width), family=BinaryContexts, num_contexts=CONTEXTS, seed=0, **arguments
        )
        use_context(net, 7)
        runs[name] = _step(net, x, labels)
    print(f"training step over a base, Binary, batch {BATCH}, {INPUTS}-{width}-{width}-{CLASSES}")
    targets = {"base=True": 1.1} if width >= 2048 else {}
    _show(_minimum_times(runs, seconds), "base=False", targets)


def mixed(width: int, contexts: int, seconds: float) -> None:
    """Time a batch of 1024 samples that mixes contexts in the multi-layer perceptron."""
    x = torch.randn(1024, INPUTS)
    targets = {"mixed batch": 1.05 if width >= 2048 else 1.3}
    for over_base in (False, True):
        options: dict[str, Any] = {"base": over_base, "two_sided": False} if over_base else {}
        net = _superposed(_mlp(width), **options)
        name = f"{INPUTS}-{width}-{width}-{CLASSES}{' over a base' if over_base else ''}"
        _mixed(name, net, x, contexts, seconds, {} if over_base else targets)


def mixed_resnet(contexts: int, seconds: float) -> None:
    """Time mixed batches in a ResNet-18 of width 16 on small images. Needs torchvision."""
    for per_channel, target in ((False, 2.4), (True, 1.4)):
        net = _superposed(_resnet18(16), per_channel=per_channel).eval()
        name = f"ResNet-18 of width 16, 32 × 32 images{', per channel' if per_channel else ''}"
        _mixed(name, net, torch.randn(64, 3, 32, 32), contexts, seconds, {"mixed batch": target})


def mixed_llama(contexts: int, seconds: float) -> None:
    """Time mixed batches in a Llama of 4 layers of 256 units."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Embedding(512, 256), *(_LlamaLayer(256, 688) for _ in range(4)))
    plain.extend([nn.RMSNorm(256), nn.Linear(256, 512, bias=False)])
    net = _superposed(plain, exclude="6").eval()
    tokens = torch.randint(512, (50, 32))
    _mixed("Llama, 4 × 256, 32 tokens", net, tokens, contexts, seconds, {"mixed batch": 1.1})


class _LlamaLayer(nn.Module):
    """A layer of Llama with four heads, without rotary positions."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.before_attention, self.before_mlp = nn.RMSNorm(dim), nn.RMSNorm(dim)
        self.query, self.key, self.value, self.out = (
            nn.Linear(dim, dim, bias=False) for _ in range(4)
        )
        self.gate, self.up = (nn.Linear(dim, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before_attention(x)
        query, key, value = (
            layer(y).unflatten(-1, (4, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        y = self.before_mlp(x)
        added: Tensor = self.down(F.silu(self.gate(y)) * self.up(y))
        return x + added


def _superposed(net: nn.Module, **options: Any) -> nn.Module:
    options = {"base": False, **options}
    return superpose(net, family=BinaryContexts, num_contexts=CONTEXTS, seed=0, **options)


def _mixed(
    name: str,
    net: nn.Module,
    x: Tensor,
    contexts: int,
    seconds: float,
    targets: dict[str, float],
) -> None:
    """Time a batch that mixes contexts, one with one context, and one call per context."""
    context = torch.arange(len(x)) % contexts

    @torch.no_grad()
    def one_context() -> None:
        with use_context(net, 7):
            net(x)

    @torch.no_grad()
    def mixed_batch() -> None:
        with use_context(net, context):
            net(x)

    @torch.no_grad()
    def one_call_per_context() -> None:
        for k in range(contexts):
            with use_context(net, k):
                net(x[context == k])

    runs = {
        "one context": one_context,
        "mixed batch": mixed_batch,
        "one call per context": one_call_per_context,
    }
    print(f"forward pass, batch {len(x)} over {contexts} contexts, Binary, {name}")
    _show(_minimum_times(runs, seconds), "one context", targets)


def resnet(seconds: float) -> None:
    """Time a training step of ResNet-18 on small images. Needs torchvision."""
    plain = _resnet18(64)
    net = _superposed(plain, exclude="0")
    use_context(net, 7)
    x, labels = torch.randn(32, 3, 32, 32), torch.randint(CLASSES, (32,))
    runs = {"plain": _step(plain, x, labels), "BinaryContexts": _step(net, x, labels)}
    print("training step, batch 32, ResNet-18 on 32 × 32 images")
    _show(_minimum_times(runs, seconds), "plain", {"BinaryContexts": 1.05})


def disk() -> None:
    """Measure the bytes on disk for each added model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        sizes = []
        for num_contexts in (100, 999):  # the same number of digits: specs of equal length
            net = superpose(
                _mlp(256), family=BinaryContexts, num_contexts=num_contexts, seed=0, base=False
            )
            save(net, path)
            sizes.append(path.stat().st_size)
    print(f"on disk: {(sizes[1] - sizes[0]) / 899:.3g} bytes for each added model (target 0)")


def _mlp(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(INPUTS, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, CLASSES),
    )


def _resnet18(width: int) -> nn.Module:
    from torchvision.models.resnet import BasicBlock

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
    net.append(nn.ReLU())
    inputs = width
    for outputs in (width, 2 * width, 4 * width, 8 * width):
        for _ in range(2):
            stride, shortcut = (1, None) if outputs == inputs else (2, _shortcut(inputs, outputs))
            net.append(BasicBlock(inputs, outputs, stride, shortcut))
            inputs = outputs
    return net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES)])


def _shortcut(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))


def _step(net: nn.Module, x: Tensor, labels: Tensor) -> Callable[[], None]:
    net = copy.deepcopy(net)
    optimiser = torch.optim.RMSprop(net.parameters(), lr=1e-4)

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(net(x), labels).backward()
        optimiser.step()

    return step


def _minimum_times(runs: dict[str, Callable[[], None]], seconds: float) -> dict[str, float]:
    """Return the minimum time of each run over interleaved rounds, at least three of them."""
    minimum = dict.fromkeys(runs, math.inf)
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 4 or time.perf_counter() < end:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if rounds:  # the first round warms up
                minimum[name] = min(minimum[name], time.perf_counter() - start)
        rounds += 1
    return minimum


def _rotation_arithmetic(width: int) -> float:
    """Return the multiplications of a step with Haar rotations, as a multiple of the plain step."""
    plain = rotated = 0
    sizes = (INPUTS, width, width, CLASSES)
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        passes = 2 if layer == 0 else 3  # the gradient of the input is not needed
        plain += passes * BATCH * inputs * outputs
        # Forward and backward, on the input or on the weight. The first input has no gradient.
        binds = 1 if layer == 0 and outputs >= BATCH else 2
        rotated += binds * min(BATCH, outputs) * inputs**2
    return 1 + rotated / plain


def _show(times: dict[str, float], reference: str, targets: dict[str, float]) -> None:
    for name, seconds in times.items():
        ratio = seconds / times[reference]
        target = targets.get(name, math.nan)
        goal = "" if math.isnan(target) else f"  target {target:.2f}"
        print(f"  {name:<28}{seconds * 1e3:10.3f} ms {ratio:9.3f}{goal}")


if __name__ == "__main__":
    main()
