"""What a running program needs to know of its module: everything but code.

The interpreter's side makes a ``Program`` from a decoded module; a generated file holds one as
literals (``program_literals``). So the running side needs no decoder.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chiwawa_runtime.errors import Location
from chiwawa_runtime.state import heap
from chiwawa_runtime.state.data_segments import Contents
from chiwawa_runtime.state.numerics import NAMESPACE
from chiwawa_runtime.state.on_demand import OnDemand
from chiwawa_runtime.state.stacks import Stack, unrolled
from chiwawa_runtime.state.types import (
    FUNCREF,
    DefType,
    ExternType,
    FuncType,
    GlobalType,
    ItemType,
    MemoryType,
    RefType,
    TableType,
    TagType,
    ValType,
    item_type,
)
from chiwawa_runtime.state.vectors import named

#: What the source of a constant expression may name, beside ``x``.
CONSTANT_NAMES: dict[str, Any] = {**NAMESPACE, **heap.NAMES, "inf": float("inf")}


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant expression, as Python source in which ``x`` is the instance."""

    source: str

    def __call__(self, instance: object) -> Any:
        """Its value in ``instance``, a ``ModuleInstance`` whose imports are there already."""
        if self.source.isdecimal():
            return int(self.source)
        code = compile(self.source, "<constant>", "eval")
        return eval(code, CONSTANT_NAMES, {"x": instance, **named(code.co_names)})

    @property
    def place(self) -> int:
        """What it is, where it is a number that a memory may have a place for; else ``NOWHERE``."""
        number = int(self.source) if self.source.isdecimal() else NOWHERE
        return number if number < MOST_PLACES else NOWHERE


@dataclass(frozen=True, slots=True)
class ImportType:
    """What a module imports, as embedders see it.

    >>> module = chiwawa.load('(module (import "env" "log" (func (param i32))))')
    >>> module.imports
    (<import "env" "log": [i32] -> []>,)
    >>> module.imports[0].module, module.imports[0].name, module.imports[0].type.params
    ('env', 'log', (i32,))
    """

    module: str
    name: str
    type: ItemType

    def __repr__(self) -> str:
        return f'<import "{self.module}" "{self.name}": {self.type}>'


@dataclass(frozen=True, slots=True)
class ExportType:
    """What a module exports, as embedders see it.

    >>> module = chiwawa.load('(module (memory (export "memory") 1 2))')
    >>> module.exports
    (<export "memory": 1 2>,)
    >>> module.exports[0].name, module.exports[0].type.max
    ('memory', 2)
    """

    name: str
    type: ItemType

    def __repr__(self) -> str:
        return f'<export "{self.name}": {self.type}>'


@dataclass(frozen=True, slots=True)
class ImportSpec:
    module: str
    name: str
    type: ExternType


@dataclass(frozen=True, slots=True)
class ElemSpec:
    """``init``: a function index, None (null), or a constant expression, for each element.
    ``offset`` is there where the segment is active; ``declarative`` segments start dropped.
    ``type`` is that of the elements."""

    mode: str
    init: Sequence[int | Constant | None]
    tableidx: int = 0
    offset: Constant | None = None
    type: RefType = FUNCREF


@dataclass(frozen=True, slots=True)
class DataSpec:
    """``content`` is in the module's binary, from ``at`` on. ``offset`` is there where the segment
    is active."""

    content: bytes
    at: int
    memidx: int = 0
    offset: Constant | None = None


#: The place of a data segment of which a number alone does not say where it is put.
NOWHERE = -1
#: Places that are more than this are none that any memory has.
MOST_PLACES = 1 << 63


