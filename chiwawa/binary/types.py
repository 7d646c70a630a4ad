"""Types in the binary format, read and written (spec 5.3).

Types of later versions of Wasm are recognised, and refused by name.
"""

from __future__ import annotations

from chiwawa import limits
from chiwawa.binary.reader import Reader
from chiwawa_runtime.checkpoint.leb import encode_s, encode_u
from chiwawa_runtime.state.types import (
    HEAP_CODES,
    I8,
    I16,
    I32,
    I64,
    PAGE,
    VALTYPE_BY_CODE,
    ArrayType,
    CompType,
    DefType,
    FieldType,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    PackedType,
    RefType,
    StructType,
    SubType,
    TableType,
    ValType,
)

#: Flags of limits: a maximum follows; of a memory, that it is shared; addresses have 64 bits; of a
#: memory, that the exponent of its page size follows.
_HAS_MAX, _SHARED, _WIDE, _PAGE_SIZE = 1, 2, 4, 8
#: The first bytes of reference types that have a heap type behind, and whether they are nullable.
_REF, _REF_NULL = 0x64, 0x63
_ABSTRACT = {code: heap for heap, code in HEAP_CODES.items()}
_PACKED = {t.code: t for t in (I8, I16)}
_REC, _SUB, _SUB_FINAL = 0x4E, 0x50, 0x4F
_FUNCTYPE, _STRUCTTYPE, _ARRAYTYPE = 0x60, 0x5F, 0x5E


def read_valtype(r: Reader) -> ValType:
    """Spec 5.3.5."""
    start = r.pos
    code = r.byte()
    valtype = VALTYPE_BY_CODE.get(code)
    if valtype is not None:
        return valtype
    if code in (_REF, _REF_NULL):
        return RefType(read_heap(r), code == _REF_NULL)
    # A type is a signed LEB128 of seven bits.
    message = "integer representation too long" if code >= 0x80 else "malformed value type"
    raise r.malformed(message, start)


def read_reftype(r: Reader) -> RefType:
    """Spec 5.3.4."""
    start = r.pos
    code = r.byte()
    if code in _ABSTRACT:
        return RefType(_ABSTRACT[code])
    if code in (_REF, _REF_NULL):
        return RefType(read_heap(r), code == _REF_NULL)
    raise r.malformed("malformed reference type", start)


def read_heap(r: Reader) -> str | int:
    """Spec 5.3.3: an abstract heap type or a type index."""
    start = r.pos
    if 0x40 <= r.peek() < 0x80:
        heap = _ABSTRACT.get(r.byte())
        if heap is None:
            raise r.malformed("malformed heap type", start)
        return heap
    index = r.s33()
    if index < 0:
        raise r.malformed("malformed heap type", start)
    return index


def read_heaptype(r: Reader) -> RefType:
    """The immediate of ref.null, as the nullable type that it makes (spec 5.4.2)."""
    return RefType(read_heap(r))


def read_rectype(r: Reader) -> tuple[list[CompType | SubType], bool]:
    """Spec 5.3.9: the types of a recursive group, and whether it says that it is one."""
    if r.peek() != _REC:
        return [read_subtype(r)], False
    r.byte()
    count = r.count(limits.ITEMS["types"], "types")
    return [read_subtype(r) for _ in range(count)], True


def read_subtype(r: Reader) -> CompType | SubType:
    """Spec 5.3.9. What is final and has no supertypes may be written without saying so."""
    form = r.peek()
    if form not in (_SUB, _SUB_FINAL):
        return read_comptype(r)
    r.byte()
    supers = tuple(r.vec(Reader.u32))
    return SubType(form == _SUB_FINAL, supers, read_comptype(r))


def read_comptype(r: Reader) -> CompType:
    """Spec 5.3.8."""
    start = r.pos
    form = r.byte()
    if form == _FUNCTYPE:
        return FuncType(tuple(r.vec(read_valtype)), tuple(r.vec(read_valtype)))
    if form == _STRUCTTYPE:
        return StructType(tuple(r.vec(read_fieldtype)))
    if form == _ARRAYTYPE:
        return ArrayType(read_fieldtype(r))
    if form == 0x5D:
        raise r.unsupported("stack switching: a continuation type", start)
    raise r.malformed(
        "integer representation too long" if form >= 0x80 else "malformed definition type", start
    )


def read_fieldtype(r: Reader) -> FieldType:
    """Spec 5.3.8."""
    storage: ValType | PackedType | None = _PACKED.get(r.peek())
    if storage is None:
        storage = read_valtype(r)
    else:
        r.byte()
    return FieldType(storage, _read_mutability(r))


