"""The types of the spec: values, functions, limits, tables, memories, globals (spec 2.3).

They are shared by the toolchain and the running program, so this module knows nothing of either.
Reference types are written with a heap type and a nullability, although Wasm 2.0 has only two of
them, so that Wasm 3.0's need no second notion. What ``str`` gives of a type says all of it, in the
spec's words; ``type_text`` reads that.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NumType:
    """A number type; ``code`` is its byte in the binary format, ``bits`` its width."""

    name: str
    code: int
    bits: int

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class VecType:
    """A vector type."""

    name: str
    code: int
    bits: int

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class RefType:
    """A reference type. ``heap`` is the name of an abstract heap type or a type index."""

    heap: str | int
    nullable: bool = True

    def __str__(self) -> str:
        if self.nullable and self.heap in HEAP_CODES:
            return f"{self.heap}ref"
        return f"(ref {'null ' if self.nullable else ''}{self.heap})"


ValType = NumType | VecType | RefType

I32 = NumType("i32", 0x7F, 32)
I64 = NumType("i64", 0x7E, 64)
F32 = NumType("f32", 0x7D, 32)
F64 = NumType("f64", 0x7C, 64)
V128 = VecType("v128", 0x7B, 128)
HEAP_CODES: dict[str | int, int] = {"func": 0x70, "extern": 0x6F}
FUNCREF = RefType("func")
EXTERNREF = RefType("extern")

#: What the binary format writes in one byte, and the text format in one word.
VALTYPE_BY_CODE: dict[int, ValType] = {
    **{t.code: t for t in (I32, I64, F32, F64, V128)},
    HEAP_CODES["func"]: FUNCREF,
    HEAP_CODES["extern"]: EXTERNREF,
}
VALTYPE_BY_NAME: dict[str, ValType] = {str(t): t for t in VALTYPE_BY_CODE.values()}


def valtype_code(valtype: ValType) -> int:
    """The byte that stands for ``valtype`` in the binary format (spec 5.3)."""
    if isinstance(valtype, RefType):
        return HEAP_CODES[valtype.heap]
    return valtype.code


def zero(valtype: ValType) -> int | float | bytes | None:
    """The default value of a type (spec 4.2.1), which a local starts with. Its ``repr`` is the
    source of it, in translated code."""
    if isinstance(valtype, NumType):
        return 0.0 if valtype in (F32, F64) else 0
    if isinstance(valtype, VecType):
        return bytes(valtype.bits // 8)
    return None


@dataclass(frozen=True, slots=True)
class FuncType:
    """Parameters and results, each a tuple of value types."""

    params: tuple[ValType, ...]
    results: tuple[ValType, ...]

    def __str__(self) -> str:
        left = " ".join(map(str, self.params))
        right = " ".join(map(str, self.results))
        return f"[{left}] -> [{right}]"


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in the unit of what they limit (pages or elements). ``address`` is the type of an
    address into it: i32, or i64 once memory64 comes."""

    min: int
    max: int | None = None
    address: NumType = I32

    def __str__(self) -> str:
        address = "" if self.address == I32 else f"{self.address} "
        return address + (f"{self.min}" if self.max is None else f"{self.min} {self.max}")


@dataclass(frozen=True, slots=True)
class TableType:
    limits: Limits
    element: RefType

    def __str__(self) -> str:
        return f"{self.limits} {self.element}"


@dataclass(frozen=True, slots=True)
class MemoryType:
    """Limits in pages of 64 KiB."""

    limits: Limits

    def __str__(self) -> str:
        return str(self.limits)


@dataclass(frozen=True, slots=True)
class GlobalType:
    type: ValType
    mutable: bool

    def __str__(self) -> str:
        return f"(mut {self.type})" if self.mutable else str(self.type)


#: What can be imported and exported. A module's own import of a function holds a type index until
#: it is resolved; see ``chiwawa.module``.
ExternType = FuncType | TableType | MemoryType | GlobalType

PAGE = 65536
