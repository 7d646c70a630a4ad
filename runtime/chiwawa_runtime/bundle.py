"""What a generated file imports: its tables as literals in, a ``Bundle`` out.

The tables are kept as text until something needs them: a large program has many, and most of its
functions are never suspended, trapped in, or even called.
"""

from __future__ import annotations

import base64
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any, Protocol

from chiwawa_runtime.engine.deferred import Deferred
from chiwawa_runtime.state.program import (
    CallPoint,
    Constant,
    DataSpec,
    ElemSpec,
    ImportSpec,
    Points,
    Program,
    functype,
    globaltype,
    memorytype,
    spelled,
    tabletype,
)
from chiwawa_runtime.state.stacks import Stack, popped, pushed
from chiwawa_runtime.state.types import ExternType, FuncType


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
    def points(self) -> Points:
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
    def points(self) -> Points:
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
        return Points(spelled(self._locals), stops, places)


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

    def instantiate(self, imports: Mapping[str, Mapping[str, Any]] | None = None) -> Any:
        """An ``Instance`` whose start function has run. Raises UnlinkableError and Trap."""
        from chiwawa_runtime.engine.generated import GeneratedEngine
        from chiwawa_runtime.run.driver import instantiate

        return instantiate(self.program, imports or {}, GeneratedEngine(self))


def unpack(packed: str) -> bytes:
    return zlib.decompress(base64.b85decode(packed))


def extern(description: tuple[Any, ...]) -> ExternType:
    makers: dict[str, Callable[..., ExternType]] = {
        "func": functype,
        "table": tabletype,
        "memory": memorytype,
        "global": globaltype,
    }
    kind, *rest = description
    return makers[kind](*rest)


def bundle(
    *,
    name: str,
    hash: str,
    granularity: str,
    canonical_nans: bool = False,
    types: Sequence[str],
    imports: Sequence[tuple[str, str, tuple[Any, ...]]],
    functions: Sequence[int],
    function_names: Mapping[int, str],
    tables: Sequence[tuple[Any, ...]],
    memories: Sequence[tuple[Any, ...]],
    globals: Sequence[tuple[tuple[Any, ...], Constant]],
    exports: Sequence[tuple[str, str, int]],
    start: int | None,
    elems: Sequence[tuple[str, Sequence[Any], int, Constant | None]],
    datas: Sequence[tuple[int, int, int, Constant | None]],
    recursive: Sequence[int],
    imported_names: Sequence[str],
    codes: Sequence[tuple[Any, ...]],
    module: str,
) -> Bundle:
    """What the end of a generated file says."""
    functypes = [functype(t) for t in types]
    specs = [ImportSpec(m, n, extern(d)) for m, n, d in imports]

    def space(kind: type, defined: list[Any]) -> list[Any]:
        return [*(s.type for s in specs if isinstance(s.type, kind)), *defined]

    from chiwawa_runtime.state.types import GlobalType, MemoryType, TableType

    func_space = space(FuncType, [functypes[i] for i in functions])
    binary = unpack(module) if datas else b""
    program = Program(
        name=name,
        hash=bytes.fromhex(hash),
        functions=func_space,
        imports=specs,
        function_names=function_names,
        tables=space(TableType, [extern(t) for t in tables]),
        memories=space(MemoryType, [extern(m) for m in memories]),
        globals=space(GlobalType, [extern(t) for t, _ in globals]),
        globals_init=[init for _, init in globals],
        exports=exports,
        start=start,
        elems=[ElemSpec(mode, init, table, offset) for mode, init, table, offset in elems],
        datas=[
            DataSpec(binary[at : at + size], memory, offset) for at, size, memory, offset in datas
        ],
        recursive=frozenset(recursive),
    )
    own = [WrittenCode(row, functypes, func_space) for row in codes]
    return Bundle(program, own, functypes, granularity, imported_names, module, canonical_nans)


def run_file(file: Bundle) -> None:
    """``python FILE …``: the program, as ``chiwawa run FILE …`` runs it."""
    from chiwawa_runtime.command.main import main

    sys.exit(main(file, sys.argv[1:]))
