"""Types in the binary format, read and written (spec 5.3).

Types of later versions of Wasm are recognised, and refused by name.
"""

from __future__ import annotations

from chiwawa.binary.reader import Reader
from chiwawa_runtime.checkpoint.leb import encode_u
from chiwawa_runtime.errors import BadInput, UnsupportedError
from chiwawa_runtime.state.types import (
    EXTERNREF,
    FUNCREF,
    HEAP_CODES,
    I32,
    I64,
    VALTYPE_BY_CODE,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    RefType,
    TableType,
    ValType,
    valtype_code,
)

_GC = "garbage collection"
_TYPED = "typed function references"
#: What later versions of Wasm write as the first byte of a value type.
_LATER_VALTYPES = {
    0x78: f"{_GC}: the storage type i8",
    0x77: f"{_GC}: the storage type i16",
    0x74: "exception handling: the type nullexnref",
    0x73: f"{_GC}: the type nullfuncref",
    0x72: f"{_GC}: the type nullexternref",
    0x71: f"{_GC}: the type nullref",
    0x6E: f"{_GC}: the type anyref",
    0x6D: f"{_GC}: the type eqref",
    0x6C: f"{_GC}: the type i31ref",
    0x6B: f"{_GC}: the type structref",
    0x6A: f"{_GC}: the type arrayref",
    0x69: "exception handling: the type exnref",
    0x64: f"{_TYPED}: a reference type (ref ht)",
    0x63: f"{_TYPED}: a reference type (ref null ht)",
}
_FUNCTYPE = 0x60
#: Flags of limits: a maximum follows; addresses have 64 bits.
_HAS_MAX, _WIDE = 1, 4
_LATER_LIMITS = {
    2: "threads: a shared memory",
    3: "threads: a shared memory",
    6: "threads: a shared memory with 64-bit addresses",
    7: "threads: a shared memory with 64-bit addresses",
}


def read_valtype(r: Reader) -> ValType:
    """Spec 5.3.4."""
    start = r.pos
    code = r.byte()
    valtype = VALTYPE_BY_CODE.get(code)
    if valtype is None:
        raise _refusal(r, code, start, "malformed value type")
    return valtype


def _refusal(r: Reader, code: int, start: int, message: str) -> BadInput:
    """The error that fits ``code``, which stands where a type belongs and is not one of ours."""
    if code in _LATER_VALTYPES:
        return r.unsupported(_LATER_VALTYPES[code], start)
    # A type is a signed LEB128 of seven bits.
    return r.malformed("integer representation too long" if code >= 0x80 else message, start)


def read_reftype(r: Reader) -> RefType:
    """Spec 5.3.3."""
    start = r.pos
    code = r.byte()
    if code == HEAP_CODES["func"]:
        return FUNCREF
    if code == HEAP_CODES["extern"]:
        return EXTERNREF
    if 0x63 <= code <= 0x74:
        raise _refusal(r, code, start, "malformed reference type")
    raise r.malformed("malformed reference type", start)


def read_heaptype(r: Reader) -> RefType:
    """The immediate of ref.null, as the nullable type that it makes (spec 5.4.2)."""
    start = r.pos
    if r.peek() >= 0x80 or r.peek() < 0x40:
        if r.s33() >= 0:
            raise r.unsupported(f"{_TYPED}: a heap type that is a type index", start)
        raise r.malformed("malformed heap type", start)
    return read_reftype(r)


def read_functype(r: Reader) -> FuncType:
    """Spec 5.3.5."""
    start = r.pos
    form = r.byte()
    if form == _FUNCTYPE:
        return FuncType(tuple(r.vec(read_valtype)), tuple(r.vec(read_valtype)))
    if form == 0x5E:
        if r.byte() not in (0x63, 0x64):
            _read_mutability(r)
        raise r.unsupported(f"{_GC}: an array type", start)
    if form == 0x5D:
        raise r.unsupported("stack switching: a continuation type", start)
    if form in (0x5F, 0x50, 0x4F, 0x4E):
        kind = {0x5F: "a struct type", 0x4E: "a recursive type"}.get(form, "a subtype")
        raise r.unsupported(f"{_GC}: {kind}", start)
    raise r.malformed(
        "integer representation too long" if form >= 0x80 else "malformed definition type", start
    )


def read_limits(r: Reader) -> Limits:
    """Spec 5.3.6. Sizes have 64 bits, as in Wasm 3.0: validation bounds them."""
    start = r.pos
    flags = r.byte()
    if flags in _LATER_LIMITS:
        raise r.unsupported(_LATER_LIMITS[flags], start)
    if flags & ~(_HAS_MAX | _WIDE):
        # The suite's words, though a proposal has these.
        more = ": custom page sizes are not supported" if 8 <= flags < 16 else ""
        raise r.malformed(f"malformed limits flags{more}", start)
    least = r.u64()
    most = r.u64() if flags & _HAS_MAX else None
    return Limits(least, most, I64 if flags & _WIDE else I32)


def read_tabletype(r: Reader) -> TableType:
    """Spec 5.3.9."""
    if r.peek() == 0x40:
        raise r.unsupported("typed function references: a table with an initialiser", r.pos)
    element = read_reftype(r)
    return TableType(read_limits(r), element)


def read_memorytype(r: Reader) -> MemoryType:
    """Spec 5.3.8."""
    return MemoryType(read_limits(r))


def read_globaltype(r: Reader) -> GlobalType:
    """Spec 5.3.10."""
    valtype = read_valtype(r)
    return GlobalType(valtype, _read_mutability(r))


def _read_mutability(r: Reader) -> bool:
    start = r.pos
    mutability = r.byte()
    if mutability > 1:
        raise r.malformed("malformed mutability", start)
    return mutability == 1


def write_valtype(valtype: ValType) -> bytes:
    """Spec 5.3.4. Raises UnsupportedError for a type that has no byte of its own."""
    if isinstance(valtype, RefType) and (not valtype.nullable or valtype.heap not in HEAP_CODES):
        raise UnsupportedError(f"writing the type {valtype} is not supported")
    return bytes((valtype_code(valtype),))


def write_valtypes(valtypes: tuple[ValType, ...]) -> bytes:
    return encode_u(len(valtypes)) + b"".join(map(write_valtype, valtypes))


def write_functype(functype: FuncType) -> bytes:
    return b"\x60" + write_valtypes(functype.params) + write_valtypes(functype.results)


def write_limits(limits: Limits) -> bytes:
    flags = _HAS_MAX * (limits.max is not None) | _WIDE * (limits.address is I64)
    most = b"" if limits.max is None else encode_u(limits.max)
    return bytes((flags,)) + encode_u(limits.min) + most


def write_tabletype(tabletype: TableType) -> bytes:
    return write_valtype(tabletype.element) + write_limits(tabletype.limits)


def write_memorytype(memorytype: MemoryType) -> bytes:
    return write_limits(memorytype.limits)


def write_globaltype(globaltype: GlobalType) -> bytes:
    return write_valtype(globaltype.type) + bytes((globaltype.mutable,))
