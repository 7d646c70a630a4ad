"""A position in a checkpoint's bytes, and the primitives of the binary format (spec 5.2) read
there, each in its only canonical form. Whatever is wrong is a CheckpointError with the offset."""

from __future__ import annotations

from chiwawa_runtime.checkpoint.layout import (
    ALONE,
    REF_CARRIED,
    REF_FUNC,
    REF_I31,
    REF_NULL,
    REF_OBJECT,
    REFERENCES,
)
from chiwawa_runtime.checkpoint.leb import decode_s, decode_u, encode_s, encode_u
from chiwawa_runtime.errors import CheckpointError, MalformedError
from chiwawa_runtime.state.numerics import f32_from_bits, f64_from_bits
from chiwawa_runtime.state.snapshot import I31, Carried, FuncIdx, ObjIdx, Ref, TypeIdx, Value
from chiwawa_runtime.state.types import (
    F32,
    F64,
    I8,
    I16,
    I64,
    PAGE,
    V128,
    VALTYPE_BY_CODE,
    Limits,
    MemoryType,
    NumType,
    PackedType,
    RefType,
    StorageType,
    ValType,
    VecType,
)

#: What each version of the format has, by the byte that stands for it.
_VALTYPES: dict[int, dict[int, ValType]] = {
    version: {
        code: valtype
        for code, valtype in VALTYPE_BY_CODE.items()
        if not isinstance(valtype, RefType) or valtype in references
    }
    for version, references in REFERENCES.items()
}
_PACKED: dict[int, PackedType] = {t.code: t for t in (I8, I16)}


