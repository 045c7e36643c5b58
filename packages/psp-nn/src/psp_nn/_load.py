"""Reading superpositions from files, and comparing them with the network."""

import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from psp_nn._context_index import num_contexts_of, superposed_layers, unwrapped
from psp_nn._file_tensors import (
    as_real,
    first_entries,
    model_tensors,
    output_dims,
    state_tensors,
    with_saved_rows,
    without_base_entries,
)
from psp_nn._save import with_path
from psp_nn._save_format import (
    FORMAT,
    FORMAT_VERSION,
    MODEL_PART,
    Description,
    compute_digest,
    describe,
    describe_model,
    first_difference,
    grouped_layers,
)
from psp_nn.layers.linear_per_context import LinearPerContext
from psp_nn.layers.model_record import ModelRecord


def load(
    path: str | os.PathLike[str], *, into: nn.Module, context: int | str | Tensor | None = None
) -> None:
    """Read a file into a network that was superposed in the same way as the saved one.

    The network may have room for more models than the file holds, as after `grow`. Norms and
    biases of the further models stay as they are.

    No more is read than the network itself takes, and all of it is compared with a checksum.

    Args:
        path: A file that `save` wrote.
        into: The network. Nothing in it changes unless the whole file fits.
        context: For a file of one model, the index or name of the model that it becomes. It need
            not be the one that was saved.

    Raises:
        FileNotFoundError: If there is no file.
        IndexError, TypeError: As in `use_context`.
        OSError: If the file cannot be read.
        ValueError: If the file is truncated, altered, of a newer version or of another format, or
            was saved from another architecture, with other contexts or more models; or it holds
            one model and `context` is missing, or all and it is given; or `into` is not
            superposed, or has a tensor that cannot be written to.
    """
    path, into = Path(path), unwrapped(into)
    caller = f"load: path {path}"
    tensors = _tensors(into, context)
    for name, value in tensors.items():
        sizes = zip(value.stride(), value.shape, strict=True)
        if any(step == 0 and size > 1 for step, size in sizes):
            raise ValueError(f"load: in into, '{name}' is an expanded view; clone it first.")
    if not path.is_file():
        raise FileNotFoundError(f"{caller} is not a file.")
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            metadata = dict(file.metadata() or {})
            _check_format(caller, metadata)
            _check_content(caller, metadata, context)
            if context is None:
                if int(metadata["format_version"]) == 1:
                    tensors = without_base_entries(into, tensors)
                num_contexts = _saved_num_contexts(caller, metadata, into)
                tensors = first_entries(into, tensors, num_contexts)
                tensors = with_saved_rows(into, tensors, file)
                expected = describe(into, tensors, num_contexts)
            else:
                tensors = with_saved_rows(into, tensors, file)
                expected = describe_model(into, tensors)
            _check_part(caller, "architecture", metadata, expected)
            saved = _read(file, tensors)
    except SafetensorError as error:
        raise ValueError(f"{caller} is truncated or not a safetensors file: {error}") from error
    except OSError as error:
        raise with_path(error, f"{caller} cannot be read") from error
    if saved is None or metadata.pop("digest", "") != compute_digest(saved, metadata):
        raise _altered(caller)
    _check_part(caller, "contexts", metadata, expected)
    if context is None:
        record, models = superposed_layers(into)[0].superposition.models, metadata.get("models")
        try:
            record.read_json(models or ModelRecord().to_json(), num_contexts)
        except ValueError as error:
            raise _altered(caller) from error
    _write(into, context, saved)


def _tensors(into: nn.Module, context: int | str | Tensor | None) -> dict[str, Tensor]:
    if context is None:
        return state_tensors("load", "into", into)
    return model_tensors("load", "into", into, context)


def _check_format(caller: str, metadata: Description) -> None:
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{caller} holds no superposition; it was not written by psp_nn.save.")
    version = metadata.get("format_version", "")
    if not (version.isascii() and version.isdigit() and len(version) < 9 and int(version)):
        raise _altered(caller)
    if int(version) > FORMAT_VERSION:
        raise ValueError(
            f"{caller} has format version {version}, but this release reads up to {FORMAT_VERSION}."
        )


def _check_content(caller: str, metadata: Description, context: int | str | Tensor | None) -> None:
    """Check that a file holds one model, or all, as the call says."""
    holds_one = metadata.get("part") == MODEL_PART
    if holds_one and context is None:
        raise ValueError(f"{caller} holds one model; pass the context that it becomes.")
    if not holds_one and context is not None:
        raise ValueError(f"{caller} holds a whole network, not one model; leave out context.")


def _saved_num_contexts(caller: str, metadata: Description, into: nn.Module) -> int:
    """Return the number of models in a file, at most that of the network."""
    present = num_contexts_of(superposed_layers(into))
    if int(metadata["format_version"]) == 1:
        grouped = ", ".join(map(repr, grouped_layers(into)))
        if grouped:
            raise ValueError(
                f"{caller} has format version 1, in which grouped layers ({grouped}) have other "
                "contexts; retrieve its models with the release that wrote it, and store them in "
                "a new superposition."
            )
        return present
    number = metadata.get("num_contexts", "")
    if not (number.isascii() and number.isdigit() and len(number) < 20 and int(number)):
        raise _altered(caller)
    if int(number) > present:
        raise ValueError(
            f"{caller} holds {int(number)} models, but the network has room for {present}; call "
            f"grow(net, {int(number)}) first."
        )
    return int(number)


def _check_part(caller: str, part: str, metadata: Description, expected: Description) -> None:
    if metadata.get(part) == expected[part]:
        return
    difference = first_difference(metadata.get(part, ""), expected[part])
    if difference is None:
        raise _altered(caller)
    raise ValueError(f"{caller} was saved with another {part.rstrip('s')}: {difference}.")


def _read(file: Any, expected: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Read the tensors of a file, or return None if names, shapes or dtypes differ."""
    if set(file.keys()) != set(expected):
        return None
    saved = {}
    for name, value in expected.items():
        # The shape is checked first, so that a forged one allocates nothing.
        if file.get_slice(name).get_shape() != list(as_real(value).shape):
            return None
        tensor: Tensor = file.get_tensor(name)
        if tensor.dtype != value.real.dtype:
            return None
        saved[name] = torch.view_as_complex(tensor) if value.is_complex() else tensor
    return saved


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


def _altered(caller: str) -> ValueError:
    return ValueError(
        f"{caller} has been altered: its contents do not match the saved digest; restore it from a "
        "copy."
    )
