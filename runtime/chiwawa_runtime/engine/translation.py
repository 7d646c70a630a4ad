"""A translated program, as the engine takes it: its functions, and what is known of each.

The tables are kept as text until something needs them: a large program has many, and most of its
functions are never suspended, trapped in, or even called.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any, Protocol

from chiwawa_runtime.engine.deferred import Deferred
from chiwawa_runtime.state.program import (
    CallPoint,
    Program,
    SuspensionPoints,
    spelled,
)
from chiwawa_runtime.state.stacks import Stack, popped, pushed
from chiwawa_runtime.state.types import FuncType


class Code(Protocol):
    """A generated function. ``generator`` says whether it can be suspended, ``first_line`` is that
    of its ``def`` as it was written, ``slots`` how many stack variables a resumed frame has."""

    @property
    def function(self) -> Any:
        """A FunctionType, or a ``Deferred``."""

    @property
    def generator(self) -> bool: ...
    @property
    def first_line(self) -> int: ...
    @property
    def slots(self) -> int: ...
    @property
    def lines(self) -> Mapping[int, int]:
        """The code offset that a line stands for, the ``def`` being line 0."""

    @property
    def points(self) -> SuspensionPoints:
        """Where it can be suspended."""


class WrittenCode:
    """A function of a generated file."""

    def __init__(
        self, row: tuple[Any, ...], types: Sequence[FuncType], functions: Sequence[FuncType]
    ) -> None:
        """``row`` is as ``chiwawa.aot.file`` writes it."""
        self.function: FunctionType | Deferred
        self.generator: bool
        self.first_line: int
        self.slots: int
        self.function, self.generator, self.first_line, self.slots, *texts = row
        self._locals, self._lines, self._safepoints, self._calls = texts
        self._types, self._functions = types, functions

    @cached_property
    def lines(self) -> Mapping[int, int]:
        pairs = (entry.split(":") for entry in self._lines.split())
        return {int(line): int(offset) for line, offset in pairs}

    @cached_property
    def points(self) -> SuspensionPoints:
        stops = {}
        stacks = Stacks()
        for entry in self._safepoints.split():
            offset, _, stack = entry.partition(":")
            stops[int(offset)] = stacks.read(stack)
        places = {}
        stacks = Stacks()
        for entry in self._calls.split():
            offset, stack, callee = entry.split(":")
            below = stacks.read(stack)
            if callee.endswith("t"):
                call = CallPoint(below, self._types[int(callee[:-1])], None)
            else:
                call = CallPoint(below, self._functions[int(callee)], int(callee))
            places[int(offset)] = call
        return SuspensionPoints(spelled(self._locals), stops, places)


class Stacks:
    """Reads the operand types of places in a row: letters or, with a number and ``*`` before them,
    what is on top of so many operands of the place before."""

    def __init__(self) -> None:
        self.last: Stack = None
        self.height = 0

    def read(self, text: str) -> Stack:
        shared, _, letters = text.rpartition("*")
        height = int(shared or 0)
        below = popped(self.last, self.height - height) if shared else None
        self.last = pushed(below, spelled(letters))
        self.height = height + len(letters)
        return self.last


@dataclass(frozen=True)
class Bundle:
    """Everything that a generated file offers. ``codes`` are of its own functions, in order;
    ``imported_names`` what its code calls the imported ones; ``packed`` the module's binary, as the
    file has it or as it is; ``canonical_nans`` whether every NaN that arithmetic makes is the
    canonical one."""

    program: Program
    codes: Sequence[Code]
    types: Sequence[FuncType]
    granularity: str
    imported_names: Sequence[str]
    packed: str | bytes
    canonical_nans: bool = False

    @cached_property
    def module(self) -> bytes:
        """The module's binary."""
        return unpack(self.packed) if isinstance(self.packed, str) else self.packed


def unpack(packed: str) -> bytes:
    return zlib.decompress(base64.b85decode(packed))
