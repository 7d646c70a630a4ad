"""What a running program needs to know of its module: everything but code.

The interpreter's side makes a ``Program`` from a decoded module; a generated file holds one as
literals, with the embedded module's own bytes for the contents of its data segments. So the running
side needs no decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chiwawa_runtime.state.stacks import Stack, unrolled
from chiwawa_runtime.state.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    ExternType,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
    ValType,
)

if TYPE_CHECKING:
    from chiwawa_runtime.engine.instance import ModuleInstance

#: A constant expression, compiled: it gets the instance, whose imports are there already.
Constant = Callable[["ModuleInstance"], Any]

#: Value types as letters, for the compact tables of generated files.
LETTERS: dict[str, ValType] = {
    "i": I32,
    "j": I64,
    "f": F32,
    "d": F64,
    "v": V128,
    "r": FUNCREF,
    "x": EXTERNREF,
}
LETTER_OF: dict[ValType, str] = {valtype: letter for letter, valtype in LETTERS.items()}


def spelled(letters: str) -> tuple[ValType, ...]:
    """``"ij"`` as (i32, i64)."""
    return tuple(LETTERS[letter] for letter in letters)


def functype(letters: str) -> FuncType:
    """``"ij:d"`` as [i32 i64] -> [f64]."""
    params, _, results = letters.partition(":")
    return FuncType(spelled(params), spelled(results))


def tabletype(element: str, min_: int, max_: int | None = None) -> TableType:
    element_type = LETTERS[element]
    return TableType(Limits(min_, max_), element_type)  # type: ignore[arg-type]


def memorytype(min_: int, max_: int | None = None) -> MemoryType:
    return MemoryType(Limits(min_, max_))


def globaltype(letter: str, mutable: bool) -> GlobalType:
    return GlobalType(LETTERS[letter], mutable)


@dataclass(frozen=True, slots=True)
class ImportSpec:
    module: str
    name: str
    type: ExternType


@dataclass(frozen=True, slots=True)
class ElemSpec:
    """``init``: a function index, None (null), or a constant expression, for each element.
    ``offset`` is there where the segment is active; ``declarative`` segments start dropped."""

    mode: str
    init: Sequence[int | Constant | None]
    tableidx: int = 0
    offset: Constant | None = None


@dataclass(frozen=True, slots=True)
class DataSpec:
    """``offset`` is there where the segment is active."""

    content: bytes
    memidx: int = 0
    offset: Constant | None = None


@dataclass(frozen=True, slots=True)
class CallPoint:
    """A call in progress: the operand types beneath it, and what it calls: a function index, or
    None for a call through a table, of a function of ``type``."""

    below: Stack
    type: FuncType
    function: int | None

    @property
    def stack(self) -> tuple[ValType, ...]:
        return unrolled(self.below)


@dataclass(frozen=True, slots=True)
class SuspensionPoints:
    """Where a function may be suspended, by code offset. ``safepoints`` has the operand types;
    ``locals`` the types of all locals, parameters first."""

    locals: tuple[ValType, ...]
    safepoints: Mapping[int, Stack]
    calls: Mapping[int, CallPoint]

    def operands(self, offset: int) -> tuple[ValType, ...] | None:
        """The operand types at a safepoint; None where there is none."""
        return unrolled(self.safepoints[offset]) if offset in self.safepoints else None


@dataclass(frozen=True, slots=True)
class Program:
    """Index spaces are whole (imports first) unless said otherwise. ``globals_init`` is only of
    those defined. ``points`` gives a defined function's suspension points by function index."""

    name: str
    hash: bytes
    functions: Sequence[FuncType]
    imports: Sequence[ImportSpec] = ()
    function_names: Mapping[int, str] = field(default_factory=dict)
    tables: Sequence[TableType] = ()
    memories: Sequence[MemoryType] = ()
    globals: Sequence[GlobalType] = ()
    globals_init: Sequence[Constant] = ()
    exports: Sequence[tuple[str, str, int]] = ()
    start: int | None = None
    elems: Sequence[ElemSpec] = ()
    datas: Sequence[DataSpec] = ()
    #: The functions whose frames count towards exhaustion of the call stack.
    recursive: frozenset[int] = frozenset()

    def imported(self, kind: type) -> int:
        """How many imports are of ``kind``."""
        return sum(isinstance(i.type, kind) for i in self.imports)
