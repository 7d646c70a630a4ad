"""A decoded module: the nouns of the spec's chapter on structure (2.5), as plain data.

It is what the binary decoder and the text parser make, the validator judges, and the printer, the
encoder, the interpreter and the translator read. It knows no bytes and no text, but it keeps each
instruction's code offset, because a boundary is named by it.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

from chiwawa.opcodes import TABLE, Op
from chiwawa.places import Places
from chiwawa_runtime.names import function_names
from chiwawa_runtime.state.deftypes import close, define
from chiwawa_runtime.state.on_demand import OnDemand
from chiwawa_runtime.state.program import MOST_PLACES, NOWHERE, ExportType, ImportType
from chiwawa_runtime.state.types import (
    CompType,
    DefType,
    ExternType,
    FuncType,
    GlobalType,
    MemoryType,
    RefType,
    SubType,
    TableType,
    TagType,
    ValType,
    item_type,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MemArg:
    """Spec 2.4.7: ``align`` is the exponent, ``offset`` is in bytes, unsigned."""

    align: int
    offset: int
    memidx: int = 0


@dataclass(frozen=True, slots=True)
class BrTable:
    """The label vector of br_table, and its default."""

    labels: tuple[int, ...]
    default: int


@dataclass(frozen=True, slots=True)
class Catch:
    """A clause of try_table: of a tag, or with None of any; ``ref`` says that the label takes the
    exception itself besides (``catch_ref``, ``catch_all_ref``)."""

    tagidx: int | None
    ref: bool
    labelidx: int


#: The words of clauses, by their byte (spec 5.4.1).
CATCHES = ("catch", "catch_ref", "catch_all", "catch_all_ref")


@dataclass(frozen=True, slots=True)
class Cast:
    """Of br_on_cast and br_on_cast_fail: the label, and the types that an operand has and is to
    have."""

    labelidx: int
    source: RefType
    target: RefType


#: Nothing, one result, or a type index (spec 2.4.8).
BlockType = None | ValType | int


class Instr(NamedTuple):
    """One instruction. ``imm`` has one entry for each kind in ``op.immediates``, in that order:

    ``localidx globalidx funcidx tableidx typeidx memidx elemidx dataidx tagidx labelidx``: int;
    ``memarg``: MemArg; ``blocktype``: BlockType; ``labels``: BrTable;
    ``catches``: tuple of Catch;
    ``i32 i64``: int, unsigned; ``f32 f64``: int, the IEEE bits;
    ``fieldidx count``: int; ``heaptype``: str or int, as in RefType; ``cast``: Cast;
    ``reftype``: RefType (of ref.null: the nullable type); ``valtypes``: tuple of ValType.

    ``offset`` is the code offset: bytes from the start of the function's body (its vector of
    locals) to the opcode. In a constant expression it counts from the expression's start.
    """

    op: Op
    imm: tuple[Any, ...]
    offset: int


#: Instructions in the binary's flat order, with ``else`` and ``end``, and the last ``end``.
Expr = list[Instr]
#: The same, of tuples that are no ``Instr``.
PlainExpr = list[tuple[Op, tuple[Any, ...], int]]


#: The immediates of instructions that are numbers without a fraction.
INTEGERS = (("i32",), ("i64",))


def referred(expr: Expr) -> int | None:
    """The function that ``expr`` is a reference to, where all that it does is to make one."""
    first = expr[0]
    if len(expr) == 2 and first.op.refers:
        index: int = first.imm[0]
        return index
    return None


@dataclass(frozen=True, slots=True)
class TypeUse:
    """An imported function's type, by index."""

    typeidx: int


@dataclass(frozen=True, slots=True)
class TagUse:
    """An imported tag's type, by index."""

    typeidx: int


ImportDesc = TypeUse | TableType | MemoryType | GlobalType | TagUse


@dataclass(frozen=True, slots=True)
class Import:
    module: str
    name: str
    desc: ImportDesc