def _read_limits(r: Reader, known: int) -> tuple[int, Limits]:
    """Spec 5.3.6: the flags, and what they say. Sizes have 64 bits, as in Wasm 3.0: validation
    bounds them."""
    start = r.pos
    flags = r.byte()
    if flags & ~known:
        raise r.malformed("malformed limits flags", start)
    least = r.u64()
    most = r.u64() if flags & _HAS_MAX else None
    return flags, Limits(least, most, I64 if flags & _WIDE else I32)


def read_tabletype(r: Reader) -> TableType:
    """Spec 5.3.9."""
    element = read_reftype(r)
    _, limits = _read_limits(r, _HAS_MAX | _WIDE)
    return TableType(limits, element)


def read_memorytype(r: Reader) -> MemoryType:
    """Spec 5.3.8."""
    flags, limits = _read_limits(r, _HAS_MAX | _SHARED | _WIDE | _PAGE_SIZE)
    page = PAGE
    if flags & _PAGE_SIZE:
        start = r.pos
        exponent = r.u32()
        if exponent >= 64:
            raise r.malformed("invalid custom page size", start)
        page = 1 << exponent
    return MemoryType(limits, page, bool(flags & _SHARED))


def read_globaltype(r: Reader) -> GlobalType:
    """Spec 5.3.10."""
    valtype = read_valtype(r)
    return GlobalType(valtype, _read_mutability(r))


def read_tagtype(r: Reader) -> int:
    """Spec 5.3.12: the index of the type."""
    start = r.pos
    if r.byte() != 0:
        raise r.malformed("malformed tag attribute", start)
    return r.u32()


def _read_mutability(r: Reader) -> bool:
    start = r.pos
    mutability = r.byte()
    if mutability > 1:
        raise r.malformed("malformed mutability", start)
    return mutability == 1


def write_heap(heap: str | int | DefType) -> bytes:
    """Spec 5.3.3, of a module's own type."""
    if isinstance(heap, str):
        return bytes((HEAP_CODES[heap],))
    assert isinstance(heap, int)
    return encode_s(heap)


def write_valtype(valtype: ValType) -> bytes:
    """Spec 5.3.5, in the shortest of its forms, of a module's own type."""
    if not isinstance(valtype, RefType):
        return bytes((valtype.code,))
    if valtype.nullable and isinstance(valtype.heap, str):
        return write_heap(valtype.heap)
    return bytes((_REF_NULL if valtype.nullable else _REF,)) + write_heap(valtype.heap)


def write_valtypes(valtypes: tuple[ValType, ...]) -> bytes:
    return encode_u(len(valtypes)) + b"".join(map(write_valtype, valtypes))


def write_subtype(subtype: CompType | SubType) -> bytes:
    """Spec 5.3.9."""
    if not isinstance(subtype, SubType):
        return write_comptype(subtype)
    form = bytes((_SUB_FINAL if subtype.final else _SUB,))
    supers = encode_u(len(subtype.supers)) + b"".join(map(encode_u, subtype.supers))
    return form + supers + write_comptype(subtype.comp)


def write_rec(count: int) -> bytes:
    """What comes before the types of a recursive group that says that it is one."""
    return bytes((_REC,)) + encode_u(count)


def write_comptype(comp: CompType) -> bytes:
    """Spec 5.3.8."""
    if isinstance(comp, FuncType):
        form = bytes((_FUNCTYPE,))
        return form + write_valtypes(comp.params) + write_valtypes(comp.results)
    if isinstance(comp, ArrayType):
        return bytes((_ARRAYTYPE,)) + _write_fieldtype(comp.field)
    fields = b"".join(map(_write_fieldtype, comp.fields))
    return bytes((_STRUCTTYPE,)) + encode_u(len(comp.fields)) + fields


def _write_fieldtype(field: FieldType) -> bytes:
    storage = field.storage
    if isinstance(storage, PackedType):
        return bytes((storage.code, field.mutable))
    return write_valtype(storage) + bytes((field.mutable,))


def _write_limits(limits: Limits, more: int = 0) -> bytes:
    flags = more | _HAS_MAX * (limits.max is not None) | _WIDE * (limits.address is I64)
    most = b"" if limits.max is None else encode_u(limits.max)
    return bytes((flags,)) + encode_u(limits.min) + most


def write_tabletype(tabletype: TableType) -> bytes:
    return write_valtype(tabletype.element) + _write_limits(tabletype.limits)


def write_memorytype(memorytype: MemoryType) -> bytes:
    custom = memorytype.page != PAGE
    written = _write_limits(memorytype.limits, _SHARED * memorytype.shared | _PAGE_SIZE * custom)
    return written + encode_u(memorytype.page.bit_length() - 1) if custom else written


def write_globaltype(globaltype: GlobalType) -> bytes:
    return write_valtype(globaltype.type) + bytes((globaltype.mutable,))


def write_tagtype(typeidx: int) -> bytes:
    return b"\x00" + encode_u(typeidx)
