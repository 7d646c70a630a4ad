"""Instructions as bytes: the few that the rewriter adds to a function."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from chiwawa.binary.types import write_heap, write_valtype
from chiwawa.opcodes import TABLE
from chiwawa_runtime.checkpoint.leb import encode_s, encode_u
from chiwawa_runtime.state.types import (
    F32,
    F64,
    I32,
    I64,
    V128,
    NumType,
    RefType,
    ValType,
    VecType,
)

#: The bytes of each instruction that has no prefix, by its name.
BYTE = {op.name: bytes(op.code) for op in TABLE if len(op.code) == 1}
_PREFIXED = {
    op.name: bytes(op.code[:1]) + encode_u(op.code[1]) for op in TABLE if len(op.code) == 2
}
#: A block without parameters and results.
EMPTY = b"\x40"
BLOCK, LOOP, IF = BYTE["block"], *(BYTE[name] + EMPTY for name in ("loop", "if"))
TRY_TABLE = BYTE["try_table"] + EMPTY
ELSE, END = BYTE["else"], BYTE["end"]
THROW_REF = BYTE["throw_ref"]
UNREACHABLE, RETURN, DROP = BYTE["unreachable"], BYTE["return"], BYTE["drop"]
BR, BR_IF, BR_TABLE = BYTE["br"], BYTE["br_if"], BYTE["br_table"]
ADD, SUB, AND, OR, EQZ = (BYTE[f"i32.{name}"] for name in ("add", "sub", "and", "or", "eqz"))
ADD64 = BYTE["i64.add"]

_ALIGNMENT: dict[NumType | VecType, int] = {I32: 2, I64: 3, F32: 2, F64: 3, V128: 3}
#: In the flags of a memarg: a memory index follows.
_WITH_INDEX = 0x40


def prefixed(name: str) -> bytes:
    return _PREFIXED[name]


@lru_cache(maxsize=4096)
def u(value: int) -> bytes:
    return encode_u(value)


@lru_cache(maxsize=4096)
def local_get(index: int) -> bytes:
    return BYTE["local.get"] + encode_u(index)


@lru_cache(maxsize=4096)
def local_set(index: int) -> bytes:
    return BYTE["local.set"] + encode_u(index)


@lru_cache(maxsize=4096)
def local_tee(index: int) -> bytes:
    return BYTE["local.tee"] + encode_u(index)


@lru_cache(maxsize=4096)
def i32(value: int) -> bytes:
    return BYTE["i32.const"] + encode_s(value)


@lru_cache(maxsize=4096)
def i64(value: int) -> bytes:
    return BYTE["i64.const"] + encode_s(value)


@lru_cache(maxsize=4096)
def global_get(index: int) -> bytes:
    return BYTE["global.get"] + encode_u(index)


@lru_cache(maxsize=4096)
def global_set(index: int) -> bytes:
    return BYTE["global.set"] + encode_u(index)


@lru_cache(maxsize=4096)
def call(function: int) -> bytes:
    return BYTE["call"] + encode_u(function)


def call_indirect(typeidx: int, table: int) -> bytes:
    return BYTE["call_indirect"] + encode_u(typeidx) + encode_u(table)


@lru_cache(maxsize=4096)
def access(name: str, memory: int, offset: int) -> bytes:
    """A load or store of the memory at an address on the stack and ``offset``."""
    return BYTE[name] + bytes((_WITH_INDEX,)) + encode_u(memory) + encode_u(offset)


@lru_cache(maxsize=4096)
def load(valtype: NumType | VecType, memory: int, offset: int) -> bytes:
    return _aligned(f"{valtype}.load", valtype, memory, offset)


@lru_cache(maxsize=4096)
def store(valtype: NumType | VecType, memory: int, offset: int) -> bytes:
    return _aligned(f"{valtype}.store", valtype, memory, offset)


def _aligned(name: str, valtype: NumType | VecType, memory: int, offset: int) -> bytes:
    flags = bytes((_WITH_INDEX | _ALIGNMENT[valtype],))
    written = _PREFIXED[name] if valtype is V128 else BYTE[name]
    return written + flags + encode_u(memory) + encode_u(offset)


@lru_cache(maxsize=64)
def zero(valtype: ValType) -> bytes:
    """The constant that a local of the type starts with."""
    if isinstance(valtype, RefType):
        return BYTE["ref.null"] + write_heap(valtype.heap)
    if isinstance(valtype, VecType):
        return _PREFIXED[f"{valtype}.const"] + bytes(valtype.bits // 8)
    if valtype in (F32, F64):
        return BYTE[f"{valtype}.const"] + bytes(valtype.bits // 8)
    return BYTE[f"{valtype}.const"] + encode_s(0)


def ref_cast(valtype: RefType) -> bytes:
    """Trap where the reference on the stack is not of the type."""
    name = "ref.cast null" if valtype.nullable else "ref.cast"
    return _PREFIXED[name] + write_heap(valtype.heap)


def clause(tagidx: int | None, ref: bool, depth: int) -> bytes:
    """A clause of try_table."""
    kind = bytes(((tagidx is None) * 2 + ref,))
    return kind + (b"" if tagidx is None else encode_u(tagidx)) + encode_u(depth)


def vector(items: Iterable[bytes]) -> bytes:
    written = list(items)
    return encode_u(len(written)) + b"".join(written)


def declared(types: Iterable[ValType]) -> bytes:
    """A body's vector of locals, neighbours of one type in one group."""
    groups: list[list[ValType | int]] = []
    for valtype in types:
        if groups and (groups[-1][1] is valtype or groups[-1][1] == valtype):
            groups[-1][0] += 1  # type: ignore[operator]
        else:
            groups.append([1, valtype])
    return vector(encode_u(n) + write_valtype(t) for n, t in groups)  # type: ignore[arg-type]