@dataclass(frozen=True, slots=True)
class Export:
    """``kind`` is ``func``, ``table``, ``memory``, ``global`` or ``tag``."""

    name: str
    kind: str
    index: int


#: What a summary is about.
_NOTED = frozenset(
    op
    for op in TABLE
    if "funcidx" in op.immediates
    or op.indirect
    or op.loops
    or op.tail
    or op.throws
    or op.concerns_handling
    or op.heaped
)


@dataclass(frozen=True, slots=True)
class Summary:
    """What there is in a body: which functions it calls by name (``calls``) or makes references to
    (``refers``), each once; whether it calls through tables, whether it loops, whether it throws or
    handles exceptions (``excepts``), and how many instructions it has. Of its tail calls, the
    functions (``tails``), and the types of those that are called through tables (``tail_types``).
    """

    #: Packed: a large module has a million.
    calls: Sequence[int]
    refers: Sequence[int]
    indirect: bool
    loops: bool
    length: int
    tails: tuple[int, ...] = ()
    tail_types: tuple[int, ...] = ()
    excepts: bool = False
    #: Whether some of them are of typed references or the heap.
    heaped: bool = False

    @classmethod
    def of(cls, body: Sequence[tuple[Op, tuple[Any, ...], int]]) -> Summary:
        # Nearly all functions are of few instructions, many times over.
        ops = {instr[0] for instr in body} & _NOTED
        named: dict[bool, dict[int, None]] = {True: {}, False: {}}
        for each in ops:
            if "funcidx" in each.immediates:
                named[each.calls].update({imm[0]: None for op, imm, _ in body if op is each})
        tails: dict[bool, tuple[int, ...]] = {True: (), False: ()}
        for each in ops:
            if each.tail:
                found = dict.fromkeys(imm[0] for op, imm, _ in body if op is each)
                tails[each.indirect] = tuple(dict.fromkeys((*tails[each.indirect], *found)))
        return cls(
            calls=array("I", named[True]) if named[True] else (),
            refers=tuple(named[False]),
            indirect=any(op.indirect for op in ops),
            loops=any(op.loops for op in ops),
            length=len(body),
            tails=tails[False],
            tail_types=tails[True],
            excepts=any(op.throws or op.concerns_handling for op in ops),
            heaped=any(op.heaped for op in ops),
        )

    @property
    def ends_in_calls(self) -> bool:
        """Whether it has tail calls."""
        return bool(self.tails or self.tail_types)


class Bodies(Protocol):
    """Reads the bodies of a module's functions."""

    #: Of the functions, by their position, as far as they are known without reading these.
    summaries: Sequence[Summary]

    def __call__(self, at: int) -> Expr:
        """The body of the function that starts at ``at`` in the contents of the code section."""


class Func:
    """A function defined here. ``locals`` are those beyond its parameters. ``at`` is where its body
    (its vector of locals) starts, in bytes from the start of the code section's contents, where it
    came from a binary: ``at`` and a code offset make the address that DWARF gives an instruction.

    A large module's instructions take many times the memory of its bytes, and most of its functions
    are never called. So ``source`` is a body, or what reads that of the function which starts at
    ``at``, each time that ``body`` is asked for. ``known`` is its summary, or the place of that
    among those that ``source`` has.
    """

    __slots__ = ("at", "known", "locals", "source", "typeidx")

    def __init__(
        self,
        typeidx: int,
        locals: tuple[ValType, ...],
        source: Expr | Bodies,
        at: int | None = None,
        summary: Summary | int | None = None,
    ) -> None:
        self.typeidx = typeidx
        self.locals = locals
        self.source = source
        self.at = at
        self.known = summary

    @property
    def body(self) -> Expr:
        """Its instructions, read anew each time where it came from a binary."""
        if isinstance(self.source, list):
            return self.source
        assert self.at is not None
        return self.source(self.at)

    @property
    def summary(self) -> Summary:
        known = self.known
        if isinstance(known, int):
            assert not isinstance(self.source, list)
            known = self.known = self.source.summaries[known]
        elif known is None:
            known = self.known = Summary.of(self.body)
        return known

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Func):
            return NotImplemented
        mine, others = (self.typeidx, self.locals, self.at), (other.typeidx, other.locals, other.at)
        return mine == others and self.body == other.body

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Func(typeidx={self.typeidx}, locals={self.locals}, body={self.body}, at={self.at})"