class DataSpecs(OnDemand[DataSpec]):
    """Data segments, as columns: their ``contents``, and the number that is the offset of each in
    memory 0 (``places``), as nearly all have, or ``NOWHERE``: ``others`` has the memory and the
    offset then."""

    __slots__ = ("contents", "others", "places")

    def __init__(
        self,
        contents: Contents,
        places: Sequence[int],
        others: Mapping[int, tuple[int, Constant | None]],
    ) -> None:
        self.contents = contents
        self.places = places
        self.others = others

    @classmethod
    def of(
        cls, binary: bytes = b"", rows: Iterable[tuple[int, int, int, Constant | None]] = ()
    ) -> DataSpecs:
        """Of a row for each: where its content is in ``binary``, how long, the memory, the
        offset."""
        at, sizes, places = array("Q"), array("Q"), array("q")
        others = {}
        for index, (start, size, memidx, offset) in enumerate(rows):
            place = NOWHERE if memidx or offset is None else offset.place
            if place == NOWHERE:
                others[index] = memidx, offset
            at.append(start)
            sizes.append(size)
            places.append(place)
        return cls(Contents(binary, at, sizes), places, others)

    def __len__(self) -> int:
        return len(self.places)

    def made(self, index: int) -> DataSpec:
        place = self.places[index]
        memidx, offset = (0, Constant(str(place))) if place >= 0 else self.others[index]
        return DataSpec(self.contents[index], self.contents.at[index], memidx, offset)

    def active(self, instance: object) -> Iterator[tuple[int, int, int, bytes]]:
        """Those that are placed in a new instance: the index, the memory, where in it, and what."""
        columns = zip(self.places, self.contents, strict=True)
        for index, (place, content) in enumerate(columns):
            memidx, address = 0, place
            if place < 0:
                memidx, offset = self.others[index]
                if offset is None:
                    continue
                address = offset(instance)
            yield index, memidx, address, content


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

    def may_leave(self, imported: int) -> bool:
        """Whether it may be a call of another instance's function, in a module that imports so many
        functions."""
        return self.function is None or self.function < imported


@dataclass(frozen=True, slots=True)
class SuspensionPoints:
    """Where a function may be suspended, by code offset. ``safepoints`` has the operand types;
    ``locals`` the types of all locals, parameters first; ``unset`` which of them have no value at a
    boundary, where there are such."""

    locals: tuple[ValType, ...]
    safepoints: Mapping[int, Stack]
    calls: Mapping[int, CallPoint]
    unset: Mapping[int, Collection[int]] = field(default_factory=dict)

    def operands(self, offset: int) -> tuple[ValType, ...] | None:
        """The operand types at a safepoint; None where there is none."""
        return unrolled(self.safepoints[offset]) if offset in self.safepoints else None


@dataclass(frozen=True, slots=True)
class Program:
    """``hash`` is the SHA-256 of the module's binary, ``types`` the types that it defines, all
    types are closed. Index spaces are whole (imports first) unless said otherwise;
    ``globals_init`` is only of those defined, ``tables_init`` what those tables are full of, by
    index, that are not full of null. ``exports`` are a name, a kind (func, table, memory, global,
    tag) and an index."""

    name: str
    hash: bytes
    types: Sequence[DefType]
    functions: Sequence[DefType]
    imports: Sequence[ImportSpec] = ()
    function_names: Mapping[int, str] = field(default_factory=dict)
    tables: Sequence[TableType] = ()
    tables_init: Mapping[int, Constant] = field(default_factory=dict)
    memories: Sequence[MemoryType] = ()
    globals: Sequence[GlobalType] = ()
    globals_init: Sequence[Constant] = ()
    tags: Sequence[TagType] = ()
    exports: Sequence[tuple[str, str, int]] = ()
    start: int | None = None
    elems: Sequence[ElemSpec] = ()
    datas: DataSpecs = field(default_factory=DataSpecs.of)
    #: The functions whose frames count towards exhaustion of the call stack.
    recursive: frozenset[int] = frozenset()
    #: Of the functions that make tail calls, by index: which they call so by name, and the indices
    #: of the types of those that they call so through tables.
    tail_calls: Mapping[int, tuple[Sequence[int], Sequence[int]]] = field(default_factory=dict)

    @property
    def import_types(self) -> tuple[ImportType, ...]:
        return tuple(ImportType(i.module, i.name, item_type(i.type)) for i in self.imports)

    @property
    def export_types(self) -> tuple[ExportType, ...]:
        spaces: dict[str, Sequence[Any]] = {
            "func": self.functions,
            "table": self.tables,
            "memory": self.memories,
            "global": self.globals,
            "tag": self.tags,
        }
        return tuple(
            ExportType(name, item_type(spaces[kind][index])) for name, kind, index in self.exports
        )

    def located(self, function: int, offset: int) -> Location:
        """A place in its code, as backtraces have it."""
        name = self.function_names.get(function)
        return Location(function, offset, name, module=self.hash)

    def imported(self, kind: type) -> int:
        """How many imports are of ``kind``."""
        return sum(isinstance(i.type, kind) for i in self.imports)
