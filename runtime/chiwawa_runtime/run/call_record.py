"""The record of a program's calls of the host: what is in it, and its file (docs/call-record.md).

It is a sequence of entries: a beginning, calls with their results and what they changed, and the
checkpoints that were written between them. Nothing here knows how calls are made.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct

from chiwawa_runtime.checkpoint.cursor import Cursor
from chiwawa_runtime.checkpoint.leb import encode_s, encode_u
from chiwawa_runtime.errors import BadInput, CheckpointError
from chiwawa_runtime.state.numerics import f32_bits, f64_bits
from chiwawa_runtime.state.types import F32, F64, I32, V128, VALTYPE_BY_CODE, RefType, ValType

#: What a file begins with; the last byte but one is the version.
MAGIC = b"\0chiwawa calls\1\n"
#: What an entry begins with: its size, and the checksum of all contents up to its own.
FRAME = Struct("<II")
#: What an entry's first byte says that it is.
BEGINNING, CHECKPOINT, CALL, END = range(4)
#: How a call ended: it returned, it ended the program with a status, it trapped, it failed.
RETURNED, EXITED, TRAPPED, EXHAUSTED, FAILED = range(5)
_CODES = {valtype: bytes((code,)) for code, valtype in VALTYPE_BY_CODE.items()}
#: A reference: null, a function of the instance's, something else, which only an argument may be.
NULL, FUNCTION, OTHER = range(3)


class RecordError(BadInput):
    """A record of calls cannot be used, or not be written."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference that is not null: to a function of the instance's, by its index, or (None) to
    something else."""

    function: int | None


#: A value of a call, as the program holds it, references apart.
Value = int | float | bytes | None | Reference
Typed = tuple[ValType, Value]


@dataclass(slots=True)
class Effects:
    """What a call changed: sizes of memories in pages, bytes of memories by address, globals, all
    by index; and what it wrote to standard output (1) and error (2)."""

    sizes: list[tuple[int, int]] = field(default_factory=list)
    writes: list[tuple[int, int, bytes]] = field(default_factory=list)
    globals: list[tuple[int, Typed]] = field(default_factory=list)
    outputs: list[tuple[int, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the imported function ``function``. ``ended`` is RETURNED, with ``results``;
    EXITED, with ``status``; or one of the others, with ``text``."""

    function: int
    args: Sequence[Typed]
    ended: int
    effects: Effects
    results: Sequence[Typed] = ()
    status: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Of which module the calls are, by its SHA-256; whether all NaNs of its arithmetic are
    canonical; whether the record begins with the program (or else at a checkpoint)."""

    hash: bytes
    canonical_nans: bool
    whole: bool


# Writing.


def beginning_bytes(beginning: Beginning) -> bytes:
    flags = beginning.canonical_nans | beginning.whole << 1
    return bytes((BEGINNING, flags)) + beginning.hash


def checkpoint_bytes(digest: bytes) -> bytes:
    return bytes((CHECKPOINT,)) + digest


def call_head(function: int, args: Sequence[Typed]) -> bytes:
    """What an entry of a call begins with, and of another call does not."""
    return b"".join((bytes((CALL,)), encode_u(function), _values(args)))


def call_bytes(head: bytes, call: Call) -> bytes:
    """The entry of a call whose ``call_head`` is ``head``."""
    effects = call.effects
    parts = [head, bytes((call.ended,))]
    if call.ended == RETURNED:
        parts.append(_values(call.results))
    elif call.ended == EXITED:
        parts.append(encode_u(call.status))
    else:
        parts.append(_bytes(call.text.encode("utf-8", "replace")))
    parts.append(encode_u(len(effects.sizes)))
    parts += [encode_u(memory) + encode_u(pages) for memory, pages in effects.sizes]
    parts.append(encode_u(len(effects.writes)))
    for memory, address, data in effects.writes:
        parts += (encode_u(memory), encode_u(address), _bytes(data))
    parts.append(encode_u(len(effects.globals)))
    parts += [encode_u(index) + _value(*typed) for index, typed in effects.globals]
    parts.append(encode_u(len(effects.outputs)))
    parts += [encode_u(stream) + _bytes(data) for stream, data in effects.outputs]
    return b"".join(parts)


def _bytes(data: bytes) -> bytes:
    return encode_u(len(data)) + data


def _values(values: Sequence[Typed]) -> bytes:
    return encode_u(len(values)) + b"".join([_value(*typed) for typed in values])


def _value(valtype: ValType, value: Value) -> bytes:
    code = _CODES[valtype]
    if isinstance(valtype, RefType):
        if value is None:
            return code + bytes((NULL,))
        assert isinstance(value, Reference)
        if value.function is None:
            return code + bytes((OTHER,))
        return code + bytes((FUNCTION,)) + encode_u(value.function)
    if valtype is V128:
        assert isinstance(value, bytes)
        return code + value
    if valtype is F32:
        assert isinstance(value, float)
        return code + f32_bits(value).to_bytes(4, "little")
    if valtype is F64:
        assert isinstance(value, float)
        return code + f64_bits(value).to_bytes(8, "little")
    assert isinstance(value, int)
    bits = 32 if valtype is I32 else 64
    return code + encode_s((value & (1 << bits) - 1 ^ 1 << bits - 1) - (1 << bits - 1))


# Reading.


def read_beginning(content: bytes) -> Beginning:
    """Raises RecordError."""
    if len(content) != 34 or content[0] != BEGINNING or content[1] > 3:
        raise RecordError("the record is damaged: it has no beginning")
    return Beginning(content[2:], bool(content[1] & 1), bool(content[1] & 2))


def read_call(content: bytes) -> Call:
    """The call that an entry is of. Raises RecordError."""
    cursor = Cursor(content, 1, len(content))
    try:
        call = _call(cursor)
        cursor.finish()
    except CheckpointError as error:
        said = error.message.removeprefix("malformed checkpoint: ")
        raise RecordError(f"the record is damaged: in an entry, {said}") from None
    return call


def _call(cursor: Cursor) -> Call:
    function = cursor.u(32)
    args = _read_values(cursor)
    ended = cursor.byte()
    results: Sequence[Typed] = ()
    status, text = 0, ""
    if ended == RETURNED:
        results = _read_values(cursor)
    elif ended == EXITED:
        status = cursor.u(32)
    elif ended in (TRAPPED, EXHAUSTED, FAILED):
        text = cursor.name()
    else:
        raise cursor.error("an end that there is not")
    effects = Effects(
        [(cursor.u(32), cursor.u(64)) for _ in range(cursor.count())],
        [(cursor.u(32), cursor.u(64), cursor.take(cursor.u(32))) for _ in range(cursor.count())],
        [(cursor.u(32), _read_value(cursor)) for _ in range(cursor.count())],
        [(cursor.u(32), cursor.take(cursor.u(32))) for _ in range(cursor.count())],
    )
    if any(stream not in (1, 2) for stream, _ in effects.outputs):
        raise cursor.error("an output that there is not")
    return Call(function, args, ended, effects, results, status, text)


def _read_values(cursor: Cursor) -> list[Typed]:
    return [_read_value(cursor) for _ in range(cursor.count())]


def _read_value(cursor: Cursor) -> Typed:
    valtype = VALTYPE_BY_CODE.get(cursor.byte())
    if valtype is None:
        raise cursor.error("malformed value type")
    if not isinstance(valtype, RefType):
        return valtype, cursor.number(valtype)
    kind = cursor.byte()
    if kind == NULL:
        return valtype, None
    if kind not in (FUNCTION, OTHER):
        raise cursor.error("malformed reference")
    return valtype, Reference(cursor.u(32) if kind == FUNCTION else None)


def entries_of(data: bytes) -> tuple[list[bytes], int, int]:
    """The contents of a record's entries; the checksum after the last one, and where it ends. One
    that is not there as a whole is left out: whoever wrote it was stopped in the middle. Raises
    RecordError for everything else that is wrong."""
    if data[: len(MAGIC)] != MAGIC:
        if data[: len(MAGIC) - 2] == MAGIC[:-2]:
            raise RecordError("it is a record of calls of a version that is not known here")
        raise RecordError("it is no record of calls")
    at, total, size = len(MAGIC), 0, len(data)
    contents: list[bytes] = []
    while size - at >= FRAME.size:
        length, expected = FRAME.unpack_from(data, at)
        start = at + FRAME.size
        if size - start < length:
            break
        content = data[start : start + length]
        total = zlib.crc32(content, total)
        if not content or total != expected:
            raise RecordError(f"the record is damaged: entry {len(contents)} is not what it was")
        contents.append(content)
        at = start + length
    if not contents:
        raise RecordError("the record is damaged: it has no beginning")
    return contents, total, at


def record_bytes(contents: Sequence[bytes]) -> bytes:
    """A whole record."""
    parts, total = [MAGIC], 0
    for content in contents:
        total = zlib.crc32(content, total)
        parts += (FRAME.pack(len(content), total), content)
    return b"".join(parts)


class RecordFile:
    """A record that is being written: each entry whole, and out when ``append`` returns. Raises
    RecordError for what cannot be written."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.handle = -1
        self.total = 0

    def begin(self, contents: Sequence[bytes]) -> None:
        """Start with these entries, unless that is how an earlier record ends which begins at
        another place: then go on with it. What else is there is replaced."""
        try:
            end = self.end_of_earlier(contents)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self.handle = os.open(self.path, flags, 0o600)
            if not stat.S_ISREG(os.fstat(self.handle).st_mode):
                raise RecordError(f"cannot write {self.path}: not a regular file")
            os.ftruncate(self.handle, end)
            os.lseek(self.handle, end, os.SEEK_SET)
            if not end:
                self.write(MAGIC)
        except OSError as error:
            raise self.failure(error) from error
        if not end:
            for content in contents:
                self.append(content)

    def end_of_earlier(self, contents: Sequence[bytes]) -> int:
        """Where an earlier record ends that stops at the checkpoint at which this one begins; 0:
        there is none."""
        if len(contents) < 2:
            return 0
        with contextlib.suppress(OSError, RecordError):
            if not stat.S_ISREG(os.stat(self.path).st_mode):
                return 0
            with open(self.path, "rb") as file:
                earlier, total, end = entries_of(file.read())
            if earlier[-1] == contents[-1] and earlier[0][2:] == contents[0][2:]:
                self.total = total
                return end
        return 0

    def append(self, content: bytes) -> None:
        if self.handle < 0:
            return
        self.total = zlib.crc32(content, self.total)
        try:
            self.write(FRAME.pack(len(content), self.total) + content)
        except OSError as error:
            raise self.failure(error) from error

    def write(self, data: bytes) -> None:
        done = os.write(self.handle, data)
        while done < len(data):
            done += os.write(self.handle, data[done:])

    def failure(self, error: OSError) -> RecordError:
        return RecordError(f"cannot write {self.path}: {error.strerror or error}")

    def close(self) -> None:
        handle, self.handle = self.handle, -1
        if handle >= 0:
            os.close(handle)