@dataclass(slots=True)
class Global:
    type: GlobalType
    init: Expr


@dataclass(slots=True)
class Elem:
    """``mode`` is ``passive``, ``active`` or ``declarative``; only an active one has a table and an
    offset. ``init`` has one constant expression for each element."""

    type: RefType
    init: list[Expr]
    mode: str
    tableidx: int = 0
    offset: Expr = field(default_factory=list)


@dataclass(slots=True)
class Data:
    """``mode`` is ``passive`` or ``active``. ``at`` is where ``init`` starts in the module's
    binary, where it came from one."""

    init: bytes
    mode: str
    memidx: int = 0
    offset: Expr = field(default_factory=list)
    at: int | None = None


@dataclass(slots=True)
class DataColumns:
    """Where the data segments of a binary are: where each starts (``starts``), where its content
    does (``at``), how long that is (``sizes``), and the number that is its offset in memory 0
    (``places``), as nearly all have, or ``NOWHERE``."""

    starts: array[int] = field(default_factory=lambda: array("I"))
    at: array[int] = field(default_factory=lambda: array("I"))
    sizes: array[int] = field(default_factory=lambda: array("I"))
    places: array[int] = field(default_factory=lambda: array("q"))

    def add(self, start: int, data: Data) -> None:
        assert data.at is not None
        self.starts.append(start)
        self.at.append(data.at)
        self.sizes.append(len(data.init))
        self.places.append(_place(data))


def _place(data: Data) -> int:
    if data.mode == "active" and not data.memidx and len(data.offset) == 2:
        instr = data.offset[0]
        if instr.op.immediates in INTEGERS and instr.imm[0] < MOST_PLACES:
            place: int = instr.imm[0]
            return place
    return NOWHERE


class Datas(OnDemand[Data]):
    """The data segments of a binary, of which a large one has tens of thousands. ``read`` reads the
    one that starts at a byte."""

    __slots__ = ("columns", "read")

    def __init__(self, columns: DataColumns, read: Callable[[int], Data]) -> None:
        self.columns = columns
        self.read = read

    def __len__(self) -> int:
        return len(self.columns.starts)

    def made(self, index: int) -> Data:
        return self.read(self.columns.starts[index])

    def unplaced(self) -> Iterator[tuple[int, Data]]:
        """Those that have no place, by index."""
        for index, place in enumerate(self.columns.places):
            if place < 0:
                yield index, self[index]


@dataclass(frozen=True, slots=True)
class Custom:
    """A custom section. ``after`` is the id of the known section that it follows (0: it is
    first)."""

    name: str
    data: bytes
    after: int


@dataclass(slots=True)
class Names:
    """The name section (spec 7.4.1, with the extended names), all by index."""

    module: str | None = None
    funcs: dict[int, str] = field(default_factory=dict)
    locals: dict[int, dict[int, str]] = field(default_factory=dict)
    fields: dict[int, dict[int, str]] = field(default_factory=dict)
    labels: dict[int, dict[int, str]] = field(default_factory=dict)
    types: dict[int, str] = field(default_factory=dict)
    tables: dict[int, str] = field(default_factory=dict)
    mems: dict[int, str] = field(default_factory=dict)
    globals: dict[int, str] = field(default_factory=dict)
    elems: dict[int, str] = field(default_factory=dict)
    datas: dict[int, str] = field(default_factory=dict)
    tags: dict[int, str] = field(default_factory=dict)


