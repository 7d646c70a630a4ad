"""Saved frames as bytes, and as frames with values that a program holds."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chiwawa.native.layout import RECORD_VALUES
from chiwawa.native.tables import Tables
from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.state.numerics import f32_bits, f32_from_bits
from chiwawa_runtime.state.types import F32, F64, I64, V128, NumType, RefType, ValType

_HEAD = struct.Struct("<IIII")
assert _HEAD.size == RECORD_VALUES
#: A reference's place in a table of references, or the reference.
Read = Callable[[RefType, int], Any]
Write = Callable[[RefType, Any], int]


@dataclass(frozen=True, slots=True)
class Shape:
    """Of all records of one entry."""

    values: struct.Struct
    #: The values that are not as ``struct`` gives them: place and type.
    others: tuple[tuple[int, ValType], ...]
    locals: int
    offset: int


class Records:
    """Reads and writes the records of ``instance``."""

    def __init__(self, tables: Tables, instance: Any) -> None:
        self.tables = tables
        self.instance = instance
        self.shapes: dict[tuple[int, int], Shape] = {}
        self.numbers: dict[tuple[int, int, bool], int] = {}

    def shape(self, function: int, entry: int) -> Shape:
        key = function, entry
        found = self.shapes.get(key)
        if found is None:
            table = self.tables.function(function)
            types = (*table.locals, *table.entries[entry].types)
            found = self.shapes[key] = Shape(
                struct.Struct("<" + "".join(map(_code, types))),
                tuple((i, t) for i, t in enumerate(types) if t is F32 or isinstance(t, RefType)),
                len(table.locals),
                table.entries[entry].offset,
            )
        return found

    def read(self, data: bytes, reference: Read) -> list[RawFrame]:
        """The frames that were saved, the youngest first."""
        frames = []
        instance = self.instance
        at = 0
        end = len(data)
        # Many frames of a deep program are at one entry.
        shape = None
        shaped = -1, -1
        head = _HEAD.unpack_from
        while at < end:
            size, function, entry, _ = head(data, at)
            if shape is None or shaped != (function, entry):
                shaped = function, entry
                shape = self.shape(function, entry)
            values: Sequence[Any] = shape.values.unpack_from(data, at + RECORD_VALUES)
            if shape.others:
                values = list(values)
                for place, valtype in shape.others:
                    if valtype is F32:
                        values[place] = f32_from_bits(values[place])
                    else:
                        values[place] = reference(valtype, values[place])  # type: ignore[arg-type]
            count = shape.locals
            frames.append(
                RawFrame(instance, function, shape.offset, values[:count], values[count:])
            )
            at += size
        return frames

    def write(
        self, frames: Sequence[RawFrame], reference: Write, *, all_wait: bool = False
    ) -> bytes:
        """Frames, the youngest first, as records, the oldest first. The youngest does not wait in a
        call, unless ``all_wait``."""
        out: list[bytes] = []
        known: dict[tuple[int, int], tuple[Shape, bytes]] = {}
        for position in range(len(frames) - 1, -1, -1):
            frame = frames[position]
            key = frame.function, frame.offset
            found = known.get(key) if position else None
            if found is None:
                entry = self.number(frame.function, frame.offset, all_wait or position > 0)
                shape = self.shape(frame.function, entry)
                size = RECORD_VALUES + shape.values.size
                found = shape, _HEAD.pack(size, frame.function, entry, 0)
                known[key] = found
            shape, head = found
            values = [*frame.locals, *frame.stack]
            for place, valtype in shape.others:
                if valtype is F32:
                    values[place] = f32_bits(values[place])
                else:
                    values[place] = reference(valtype, values[place])  # type: ignore[arg-type]
            out += (head, shape.values.pack(*values))
        return b"".join(out)

    def number(self, function: int, offset: int, waiting: bool) -> int:
        key = function, offset, waiting
        found = self.numbers.get(key)
        if found is None:
            found = self.numbers[key] = self.tables.function(function).find(offset, waiting)
        return found


def function_of(data: bytes) -> int:
    """The function of the first record."""
    function: int = _HEAD.unpack_from(data)[1]
    return function


def reversed_records(data: bytes) -> bytes:
    """Records in the opposite order."""
    parts = []
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        parts.append(data[at : at + size])
        at += size
    parts.reverse()
    return b"".join(parts)


def with_functions(data: bytes, functions: Sequence[int | None]) -> bytes:
    """Records that say of other functions that they are theirs, where there is one. One more than
    there are records is where nothing follows but a call that needs to know whom it is to call."""
    out = bytearray(data)
    at = 0
    for function in functions:
        if at == len(out):
            out += _HEAD.pack(_HEAD.size, 0, 0, 0)
        size, _, entry, _ = _HEAD.unpack_from(out, at)
        if function is not None:
            _HEAD.pack_into(out, at, size, function, entry, 0)
        at += size
    return bytes(out)


def _code(valtype: ValType) -> str:
    """How ``struct`` reads a slot."""
    if valtype is I64:
        return "Q"
    if valtype is F64:
        return "d"
    if valtype is V128:
        return "16s"
    assert isinstance(valtype, NumType | RefType)
    return "I4x"
