"""Superpose the networks that people use, and print what works as a table.

    python packages/psp-nn/networks/check.py                 # or nox -s networks
    python packages/psp-nn/networks/check.py transformers    # names that contain this

Each network is superposed over itself as the base. Then model 0 and what `retrieve` returns are
compared with it, one step is trained, the superposition is saved and loaded, and a batch that
mixes contexts is compared with one call per sample.
"""

import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from psp_contexts import BinaryContexts
from psp_nn import load, parameter_groups, report, retrieve, save, superpose, use_context

OPTIONS: dict[str, Any] = {"family": BinaryContexts, "num_contexts": 5, "seed": 0, "base": True}
COLUMNS = ("network", "shared", "as the base", "retrieved", "trained", "saved", "mixed batch")


def check(build: Callable[[], tuple[nn.Module, dict[str, Any]]]) -> list[str]:
    """Return the cells of a network's row after its name."""
    torch.manual_seed(0)
    plain, inputs = build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = superpose(plain, **OPTIONS)
    layers = report(net).layers
    left = sum(layer.parameters_before for layer in layers if not layer.superposed)
    share = left / sum(layer.parameters_before for layer in layers)
    cells = [f"{share:.1%}", _verdict(lambda: _same(run(net, inputs), run(plain, inputs)))]
    cells.append(_verdict(lambda: _retrieves(net, inputs)))
    cells.append(_verdict(lambda: _trains(net, inputs)))
    cells.append(_verdict(lambda: _saves(net, plain, inputs)))
    cells.append(_verdict(lambda: _mixes(net, inputs)))
    return cells


@torch.no_grad()
def run(net: nn.Module, inputs: dict[str, Any]) -> Tensor:
    """Return the first output of a network, in evaluation mode."""
    return _first(net.eval()(**inputs) if "x" not in inputs else net.eval()(inputs["x"]))


def _first(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def _verdict(action: Callable[[], None]) -> str:
    try:
        action()
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:60]}"
    return "yes"


def _same(value: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-4)


def _retrieves(net: nn.Module, inputs: dict[str, Any]) -> None:
    with use_context(net, 3):
        expected = run(net, inputs)
    _same(run(retrieve(net, 3), inputs), expected)


def _trains(net: nn.Module, inputs: dict[str, Any]) -> None:
    optimiser = torch.optim.AdamW(parameter_groups(net, weight_decay=0.1), lr=1e-3)
    with use_context(net, 2):
        before = run(net, inputs)
        output = net.eval()(**inputs) if "x" not in inputs else net.eval()(inputs["x"])
        (_first(output) - 1).square().mean().backward()  # some heads start with zero outputs
        optimiser.step()
        if torch.equal(run(net, inputs), before):
            raise ValueError("nothing was trained")


def _saves(net: nn.Module, plain: nn.Module, inputs: dict[str, Any]) -> None:
    other = superpose(plain, **OPTIONS)
    with tempfile.TemporaryDirectory() as folder:
        save(net, f"{folder}/net.safetensors")
        load(f"{folder}/net.safetensors", into=other)
    with use_context(net, 2), use_context(other, 2):
        _same(run(other, inputs), run(net, inputs))


def _mixes(net: nn.Module, inputs: dict[str, Any]) -> None:
    with torch.no_grad():  # so that all models differ
        for value in net.parameters():
            value.add_(torch.randn_like(value) * value.square().mean().sqrt() / 10)
    index, alone = torch.tensor([4, 0, 2]), []
    for k, context in enumerate(index.tolist()):
        with use_context(net, context):
            alone.append(run(net, {name: x[k : k + 1] for name, x in inputs.items()}))
    with use_context(net, index):
        mixed = run(net, inputs)
    _same(mixed, torch.cat(alone))
    with use_context(net, 1):
        if torch.allclose(run(net, inputs), mixed, rtol=1e-2):
            raise ValueError("the models do not differ")


def main(part: str = "") -> None:
    """Print the table, and end with an error unless every network passes."""
    from zoo import zoo  # beside this file

    print("|", " | ".join(COLUMNS), "|\n|", " | ".join("---" for _ in COLUMNS), "|")
    failed = total = 0
    for name, build in zoo():
        if part not in name:
            continue
        try:
            cells = check(build)
        except Exception as error:
            cells = [f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"]
        total += 1
        failed += cells[1:] != ["yes"] * 5
        print("|", " | ".join([name, *cells]), "|", flush=True)
    print(f"\n{total - failed} of {total} networks pass.")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
