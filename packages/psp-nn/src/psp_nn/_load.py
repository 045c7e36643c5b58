"""Reading superpositions from files, and comparing them with the network."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from psp_nn._context_index import is_part, num_contexts_of, superposed_layers, unwrapped
from psp_nn._file_part import FilePart
from psp_nn._file_tensors import (
    first_entries,
    model_tensors,
    output_dims,
    state_tensors,
    with_saved_rows,
    without_base_entries,
)
from psp_nn._save import with_path
from psp_nn._save_format import describe, describe_model, grouped_layers
from psp_nn.layers.linear_per_context import LinearPerContext
from psp_nn.layers.model_record import ModelRecord


def load(
    path: str | os.PathLike[str],
    *,
    into: nn.Module,
    context: int | str | Tensor | None = None,
    prefix: str = "",
) -> None:
    """Read a file into a network that was superposed in the same way as the saved one.

    The network may have room for more models than the file holds, as after `grow`. Norms and
    biases of the further models stay as they are.

    A part of the saved network is read with `prefix`, and `into` may be part of a larger network.
    Its contexts must be those of the saved part: the two have the same dotted name in the networks
    that `superpose` returned, or `superpose(…, prefix=…)` was told. Whether a context holds a
    model is known then, but not which one, so that `remove` refuses it.

    No more is kept in memory than the network itself takes, and the whole file is compared with a
    checksum.

    Args:
        path: A file that `save` wrote.
        into: The network. Nothing in it changes unless the whole file fits.
        context: For a file of one model, the index or name of the model that it becomes. It need
            not be the one that was saved.
        prefix: Dotted name that `into` has in the saved network, of which the rest is left out.

    Raises:
        FileNotFoundError: If there is no file.
        IndexError, TypeError: As in `use_context`.
        OSError: If the file cannot be read.
        ValueError: If the file is truncated, altered, of a newer version or of another format, or
            was saved from another architecture, with other contexts or more models, or has no
            part `prefix`; or it holds one model and `context` is missing, or all and it is given;
            or `into` is not superposed, or has a tensor that cannot be written to.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from psp_contexts import BinaryContexts
        >>> from psp_nn import load, save, superpose
        >>> options = {"family": BinaryContexts, "num_contexts": 50, "seed": 0, "base": False}
        >>> encoder, decoder = torch.nn.Linear(4, 3), torch.nn.Linear(3, 4)
        >>> net = torch.nn.ModuleDict({"encoder": encoder, "decoder": decoder})
        >>> net = superpose(net, **options)
        >>> part = superpose(torch.nn.Linear(4, 3), **options, prefix="encoder")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(net, f"{folder}/net.safetensors")
        ...     load(f"{folder}/net.safetensors", into=part, prefix="encoder")
        >>> torch.equal(part(torch.ones(4)), net["encoder"](torch.ones(4)))
        True
    """
    path, into = Path(path), unwrapped(into)
    caller = f"load: path {path}" + (f" under prefix={prefix!r}" if prefix else "")
    tensors = _tensors(into, context)
    for name, value in tensors.items():
        sizes = zip(value.stride(), value.shape, strict=True)
        if any(step == 0 and size > 1 for step, size in sizes):
            raise ValueError(f"load: in into, '{name}' is an expanded view; clone it first.")
    if not path.is_file():
        raise FileNotFoundError(f"{caller} is not a file.")
    try:
        with safe_open(os.fspath(path), framework="pt") as opened:
            file = FilePart(opened, prefix, caller)
            file.check_content(one_model=context is not None)
            if context is None:
                if int(file.metadata["format_version"]) == 1:
                    tensors = without_base_entries(into, tensors)
                num_contexts = _saved_num_contexts(file, into)
                tensors = first_entries(into, tensors, num_contexts)
                tensors = with_saved_rows(into, tensors, file)
                expected = describe(into, tensors, num_contexts)
            else:
                tensors = with_saved_rows(into, tensors, file)
                expected = describe_model(into, tensors)
            file.check_entry("architecture", expected)
            saved = file.read(tensors)
    except SafetensorError as error:
        raise ValueError(f"{caller} is truncated or not a safetensors file: {error}") from error
    except OSError as error:
        raise with_path(error, f"{caller} cannot be read") from error
    if saved is None:
        raise file.altered()
    file.check_entry("contexts", expected)
    if context is None:
        models, record = file.metadata.get("models"), ModelRecord()
        try:
            record.read_json(models or record.to_json(), num_contexts)
        except ValueError as error:
            raise file.altered() from error
        _set_record(into, record.of_part() if prefix else record)
    _write(into, context, saved)


def _tensors(into: nn.Module, context: int | str | Tensor | None) -> dict[str, Tensor]:
    if context is None:
        return state_tensors("load", "into", into)
    return model_tensors("load", "into", into, context)


def _saved_num_contexts(file: FilePart, into: nn.Module) -> int:
    """Return the number of models in a file, at most that of the network."""
    present = num_contexts_of(superposed_layers(into))
    if int(file.metadata["format_version"]) == 1:
        grouped = ", ".join(map(repr, grouped_layers(into)))
        if grouped:
            raise ValueError(
                f"{file.caller} has format version 1, in which grouped layers ({grouped}) have "
                "other contexts; retrieve its models with the release that wrote it, and store "
                "them in a new superposition."
            )
        return present
    number = file.metadata.get("num_contexts", "")
    if not (number.isascii() and number.isdigit() and len(number) < 20 and int(number)):
        raise file.altered()
    if int(number) > present:
        raise ValueError(
            f"{file.caller} holds {int(number)} models, but the network has room for {present}; "
            f"call grow(net, {int(number)}) first."
        )
    return int(number)


def _set_record(into: nn.Module, saved: ModelRecord) -> None:
    """Set the record of a network, or add to it what is known of a part."""
    record = superposed_layers(into)[0].superposition.models
    if is_part(into):
        refined = record.of_part().refined | saved.of_part().refined
        record.digests, record.refined = {}, refined
    else:
        record.names, record.digests, record.refined = saved.names, saved.digests, saved.refined


@torch.no_grad()
def _write(into: nn.Module, context: int | str | Tensor | None, saved: dict[str, Tensor]) -> None:
    """Write what a file holds to the first entries of the network's tensors, or to one model's."""
    for name, dim in output_dims(into).items():
        if name in saved:
            layer = into.get_submodule(name.rpartition(".")[0])
            assert isinstance(layer, LinearPerContext)
            layer.make_rows(saved[name].shape[dim])
    for name, value in _tensors(into, context).items():
        if name in saved:
            value[tuple(map(slice, saved[name].shape))].copy_(saved[name])
    for layer in superposed_layers(into):
        layer.select(layer.superposition.selection)
