"""An open file of a superposition, or the part of it under a dotted name."""

import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from psp_nn._file_tensors import as_real
from psp_nn._save_format import (
    FORMAT,
    FORMAT_VERSION,
    MODEL_PART,
    Description,
    compute_digest,
    first_difference,
)


class FilePart:
    """Tensors and description of a part, under the names that they have in the part.

    Args:
        file: An open safetensors file.
        prefix: Dotted name of the part, empty for the whole file.
        caller: Beginning of errors.

    Raises:
        ValueError: If the file holds no superposition of a format that this release reads.
    """

    def __init__(self, file: Any, prefix: str, caller: str) -> None:
        self._file, self._prefix, self.caller = file, prefix, caller
        self._start = f"{prefix}." if prefix else ""
        self.metadata: Description = dict(file.metadata() or {})
        self._check_format()

    def keys(self) -> list[str]:
        """Return the names of the tensors."""
        names = self._file.keys()
        return [name.removeprefix(self._start) for name in names if name.startswith(self._start)]

    def get_slice(self, name: str) -> Any:
        """Return a tensor of which no data is read yet."""
        return self._file.get_slice(self._start + name)

    def described(self, entry: str) -> str:
        """Return what the description of the file says of this part, as JSON."""
        text = self.metadata.get(entry, "")
        if not self._prefix:
            return text
        try:
            described = json.loads(text).items()
        except (ValueError, AttributeError, RecursionError):
            return ""
        inside = {key: value for key, value in described if f"{key}.".startswith(self._start)}
        names = {key: key[len(self._prefix) :].removeprefix(".") for key in inside}
        return json.dumps({names[key]: value for key, value in inside.items()}, sort_keys=True)

    def read(self, expected: dict[str, Tensor]) -> dict[str, Tensor] | None:
        """Read the tensors of the part, and compare the whole file with its checksum.

        Returns:
            The tensors, or None if names, shapes or dtypes differ, or the file was altered.
        """
        # Shapes are checked first, so that a forged one allocates nothing.
        if set(self.keys()) != set(expected) or any(
            self.get_slice(name).get_shape() != list(as_real(value).shape)
            for name, value in expected.items()
        ):
            return None
        saved: dict[str, Tensor] = {}
        description = {key: text for key, text in self.metadata.items() if key != "digest"}
        try:
            digest = compute_digest(self._read_all(saved), description)
        except (ValueError, KeyError, TypeError):  # the description does not have a tensor
            return None
        if digest != self.metadata.get("digest"):
            return None
        for name, value in expected.items():
            if saved[name].dtype != value.real.dtype:
                return None
            if value.is_complex():
                saved[name] = torch.view_as_complex(saved[name])
        return saved

    def _read_all(self, saved: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors of the file by name, and add those of the part to `saved`."""
        for name in sorted(self._file.keys()):
            tensor = self._file.get_tensor(name)
            if name.startswith(self._start):
                saved[name.removeprefix(self._start)] = tensor
            yield name, tensor

    def check_content(self, *, one_model: bool) -> None:
        """Check that the file has the part, and one model, or all, as `load` was told.

        Raises:
            ValueError: If it does not.
        """
        if not self.keys():
            parts = sorted({name.split(".")[0] for name in self._file.keys()})
            names = ", ".join(map(repr, parts)) or "none"
            raise ValueError(f"{self.caller} has no tensors; the parts of the file are {names}.")
        holds_one = self.metadata.get("part") == MODEL_PART
        if holds_one and not one_model:
            raise ValueError(f"{self.caller} holds one model; pass the context that it becomes.")
        if one_model and not holds_one:
            raise ValueError(
                f"{self.caller} holds a whole network, not one model; leave out context."
            )

    def check_entry(self, entry: str, expected: Description) -> None:
        """Compare an entry of the description with that of the network.

        Raises:
            ValueError: If they differ.
        """
        described = self.described(entry)
        if described == expected[entry]:
            return
        difference = first_difference(described, expected[entry])
        if difference is None:
            raise self.altered()
        raise ValueError(f"{self.caller} was saved with another {entry.rstrip('s')}: {difference}.")

    def altered(self) -> ValueError:
        """Return the error of a file whose contents contradict each other."""
        return ValueError(
            f"{self.caller} has been altered: its contents do not match the saved digest; restore "
            "it from a copy."
        )

    def _check_format(self) -> None:
        if self.metadata.get("format") != FORMAT:
            raise ValueError(
                f"{self.caller} holds no superposition; it was not written by psp_nn.save."
            )
        version = self.metadata.get("format_version", "")
        if not (version.isascii() and version.isdigit() and len(version) < 9 and int(version)):
            raise self.altered()
        if int(version) > FORMAT_VERSION:
            raise ValueError(
                f"{self.caller} has format version {version}, but this release reads up to "
                f"{FORMAT_VERSION}."
            )