@dataclass(slots=True, repr=False)
class Module:
    """A module. Each list holds what is defined here; an index space is the imports of that kind,
    then the list. ``binary`` is the module's bytes, which its identity is the hash of: the decoder
    keeps what it read, the text parser what the encoder wrote. Its types name others by type index.
    ``places`` are those in the text, of a module that comes from one and has not been encoded yet.

    ``imports`` and ``exports`` are for embedders, with full types.

    >>> module = chiwawa.load('(module $m (memory 1) (func $first (export "one")) (func $second))')
    >>> len(module.funcs), len(module.mems), module.names.funcs
    (2, 1, {0: 'first', 1: 'second'})
    >>> module, module.imports, module.exports
    (<module m: 0 imports, 1 exports>, (), (<export "one": [] -> []>,))
    """

    types: list[CompType | SubType] = field(default_factory=list)
    #: The recursive groups that say so: the first type, and how many they are. All other types are
    #: groups of their own.
    recs: list[tuple[int, int]] = field(default_factory=list)
    import_section: list[Import] = field(default_factory=list)
    funcs: list[Func] = field(default_factory=list)
    tables: list[TableType] = field(default_factory=list)
    #: What the tables are full of, of those defined here that say it, by position.
    table_inits: dict[int, Expr] = field(default_factory=dict)
    mems: list[MemoryType] = field(default_factory=list)
    #: Their types' indices.
    tags: list[int] = field(default_factory=list)
    globals: list[Global] = field(default_factory=list)
    export_section: list[Export] = field(default_factory=list)
    start: int | None = None
    elems: list[Elem] = field(default_factory=list)
    datas: list[Data] | Datas = field(default_factory=list)
    #: The data count section's number, where there is such a section.
    data_count: int | None = None
    customs: list[Custom] = field(default_factory=list)
    #: Branch hints that the text gives: of functions, by index, whether the branch with so many
    #: instructions before it is likely. A binary has a section for them.
    hints: dict[int, dict[int, bool]] = field(default_factory=dict)
    names: Names = field(default_factory=Names)
    binary: bytes = b""
    #: What others have worked out about it (see ``once``).
    derived: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)
    places: Places | None = field(default=None, compare=False, repr=False)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` makes of this module, whoever asks for ``key`` first. The module is not
        changed any more."""
        if key not in self.derived:
            self.derived[key] = make()
        return self.derived[key]  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        name = f" {self.names.module}" if self.names.module else ""
        counts = f"{len(self.import_section)} imports, {len(self.export_section)} exports"
        return f"<module{name}: {counts}>"

    @property
    def imports(self) -> tuple[ImportType, ...]:
        """What an instance of it needs, in order. Of a valid module, as the next one.

        >>> module = chiwawa.load('''(module (import "env" "log" (func $log (param i32)))
        ...   (memory (export "memory") 1 2))''')
        >>> [(each.module, each.name, str(each.type)) for each in module.imports]
        [('env', 'log', '[i32] -> []')]
        """
        types = self.deftypes()
        return tuple(
            ImportType(each.module, each.name, item_type(extern_type(each.desc, types)))
            for each in self.import_section
        )

    @property
    def exports(self) -> tuple[ExportType, ...]:
        """What an instance of it has for others, in order.

        >>> module = chiwawa.load('''(module (import "env" "log" (func $log (param i32)))
        ...   (memory (export "memory") 1 2))''')
        >>> [(each.name, str(each.type)) for each in module.exports]
        [('memory', '1 2')]
        """
        types = self.deftypes()
        spaces: dict[str, Sequence[Any]] = {
            "func": [types[index] for index in self.func_typeidxs()],
            "table": self.table_types(),
            "memory": self.memory_types(),
            "global": self.global_types(),
            "tag": [TagType(types[index]) for index in self.tag_typeidxs()],
        }
        return tuple(
            ExportType(each.name, item_type(close(spaces[each.kind][each.index], types)))
            for each in self.export_section
        )

    def deftypes(self) -> Sequence[DefType]:
        """Its types, closed."""
        return self.once("deftypes", lambda: define(self.types, self.recs))

    @property
    def hash(self) -> bytes:
        """Its identity: the SHA-256 of its bytes.

        >>> module = chiwawa.load('''(module (import "env" "log" (func $log (param i32)))
        ...   (memory (export "memory") 1 2))''')
        >>> len(module.hash)
        32
        """
        return self.once("hash", lambda: hashlib.sha256(self.binary).digest())

    def imported(self, kind: type) -> Iterator[Import]:
        """The imports whose ``desc`` is a ``kind``, in order."""
        return (i for i in self.import_section if isinstance(i.desc, kind))

    def func_names(self) -> dict[int, str]:
        """What functions are called, by index, of those that have a name: by the name section,
        else by their first export.

        >>> module = chiwawa.load('''(module (import "env" "log" (func $log (param i32)))
        ...   (memory (export "memory") 1 2))''')
        >>> module.func_names()
        {0: 'log'}
        """
        exports = ((e.name, e.kind, e.index) for e in self.export_section)
        return function_names(self.names.funcs, exports, len(self.func_typeidxs()))

    def func_typeidxs(self) -> list[int]:
        """The function index space, as type indices."""
        return [
            *(i.desc.typeidx for i in self.import_section if isinstance(i.desc, TypeUse)),
            *(f.typeidx for f in self.funcs),
        ]

    def functype(self, typeidx: int) -> FuncType | None:
        """The type with that index, where it is there and a function type."""
        found = self.types[typeidx] if typeidx < len(self.types) else None
        comp = found.comp if isinstance(found, SubType) else found
        return comp if isinstance(comp, FuncType) else None

    def table_types(self) -> list[TableType]:
        return [
            *(i.desc for i in self.import_section if isinstance(i.desc, TableType)),
            *self.tables,
        ]

    def memory_types(self) -> list[MemoryType]:
        return [
            *(i.desc for i in self.import_section if isinstance(i.desc, MemoryType)),
            *self.mems,
        ]

    def global_types(self) -> list[GlobalType]:
        return [
            *(i.desc for i in self.import_section if isinstance(i.desc, GlobalType)),
            *(g.type for g in self.globals),
        ]

    def tag_typeidxs(self) -> list[int]:
        """The tag index space, as type indices."""
        return [
            *(i.desc.typeidx for i in self.import_section if isinstance(i.desc, TagUse)),
            *self.tags,
        ]

    def data_columns(self) -> DataColumns:
        """Where its data segments are, where it came from a binary."""
        if isinstance(self.datas, Datas):
            return self.datas.columns
        assert not self.datas
        return DataColumns()

    def unplaced_datas(self) -> Iterator[tuple[int, Data]]:
        """Its data segments but those whose place a number says, by index."""
        datas = self.datas
        return datas.unplaced() if isinstance(datas, Datas) else iter(enumerate(datas))

    def constants(self) -> list[Expr]:
        """The constant expressions that can give references."""
        constants = [expr for elem in self.elems for expr in elem.init]
        constants += [g.init for g in self.globals]
        constants += self.table_inits.values()
        return constants


def extern_type(desc: ImportDesc, types: Sequence[DefType]) -> ExternType:
    """The type of an import of a module whose types are ``types``, closed."""
    if isinstance(desc, TypeUse):
        return types[desc.typeidx]
    if isinstance(desc, TagUse):
        return TagType(types[desc.typeidx])
    return close(desc, types)


def uses_data_indices(module: Module) -> bool:
    """Whether an instruction names a data segment, for which there must be a data count section."""
    exprs = (*(g.init for g in module.globals), *(f.body for f in module.funcs))
    return any("dataidx" in instr.op.immediates for expr in exprs for instr in expr)