class Cursor:
    """Reads ``data`` from ``pos`` to ``end``, and never beyond. ``base`` is the offset in the file
    of ``data[0]``, ``version`` the format's."""

    __slots__ = ("base", "data", "end", "pos", "version")

    def __init__(self, data: bytes, pos: int, end: int, base: int = 0) -> None:
        self.data = data
        self.pos = pos
        self.end = end
        self.base = base
        self.version = ALONE

    def error(self, message: str) -> CheckpointError:
        """What is wrong here, as an exception to raise."""
        return malformed(message, self.base + self.pos)

    def finish(self) -> None:
        """Nothing may be left."""
        if self.pos != self.end:
            raise self.error("section size mismatch")

    def byte(self) -> int:
        if self.pos >= self.end:
            raise self.error("unexpected end of section")
        self.pos += 1
        return self.data[self.pos - 1]

    def expect(self, constant: bytes, what: str) -> None:
        if self.take(len(constant)) != constant:
            self.pos -= len(constant)
            raise self.error(f"{what} expected")

    def take(self, size: int) -> bytes:
        start = self.skip(size)
        return self.data[start : start + size]

    def skip(self, size: int) -> int:
        """Pass over ``size`` bytes: where they start."""
        if size > self.end - self.pos:
            raise self.error("unexpected end of section")
        self.pos += size
        return self.pos - size

    def u(self, bits: int) -> int:
        start = self.pos
        if start < self.end and self.data[start] < 128:
            self.pos += 1
            return self.data[start]
        if start + 1 < self.end and 0 < self.data[start + 1] < 128:
            self.pos += 2
            return self.data[start] & 127 | self.data[start + 1] << 7
        try:
            value, pos = decode_u(self.data, start, bits)
        except MalformedError as error:
            raise self.error(error.message) from error
        self._passed(pos, len(encode_u(value)))
        return value

    def s(self, bits: int) -> int:
        try:
            value, pos = decode_s(self.data, self.pos, bits)
        except MalformedError as error:
            raise self.error(error.message) from error
        self._passed(pos, len(encode_s(value)))
        return value

    def _passed(self, pos: int, shortest: int) -> None:
        if pos > self.end:
            raise self.error("unexpected end of section")
        if pos - self.pos != shortest:
            raise self.error("integer representation too long")
        self.pos = pos

    def count(self) -> int:
        """The length of a vector, of which each element takes at least a byte."""
        count = self.u(32)
        if count > self.end - self.pos:
            raise self.error("length out of bounds")
        return count

    def flag(self) -> bool:
        value = self.byte()
        if value > 1:
            self.pos -= 1
            raise self.error("a flag is neither 0 nor 1")
        return value == 1

    def flags(self) -> tuple[bool, ...]:
        """A vector of them, looked at all at once: of segments there are tens of thousands."""
        flags = self.take(self.count())
        other = flags.translate(None, b"\0\1")
        if other:
            self.pos -= len(flags) - flags.index(other[0])
            raise self.error("a flag is neither 0 nor 1")
        return tuple(map(bool, flags))

    def name(self) -> str:
        try:
            return self.take(self.u(32)).decode()
        except UnicodeDecodeError as error:
            raise self.error("malformed UTF-8 encoding") from error

    def limits(self) -> Limits:
        """Spec 5.3.7, with bit 2 for 64-bit addresses."""
        return self._limits(self.byte(), 5)

    def memorytype(self) -> MemoryType:
        """Spec 5.3.8, with bit 1 for a shared memory, and bit 3 for the exponent of a page size."""
        flags = self.byte()
        limits = self._limits(flags, 15)
        page = PAGE
        if flags & 8:
            exponent = self.byte()
            if exponent > 64 or exponent == 16:
                self.pos -= 1
                raise self.error("invalid custom page size")
            page = 1 << exponent
        return MemoryType(limits, page, bool(flags & 2))

    def _limits(self, flags: int, known: int) -> Limits:
        if flags & ~known:
            self.pos -= 1
            raise self.error("malformed limits flags")
        bits = 64 if flags & 4 else 32
        least = self.u(bits)
        most = self.u(bits) if flags & 1 else None
        return Limits(least, most, I64) if flags & 4 else Limits(least, most)

    def valtype(self) -> ValType:
        valtype = _VALTYPES[self.version].get(self.byte())
        if valtype is None:
            self.pos -= 1
            raise self.error("malformed value type")
        return valtype

    def reftype(self) -> RefType:
        valtype = self.valtype()
        if not isinstance(valtype, RefType):
            self.pos -= 1
            raise self.error("malformed reference type")
        return valtype

    def number(self, valtype: NumType | VecType) -> int | float | bytes:
        """The payload of a value that is no reference; ints are unsigned."""
        if valtype == F32:
            return f32_from_bits(int.from_bytes(self.take(4), "little"))
        if valtype == F64:
            return f64_from_bits(int.from_bytes(self.take(8), "little"))
        if valtype == V128:
            return bytes(self.take(16))
        return self.s(valtype.bits) & (1 << valtype.bits) - 1

    def ref(self) -> Ref:
        kind = self.byte()
        if kind == REF_NULL:
            return None
        if kind == REF_FUNC:
            return FuncIdx(self.u(32)) if self.version == ALONE else self.function()
        if kind == REF_CARRIED:
            return Carried(self.name())
        if kind == REF_OBJECT and self.version != ALONE:
            return ObjIdx(self.u(32))
        if kind == REF_I31 and self.version != ALONE:
            return I31(self.s(31) & 0x7FFFFFFF)
        self.pos -= 1
        raise self.error("malformed reference")

    def function(self) -> FuncIdx:
        """A function with its instance."""
        instance = self.u(32)
        return FuncIdx(self.u(32), instance)

    def deftype(self) -> TypeIdx:
        """A defined type, with an instance that has it."""
        instance = self.u(32)
        return TypeIdx(self.u(32), instance)

    def storagetype(self) -> StorageType:
        if self.pos < self.end:
            packed = _PACKED.get(self.data[self.pos])
            if packed is not None:
                self.pos += 1
                return packed
        return self.valtype()

    def stored(self, storage: StorageType) -> Value:
        """What a field of that type holds."""
        if isinstance(storage, PackedType):
            return int.from_bytes(self.take(storage.bits // 8), "little")
        return self.value(storage)

    def indices(self) -> tuple[int, ...]:
        return tuple([self.u(32) for _ in range(self.count())])

    def value(self, valtype: ValType) -> Value:
        return self.ref() if isinstance(valtype, RefType) else self.number(valtype)

    def typed(self) -> tuple[tuple[ValType, Value], ...]:
        """A vector of values, each after its type."""
        found = []
        for _ in range(self.count()):
            valtype = self.valtype()
            found.append((valtype, self.value(valtype)))
        return tuple(found)

    def fields(self) -> tuple[tuple[StorageType, Value], ...]:
        """A vector of what fields hold, each after its type."""
        found = []
        for _ in range(self.count()):
            storage = self.storagetype()
            found.append((storage, self.stored(storage)))
        return tuple(found)


def malformed(message: str, offset: int) -> CheckpointError:
    return CheckpointError(f"malformed checkpoint: {message} (at byte 0x{offset:x})")
