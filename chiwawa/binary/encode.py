"""From a module to bytes (spec 5.5): canonical, every integer in its fewest bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from chiwawa.binary.decode import MAGIC, VERSION
from chiwawa.binary.names import NAME, write_name, write_names
from chiwawa.binary.sections import EXTERN_KINDS, SECTIONS
from chiwawa.binary.types import (
    write_globaltype,
    write_heap,
    write_memorytype,
    write_rec,
    write_subtype,
    write_tabletype,
    write_tagtype,
    write_valtype,
    write_valtypes,
)
from chiwawa.branch_hints import NAME as HINTS
from chiwawa.branch_hints import Hints, hints_of, write_hints
from chiwawa.immediates import KINDS
from chiwawa.module import (
    BrTable,
    Cast,
    Catch,
    Data,
    Elem,
    Export,
    Expr,
    Func,
    Import,
    MemArg,
    Module,
    TagUse,
    TypeUse,
    referred,
    uses_data_indices,
)
from chiwawa.opcodes import TABLE, Op
from chiwawa_runtime.checkpoint.leb import encode_s, encode_u
from chiwawa_runtime.state.deftypes import groups
from chiwawa_runtime.state.types import (
    FUNCREF,
    REF_FUNC,
    GlobalType,
    MemoryType,
    RefType,
    TableType,
    ValType,
)


def encode(module: Module) -> bytes:
    """The binary of ``module``, whose ``binary``, code offsets and ``Data.at`` play no part.

    An empty section is written only where a custom section is said to follow it. Names are written
    from ``module.names``, and branch hints from ``module.hints``, unless a custom section is there
    for them already, whose hints are for the code as it was read. A data count section
    is written where there was one or an instruction needs it. Raises UnsupportedError for types
    that Wasm 2.0 cannot write.
    """
    contents = contents_of(module, _vec(map(_code, module.funcs)))
    customs: dict[int, list[bytes]] = {}
    hints = hints_of(module)
    for custom in module.customs:
        data = custom.data
        if hints is not None and custom.name == HINTS:
            data, hints = _hints(module, hints), None
        section = write_section(0, write_name(custom.name) + data)
        customs.setdefault(custom.after, []).append(section)
    if hints:
        section = write_section(0, write_name(HINTS) + _hints(module, hints))
        customs.setdefault(_BEFORE_CODE, []).append(section)
    out = [MAGIC, VERSION, *customs.get(0, ())]
    for section_id in SECTIONS:
        body = contents[section_id]
        if body is None and section_id in customs and section_id not in _NOT_VECTORS:
            body = encode_u(0)
        if body is not None:
            out.append(write_section(section_id, body))
        out.extend(customs.get(section_id, ()))
    if all(custom.name != NAME for custom in module.customs):
        names = write_names(module.names)
        if names:
            out.append(write_section(0, write_name(NAME) + names))
    return b"".join(out)


#: The data count section, which the code section follows.
_BEFORE_CODE = 12
#: The start and data count sections hold one number: there is no empty one.
_NOT_VECTORS = (8, 12)


def _hints(module: Module, hints: Hints) -> bytes:
    """The branch hints as their section has them, by code offset."""
    imported = len(module.func_typeidxs()) - len(module.funcs)
    by_offset: Hints = {}
    for function, places in hints.items():
        func = module.funcs[function - imported]
        by_offset[function] = {}
        offset = len(_locals(func))
        for place, instr in enumerate(func.body):
            if place in places:
                by_offset[function][offset] = places[place]
            offset += len(write_expr([instr]))
    return write_hints(by_offset)


def write_section(section_id: int, body: bytes) -> bytes:
    """Spec 5.5.2."""
    return bytes((section_id,)) + encode_u(len(body)) + body


def contents_of(module: Module, code: bytes | None) -> dict[int, bytes | None]:
    """Each known section's contents, by id; None where there is nothing in it. That of the code
    section is ``code``: bodies may come from elsewhere."""
    count = module.data_count is not None or uses_data_indices(module)
    return {
        1: _types(module),
        2: _vec(map(_import, module.import_section)),
        3: _vec(encode_u(func.typeidx) for func in module.funcs),
        4: _vec(_table(module, index) for index in range(len(module.tables))),
        5: _vec(map(write_memorytype, module.mems)),
        13: _vec(map(write_tagtype, module.tags)),
        6: _vec(write_globaltype(g.type) + write_expr(g.init) for g in module.globals),
        7: _vec(map(_export, module.export_section)),
        8: None if module.start is None else encode_u(module.start),
        9: _vec(map(_elem, module.elems)),
        12: encode_u(len(module.datas)) if count else None,
        10: code,
        11: _vec(map(_data, module.datas)),
    }


def _vec(items: Iterable[bytes]) -> bytes | None:
    written = list(items)
    return encode_u(len(written)) + b"".join(written) if written else None


def _types(module: Module) -> bytes | None:
    """Spec 5.5.4."""
    said = set(module.recs)
    written = []
    for start, count in groups(len(module.types), module.recs):
        head = write_rec(count) if (start, count) in said else b""
        written.append(head + b"".join(map(write_subtype, module.types[start : start + count])))
    return _vec(written)


def _table(module: Module, index: int) -> bytes:
    """Spec 5.5.7."""
    tabletype = write_tabletype(module.tables[index])
    init = module.table_inits.get(index)
    return tabletype if init is None else b"\x40\x00" + tabletype + write_expr(init)


def _import(item: Import) -> bytes:
    desc = item.desc
    match desc:
        case TypeUse():
            tail = b"\x00" + encode_u(desc.typeidx)
        case TableType():
            tail = b"\x01" + write_tabletype(desc)
        case MemoryType():
            tail = b"\x02" + write_memorytype(desc)
        case GlobalType():
            tail = b"\x03" + write_globaltype(desc)
        case TagUse():
            tail = b"\x04" + write_tagtype(desc.typeidx)
    return write_name(item.module) + write_name(item.name) + tail


def _export(item: Export) -> bytes:
    kind = bytes((EXTERN_KINDS.index(item.kind),))
    return write_name(item.name) + kind + encode_u(item.index)


def _code(func: Func) -> bytes:
    """Spec 5.5.13."""
    body = _locals(func) + write_expr(func.body)
    return encode_u(len(body)) + body


def _locals(func: Func) -> bytes:
    """With neighbouring locals of one type in one group."""
    groups: list[tuple[int, ValType]] = []
    for local_type in func.locals:
        if groups and groups[-1][1] == local_type:
            groups[-1] = (groups[-1][0] + 1, local_type)
        else:
            groups.append((1, local_type))
    declared = b"".join(encode_u(count) + write_valtype(t) for count, t in groups)
    return encode_u(len(groups)) + declared


def _elem(elem: Elem) -> bytes:
    """Spec 5.5.12, in the shortest of its forms."""
    flags = {"active": 0, "passive": 1, "declarative": 3}[elem.mode]
    functions = [referred(init) for init in elem.init]
    short = elem.type == REF_FUNC and None not in functions
    if not short:
        flags |= 4
    head = b""
    if elem.mode == "active":
        if elem.tableidx or not (short or elem.type == FUNCREF):
            flags |= 2
            head = encode_u(elem.tableidx)
        head += write_expr(elem.offset)
    if flags & 3:
        head += b"\x00" if short else write_valtype(elem.type)
    if short:
        items = [encode_u(cast(int, index)) for index in functions]
    else:
        items = [write_expr(init) for init in elem.init]
    return encode_u(flags) + head + encode_u(len(items)) + b"".join(items)


def _data(data: Data) -> bytes:
    """Spec 5.5.14, in the shortest of its forms."""
    if data.mode == "passive":
        head = b"\x01"
    elif data.memidx:
        head = b"\x02" + encode_u(data.memidx) + write_expr(data.offset)
    else:
        head = b"\x00" + write_expr(data.offset)
    return head + encode_u(len(data.init)) + data.init


def _memarg(value: object) -> bytes:
    memarg = cast(MemArg, value)
    if memarg.memidx:
        return encode_u(memarg.align | 0x40) + encode_u(memarg.memidx) + encode_u(memarg.offset)
    return encode_u(memarg.align) + encode_u(memarg.offset)


def _blocktype(value: object) -> bytes:
    if value is None:
        return b"\x40"
    if isinstance(value, int):
        return encode_s(value)
    return write_valtype(cast(ValType, value))


def _labels(value: object) -> bytes:
    table = cast(BrTable, value)
    labels = b"".join(map(encode_u, table.labels))
    return encode_u(len(table.labels)) + labels + encode_u(table.default)


def _catches(value: object) -> bytes:
    out = [encode_u(len(cast("tuple[Catch, ...]", value)))]
    for catch in cast("tuple[Catch, ...]", value):
        out.append(bytes(((catch.tagidx is None) * 2 + catch.ref,)))
        if catch.tagidx is not None:
            out.append(encode_u(catch.tagidx))
        out.append(encode_u(catch.labelidx))
    return b"".join(out)


def _cast(value: object) -> bytes:
    op = cast(Cast, value)
    flags = bytes((op.source.nullable | op.target.nullable << 1,))
    heaps = write_heap(op.source.heap) + write_heap(op.target.heap)
    return flags + encode_u(op.labelidx) + heaps


def _index(value: object) -> bytes:
    return encode_u(cast(int, value))


def _signed(bits: int) -> Callable[[object], bytes]:
    half = 1 << bits - 1
    return lambda value: encode_s((cast(int, value) ^ half) - half)


def _float(size: int) -> Callable[[object], bytes]:
    return lambda value: cast(int, value).to_bytes(size, "little")


_IMMEDIATES: dict[str, Callable[[object], bytes]] = {
    **{kind.name: _index for kind in KINDS.values() if kind.space},
    "memarg": _memarg,
    "ordering": lambda value: b"\0",
    "blocktype": _blocktype,
    "labels": _labels,
    "catches": _catches,
    "i32": _signed(32),
    "i64": _signed(64),
    "f32": _float(4),
    "f64": _float(8),
    "v128": lambda value: cast(bytes, value),
    "laneidx": lambda value: bytes((cast(int, value),)),
    "lanes": lambda value: cast(bytes, value),
    "heaptype": lambda value: write_heap(cast("str | int", value)),
    "cast": _cast,
    "count": _index,
    "reftype": lambda value: write_heap(cast(RefType, value).heap),
    "valtypes": lambda value: write_valtypes(cast("tuple[ValType, ...]", value)),
}


def opcode(op: Op) -> bytes:
    """The bytes that an instruction begins with."""
    return bytes(op.code[:1]) + b"".join(map(encode_u, op.code[1:]))


#: By the row's identity: its bytes, and what writes its immediates.
_WRITERS: dict[int, tuple[bytes, tuple[Callable[[object], bytes], ...]]] = {
    id(op): (opcode(op), tuple(_IMMEDIATES[kind] for kind in op.immediates)) for op in TABLE
}


def write_expr(body: Expr) -> bytes:
    """Spec 5.4.9."""
    out: list[bytes] = []
    append = out.append
    writers = _WRITERS
    for op, imm, _ in body:
        opcode, immediates = writers[id(op)]
        append(opcode)
        for write, value in zip(immediates, imm, strict=True):
            append(write(value))
    return b"".join(out)
