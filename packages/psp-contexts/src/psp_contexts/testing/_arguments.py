"""Bad arguments, each refused by name: a table of calls, and the checks that run over it.

A table says of every public callable how it is called well, and of every argument which values it
refuses with which error. `refusals` takes it apart into single checks, and `missing_from` finds
what it forgot:

    @pytest.mark.parametrize("refusal", refusals(CALLS), ids=str)
    def test_bad_arguments_are_refused_by_name(refusal, record_property):
        record_property("bad arguments: package", refusal.check(Path(package.__file__).parent))
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Values = SearchStrategy[Any]

KINDS: dict[str, Values] = {
    "none": st.none(),
    "flag": st.booleans() | st.just(np.bool_(True)),
    "integer": st.integers() | st.just(np.int64(3)),
    "real": st.floats() | st.just(np.float32(0.5)),
    "complex": st.complex_numbers(),
    "text": st.text(max_size=4),
    "bytes": st.binary(max_size=4),
    "list": st.lists(st.integers() | st.text(max_size=2), max_size=3),
    "mapping": st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    "array": st.sampled_from([np.zeros(2), np.zeros((2, 4), np.int64), np.array(0.5)]),
    "tensor": st.sampled_from(
        [torch.zeros(2), torch.tensor(0.5), torch.tensor(True), torch.zeros(0).long()]
    ),
    "dtype": st.sampled_from([torch.float32, torch.int64, np.float64]),
    "object": st.builds(object) | st.just(len),
}
"""Whatever a careless caller may pass, by kind."""


def other_than(*kinds: str) -> Values:
    """Values of every kind but these, which are keys of `KINDS`."""
    assert set(kinds) <= set(KINDS)
    return st.one_of([values for kind, values in KINDS.items() if kind not in kinds])


@dataclass(frozen=True)
class Call:
    """One public callable, called well, and the values that each argument refuses.

    Args:
        name: "function", "Class" for what makes one, "Class.method".
        functions: What to call, one of them each time; methods bound to their objects.
        valid: Good values of all arguments by name, each time anew.
        refused: For each argument the bad values by the error that they lead to. An argument for
            which anything will do is listed with an empty mapping.
    """

    name: str
    functions: Sequence[Callable[..., Any]]
    valid: Callable[[], dict[str, Any]]
    refused: Mapping[str, Mapping[type[Exception], Values]]


@dataclass(frozen=True)
class Refusal:
    """One argument of one call, and values that must lead to one error."""

    call: Call
    argument: str
    error: type[Exception]
    values: Values

    def __str__(self) -> str:
        """The name of the test."""
        return f"{self.call.name}-{self.argument}-{self.error.__name__}"

    def check(self, source: Path) -> int:
        """Pass bad values; each must be refused by the code in `source`, naming the argument.

        Returns:
            How many were tried.

        Raises:
            AssertionError: If one is taken, or refused in another way, with the simplest found.
        """
        tried = 0

        @settings(
            max_examples=number_of_cases(),
            # On an ordinary day the same cases each time; when it is to be thorough, new ones.
            derandomize=number_of_cases() < 5,
            deadline=None,
            database=None,
        )
        @given(function=st.sampled_from(self.call.functions), value=self.values)
        def run(function: Callable[..., Any], value: Any) -> None:
            nonlocal tried
            tried += 1
            with pytest.raises(self.error) as caught:
                function(**{**self.call.valid(), self.argument: value})
            assert caught.type is self.error
            caught.match(rf"(?<!\w){self.argument}(?!\w)")
            raised_in = Path(str(caught.traceback[-1].path))
            assert source in raised_in.parents, f"raised deep inside, in {raised_in}"

        run()
        return tried


def number_of_cases() -> int:
    """How many values to try for each argument and error: 2, or as the profile has more."""
    return max(2, settings().max_examples // 50)


def refusals(calls: Sequence[Call]) -> list[Refusal]:
    """The table as single checks."""
    return [
        Refusal(call, argument, error, values)
        for call in calls
        for argument, errors in call.refused.items()
        for error, values in errors.items()
    ]


def missing_from(calls: Sequence[Call], modules: Sequence[ModuleType]) -> set[str]:
    """What the modules export and the table does not list, as "callable(argument)"."""
    listed = {(call.name, argument) for call in calls for argument in call.refused}
    return {
        f"{name}({argument.name})"
        for name, function in _public_callables(modules)
        for argument in inspect.signature(function).parameters.values()
        if argument.name != "self"
        if argument.kind not in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL)
        if (name, argument.name) not in listed
    }


def _public_callables(modules: Sequence[ModuleType]) -> Iterator[tuple[str, Callable[..., Any]]]:
    for module in modules:
        own = [name for name, value in vars(module).items() if _is_of(module, name, value)]
        for public in getattr(module, "__all__", own):
            value = getattr(module, public)
            if inspect.isfunction(value):
                yield public, value
            elif isinstance(value, type):
                yield from _of_class(value)


def _is_of(module: ModuleType, name: str, value: Any) -> bool:
    return not name.startswith("_") and getattr(value, "__module__", None) == module.__name__


def _of_class(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    if not inspect.isabstract(cls) and not issubclass(cls, Enum):  # whose members are there
        yield cls.__name__, cls
    for name, value in vars(cls).items():
        if isinstance(value, classmethod | staticmethod):
            value = getattr(cls, name)
        if inspect.isroutine(value) and not name.startswith("_"):
            yield f"{cls.__name__}.{name}", value
