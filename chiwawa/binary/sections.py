"""The known sections of a module, read (spec 5.5.4 to 5.5.15).

Each function reads the contents of one section into a ``Parts``; ``decode`` brings them into order
and compares their sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from chiwawa import limits
from chiwawa.binary.expressions import ExprReader
from chiwawa.binary.reader import Reader
from chiwawa.binary.types import (
    read_globaltype,
    read_memorytype,
    read_rectype,
    read_reftype,
    read_tabletype,
    read_tagtype,
    read_valtype,
)
from chiwawa.module import (
    Data,
    DataColumns,
    Datas,
    Elem,
    Export,
    Expr,
    Func,
    Global,
    Import,
    Instr,
    Module,
    PlainExpr,
    Summary,
    TagUse,
    TypeUse,
)
from chiwawa.opcodes import BY_NAME
from chiwawa_runtime.checkpoint.leb import encode_u
from chiwawa_runtime.state.types import FUNCREF, REF_FUNC, ValType

#: So many bodies that were read again are kept at a time.
KEPT = 16
#: Looks at a function's body: takes the module as far as it has been read, the function's position
#: among those that it defines, and the instructions, which are not kept.
CheckBody = Callable[[Module, int, PlainExpr], None]

EXTERN_KINDS = ("func", "table", "memory", "global", "tag")
#: What a table begins with that has an initialiser.
_TABLE_INIT = 0x40


@dataclass(frozen=True, slots=True)
class Known:
    """What reading a binary has found out: ``summaries`` of the functions that it defines, and
    where its data segments are. Who reads it again passes over these and their instructions."""

    summaries: Sequence[Summary]
    datas: DataColumns


@dataclass(slots=True)
class Parts:
    """A module being read, and what is not yet in it: functions come in two sections."""

    module: Module
    exprs: ExprReader = field(default_factory=ExprReader)
    #: How many bodies there are.
    bodies: int = 0
    #: Looks at each function when its body has been read.
    check: CheckBody | None = None
    #: Where these very bytes have been read before.
    known: Known | None = None
    locals_seen: dict[bytes, tuple[ValType, ...]] = field(default_factory=dict)
    locals_in_all: int = 0


def _count(r: Reader, what: str) -> int:
    """How many items of a kind are coming."""
    return r.count(limits.ITEMS[what], what)


def _types(r: Reader, parts: Parts) -> None:
    module = parts.module
    for _ in range(_count(r, "types")):
        types, says = read_rectype(r)
        if says:
            module.recs.append((len(module.types), len(types)))
        module.types += types


def _imports(r: Reader, parts: Parts) -> None:
    parts.module.import_section = [_import(r) for _ in range(_count(r, "imports"))]


def _import(r: Reader) -> Import:
    module = r.name()
    name = r.name()
    start = r.pos
    kind = r.byte()
    if kind == 0:
        return Import(module, name, TypeUse(r.u32()))
    if kind == 1:
        return Import(module, name, read_tabletype(r))
    if kind == 2:
        return Import(module, name, read_memorytype(r))
    if kind == 3:
        return Import(module, name, read_globaltype(r))
    if kind == 4:
        return Import(module, name, TagUse(read_tagtype(r)))
    raise r.malformed("malformed import kind", start)


def _functions(r: Reader, parts: Parts) -> None:
    parts.module.funcs = [Func(r.u32(), (), []) for _ in range(_count(r, "functions"))]


def _tables(r: Reader, parts: Parts) -> None:
    module = parts.module
    for index in range(_count(r, "tables")):
        initialised = r.peek() == _TABLE_INIT
        if initialised:
            start = r.pos
            r.byte()
            if r.byte() != 0:
                raise r.malformed("malformed table", start)
        module.tables.append(read_tabletype(r))
        if initialised:
            module.table_inits[index] = parts.exprs.const(r)


def _memories(r: Reader, parts: Parts) -> None:
    parts.module.mems = [read_memorytype(r) for _ in range(_count(r, "memories"))]


def _tags(r: Reader, parts: Parts) -> None:
    parts.module.tags = [read_tagtype(r) for _ in range(_count(r, "tags"))]


def _globals(r: Reader, parts: Parts) -> None:
    count = _count(r, "globals")
    parts.module.globals = [Global(read_globaltype(r), parts.exprs.const(r)) for _ in range(count)]


def _exports(r: Reader, parts: Parts) -> None:
    parts.module.export_section = [_export(r) for _ in range(_count(r, "exports"))]


def _export(r: Reader) -> Export:
    name = r.name()
    start = r.pos
    kind = r.byte()
    if kind >= len(EXTERN_KINDS):
        raise r.malformed("malformed export kind", start)
    return Export(name, EXTERN_KINDS[kind], r.u32())


def _start(r: Reader, parts: Parts) -> None:
    parts.module.start = r.u32()


def _elems(r: Reader, parts: Parts) -> None:
    parts.module.elems = [_elem(r, parts) for _ in range(_count(r, "element segments"))]


def _elem(r: Reader, parts: Parts) -> Elem:
    """Spec 5.5.12. Bit 0: not active; bit 1: an explicit table, or declarative; bit 2: expressions
    instead of function indices."""
    start = r.pos
    flags = r.u32()
    if flags > 7:
        raise r.malformed("malformed elements segment kind", start)
    mode = "active" if not flags & 1 else "declarative" if flags & 2 else "passive"
    tableidx = 0
    offset: Expr = []
    if mode == "active":
        if flags & 2:
            tableidx = r.u32()
        offset = parts.exprs.const(r)
    # What function indices are short for is there; expressions may make null.
    element = FUNCREF if flags & 4 else REF_FUNC
    if flags & 3:
        if flags & 4:
            element = read_reftype(r)
        else:
            kind_at = r.pos
            if r.byte() != 0:
                raise r.malformed("malformed element kind", kind_at)
    size = r.count(limits.ELEMENTS, "elements of a segment")
    if flags & 4:
        init = [parts.exprs.const(r) for _ in range(size)]
    else:
        init = [ref_func(r.u32()) for _ in range(size)]
    return Elem(element, init, mode, tableidx, offset)


_REF_FUNC = BY_NAME["ref.func"]
_END = BY_NAME["end"]


def ref_func(funcidx: int) -> Expr:
    """The constant expression that a function index in an element segment is short for."""
    return [Instr(_REF_FUNC, (funcidx,), 0), _end(1 + len(encode_u(funcidx)))]


@cache
def _end(offset: int) -> Instr:
    return Instr(_END, (), offset)


def _data_count(r: Reader, parts: Parts) -> None:
    parts.module.data_count = r.u32()


def _code(r: Reader, parts: Parts) -> None:
    contents = r.pos
    known = parts.known
    source = BodySource(r.data, contents, () if known is None else known.summaries)
    funcs = parts.module.funcs
    for index in range(r.u32()):
        start = r.pos
        size = r.length()
        base = r.pos
        r.end = base + size
        if size > limits.BODY:
            raise r.unsupported(limits.more_than(limits.BODY, "bytes of a body"), start)
        local_types = _locals(r, parts)
        parts.bodies += 1
        if index < len(funcs):
            func = funcs[index]
            func.locals, func.source, func.at = local_types, source, base - contents
        if known is not None:
            func.known = index
            r.pos = r.end
            continue
        body = parts.exprs.read_plain(r, base)
        if r.pos != r.end:
            raise r.malformed("section size mismatch", start)
        if index < len(funcs):
            func.known = Summary.of(body)
            if parts.check is not None:
                parts.check(parts.module, index, body)


class BodySource:
    """Reads bodies again, of a module that was read without a mistake. The last ones are kept."""

    __slots__ = ("contents", "data", "exprs", "kept", "summaries")

    def __init__(self, data: bytes, contents: int, summaries: Sequence[Summary]) -> None:
        self.data = data
        self.contents = contents
        self.summaries = summaries
        self.exprs = ExprReader()
        self.kept: dict[int, Expr] = {}

    def __call__(self, at: int) -> Expr:
        """The body of the function that starts at ``at`` in the contents of the code section."""
        body = self.kept.get(at)
        if body is None:
            r = Reader(self.data)
            base = r.pos = self.contents + at
            for _ in range(r.u32()):
                r.u32()
                read_valtype(r)
            body = self.exprs.read(r, base)
            if len(self.kept) >= KEPT:
                self.kept.clear()
            self.kept[at] = body
        return body


def _locals(r: Reader, parts: Parts) -> tuple[ValType, ...]:
    """Spec 5.5.13. Equal declarations share one tuple, and count once."""
    start = r.pos
    # Nearly all are of short numbers, and like one before.
    shortest = r.data[start : start + 1 + 2 * r.peek()]
    known = parts.locals_seen.get(shortest)
    if known is not None:
        r.pos += len(shortest)
        return known
    groups = r.vec(lambda r: (r.u32(), read_valtype(r)))
    key = r.data[start : r.pos]
    known = parts.locals_seen.get(key)
    if known is not None:
        return known
    total = sum(count for count, _ in groups)
    parts.locals_in_all += total
    if total > limits.LOCALS or parts.locals_in_all > limits.LOCALS_IN_ALL:
        raise r.malformed("too many locals", start)
    local_types = tuple(t for count, t in groups for _ in range(count))
    parts.locals_seen[key] = local_types
    return local_types


def _datas(r: Reader, parts: Parts) -> None:
    data, exprs = r.data, parts.exprs
    count = _count(r, "data segments")
    if parts.known is not None:
        columns = parts.known.datas
        r.pos = r.end
    else:
        columns = DataColumns()
        for _ in range(count):
            columns.add(r.pos, _data(r, exprs))

    def read(start: int) -> Data:
        again = Reader(data)
        again.pos = start
        return _data(again, exprs)

    parts.module.datas = Datas(columns, read)


def _data(r: Reader, exprs: ExprReader) -> Data:
    """Spec 5.5.14."""
    start = r.pos
    flags = r.u32()
    if flags > 2:
        raise r.malformed("malformed data segment kind", start)
    if flags == 1:
        mode, memidx, offset = "passive", 0, []
    else:
        memidx = r.u32() if flags else 0
        mode, offset = "active", exprs.const(r)
    size = r.u32()
    at = r.pos
    return Data(r.take(size), mode, memidx, offset, at)


#: By section id, in the order in which sections must come.
SECTIONS: dict[int, Callable[[Reader, Parts], None]] = {
    1: _types,
    2: _imports,
    3: _functions,
    4: _tables,
    5: _memories,
    13: _tags,
    6: _globals,
    7: _exports,
    8: _start,
    9: _elems,
    12: _data_count,
    10: _code,
    11: _datas,
}
