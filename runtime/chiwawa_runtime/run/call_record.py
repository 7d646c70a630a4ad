"""The record of a program's calls of the host: what is in it, and its file (docs/call-record.md).

It is a sequence of entries: the instances that were made, calls with their results and what they
changed, calls back that were made meanwhile, and the checkpoints that were written between them.
Nothing here knows how calls are made.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import TypeVar

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
BEGINNING, CHECKPOINT, CALL, END, INSTANCE, BACK = range(6)
#: How a call ended: it returned, it ended the program with a status, it trapped, it exhausted the
#: call stack, it failed, it threw an exception.
RETURNED, EXITED, TRAPPED, EXHAUSTED, FAILED, THREW = range(6)
Read = TypeVar("Read")
#: No changes: six vectors of nothing.
_NOTHING = bytes(6)
_CODES = {valtype: bytes((code,)) for code, valtype in VALTYPE_BY_CODE.items()}
#: A reference: null, a function of an instance's, something else, which only an argument may be, an
#: i31.
NULL, FUNCTION, OTHER, I31 = range(4)
#: What an instance has, as a record names it: the number of the instance, and the index.
Place = tuple[int, int]


class RecordError(BadInput):
    """A record of calls cannot be used, or not be written."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference that is neither null nor an i31: to a function of an instance's, or (None) to
    something else."""

    function: Place | None


#: A value of a call, as the program holds it, references apart. An i31 is an int.
Value = int | float | bytes | None | Reference
Typed = tuple[ValType, Value]


@dataclass(slots=True)
class Effects:
    """What a call changed: sizes of memories in pages, bytes of memories by address, globals, sizes
    of tables, and elements of theirs by index; and what it wrote to standard output (1) and error
    (2)."""

    sizes: list[tuple[Place, int]] = field(default_factory=list)
    writes: list[tuple[Place, int, bytes]] = field(default_factory=list)
    globals: list[tuple[Place, Typed]] = field(default_factory=list)
    lengths: list[tuple[Place, int]] = field(default_factory=list)
    elements: list[tuple[Place, int, Typed]] = field(default_factory=list)
    outputs: list[tuple[int, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the imported function ``function``. ``ended`` is RETURNED, with ``results``;
    EXITED, with ``status``; THREW, with ``tag`` and what the exception holds for ``results``; or
    one of the others, with ``text``."""

    function: Place
    args: Sequence[Typed]
    ended: int
    effects: Effects
    results: Sequence[Typed] = ()
    status: int = 0
    text: str = ""
    tag: Place = (0, 0)


@dataclass(frozen=True, slots=True)
class Back:
    """A call back: the imported function ``function``, called with ``args``, has called the
    function ``target`` with ``given``, and changed ``effects`` before."""

    function: Place
    args: Sequence[Typed]
    effects: Effects
    target: Place
    given: Sequence[Typed]


@dataclass(frozen=True, slots=True)
class Made:
    """An instance: of which module it is, by its SHA-256; whether all NaNs of its arithmetic are
    canonical."""

    hash: bytes
    canonical_nans: bool


# Writing.


def beginning_bytes(made: Made, whole: bool) -> bytes:
    """The first entry: an instance. ``whole``: the record begins with the program, and else at a
    checkpoint."""
    return bytes((BEGINNING, made.canonical_nans | whole << 1)) + made.hash


def instance_bytes(made: Made) -> bytes:
    """The entry of an instance that is not the first."""
    return bytes((INSTANCE, made.canonical_nans)) + made.hash


def checkpoint_bytes(digest: bytes, order: Sequence[int]) -> bytes:
    """The entry of a checkpoint, whose instances have the numbers ``order`` in the record."""
    numbers = b"".join(map(encode_u, order))
    return b"".join((bytes((CHECKPOINT,)), digest, encode_u(len(order)), numbers))


def call_head(function: Place, args: Sequence[Typed]) -> bytes:
    """What an entry of a call begins with, and of another call does not; but for its first byte,
    an entry of a call back that is made meanwhile does, too."""
    return b"".join((bytes((CALL,)), _place(function), _values(args)))


def call_bytes(head: bytes, call: Call) -> bytes:
    """The entry of a call whose ``call_head`` is ``head``."""
    parts = [head, bytes((call.ended,))]
    if call.ended == RETURNED:
        parts.append(_values(call.results))
    elif call.ended == EXITED:
        parts.append(encode_u(call.status))
    elif call.ended == THREW:
        parts += (_place(call.tag), _values(call.results))
    else:
        parts.append(_bytes(call.text.encode("utf-8", "replace")))
    parts.append(_effects(call.effects))
    return b"".join(parts)


def back_bytes(head: bytes, effects: Effects, target: Place, given: Sequence[Typed]) -> bytes:
    """The entry of a call back from the call whose ``call_head`` is ``head``."""
    parts = bytes((BACK,)), head[1:], _effects(effects), _place(target), _values(given)
    return b"".join(parts)


def _effects(effects: Effects) -> bytes:
    parts = [encode_u(len(effects.sizes))]
    parts += [_place(memory) + encode_u(pages) for memory, pages in effects.sizes]
    parts.append(encode_u(len(effects.writes)))
    for memory, address, data in effects.writes:
        parts += (_place(memory), encode_u(address), _bytes(data))
    parts.append(encode_u(len(effects.globals)))
    parts += [_place(place) + _value(*typed) for place, typed in effects.globals]
    parts.append(encode_u(len(effects.lengths)))
    parts += [_place(table) + encode_u(length) for table, length in effects.lengths]
    parts.append(encode_u(len(effects.elements)))
    parts += [_place(t) + encode_u(at) + _value(*typed) for t, at, typed in effects.elements]
    parts.append(encode_u(len(effects.outputs)))
    parts += [encode_u(stream) + _bytes(data) for stream, data in effects.outputs]
    return b"".join(parts)


def _place(place: Place) -> bytes:
    return encode_u(place[0]) + encode_u(place[1])


def _bytes(data: bytes) -> bytes:
    return encode_u(len(data)) + data


def _values(values: Sequence[Typed]) -> bytes:
    return encode_u(len(values)) + b"".join([_value(*typed) for typed in values])


def _value(valtype: ValType, value: Value) -> bytes:
    code = _CODES[valtype]
    if isinstance(valtype, RefType):
        if value is None:
            return code + bytes((NULL,))
        if isinstance(value, int):
            return code + bytes((I31,)) + encode_u(value)
        assert isinstance(value, Reference)
        if value.function is None:
            return code + bytes((OTHER,))
        return code + bytes((FUNCTION,)) + _place(value.function)
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


def read_beginning(content: bytes) -> tuple[Made, bool]:
    """The first instance, and whether the record begins with the program. Raises RecordError."""
    if len(content) != 34 or content[0] != BEGINNING or content[1] > 3:
        raise RecordError("the record is damaged: it has no beginning")
    return Made(content[2:], bool(content[1] & 1)), bool(content[1] & 2)


def read_instance(content: bytes) -> Made:
    """The instance that an entry is of. Raises RecordError."""
    if len(content) != 34 or content[1] > 1:
        raise RecordError("the record is damaged: an instance is not what it was")
    return Made(content[2:], bool(content[1]))


def read_order(content: bytes) -> tuple[int, ...]:
    """The numbers of the instances that the checkpoint is of which an entry is of. Raises
    RecordError."""
    cursor = Cursor(content, 1, len(content))

    def order() -> tuple[int, ...]:
        cursor.take(32)
        return tuple([cursor.u(32) for _ in range(cursor.count())])

    return _read(cursor, order)


def read_call(content: bytes) -> Call:
    """The call that an entry is of. Raises RecordError."""
    cursor = Cursor(content, 1, len(content))
    return _read(cursor, lambda: _end(cursor, _read_place(cursor), _read_values(cursor)))


def read_end(content: bytes, head: bytes, function: Place, args: Sequence[Typed]) -> Call:
    """The same of an entry that begins with ``head``, the ``call_head`` of ``function`` and
    ``args``."""
    cursor = Cursor(content, len(head), len(content))
    return _read(cursor, lambda: _end(cursor, function, args))


def read_back(content: bytes) -> Back:
    """The call back that an entry is of. Raises RecordError."""
    cursor = Cursor(content, 1, len(content))
    return _read(
        cursor,
        lambda: Back(
            _read_place(cursor),
            _read_values(cursor),
            _read_effects(cursor),
            _read_place(cursor),
            _read_values(cursor),
        ),
    )


def _read(cursor: Cursor, what: Callable[[], Read]) -> Read:
    try:
        found = what()
        cursor.finish()
    except CheckpointError as error:
        said = error.message.removeprefix("malformed checkpoint: ")
        raise RecordError(f"the record is damaged: in an entry, {said}") from None
    return found


def _end(cursor: Cursor, function: Place, args: Sequence[Typed]) -> Call:
    ended = cursor.byte()
    results: Sequence[Typed] = ()
    status, text, tag = 0, "", (0, 0)
    if ended == RETURNED:
        results = _read_values(cursor)
    elif ended == EXITED:
        status = cursor.u(32)
    elif ended == THREW:
        tag, results = _read_place(cursor), _read_values(cursor)
    elif ended in (TRAPPED, EXHAUSTED, FAILED):
        text = cursor.name()
    else:
        raise cursor.error("an end that there is not")
    return Call(function, args, ended, _read_effects(cursor), results, status, text, tag)


def _read_effects(cursor: Cursor) -> Effects:
    if cursor.data[cursor.pos : cursor.end] == _NOTHING:
        cursor.pos = cursor.end
        return Effects()
    place, u, count, value = _read_place, cursor.u, cursor.count, _read_value
    effects = Effects(
        [(place(cursor), u(64)) for _ in range(count())],
        [(place(cursor), u(64), cursor.take(u(32))) for _ in range(count())],
        [(place(cursor), value(cursor)) for _ in range(count())],
        [(place(cursor), u(64)) for _ in range(count())],
        [(place(cursor), u(64), value(cursor)) for _ in range(count())],
        [(u(32), cursor.take(u(32))) for _ in range(count())],
    )
    if any(stream not in (1, 2) for stream, _ in effects.outputs):
        raise cursor.error("an output that there is not")
    return effects


def _read_place(cursor: Cursor) -> Place:
    return cursor.u(32), cursor.u(32)


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
    if kind == I31:
        return valtype, cursor.u(31)
    if kind not in (FUNCTION, OTHER):
        raise cursor.error("malformed reference")
    return valtype, Reference(_read_place(cursor) if kind == FUNCTION else None)


def check_same(recorded: Made, made: Made) -> None:
    """Raises RecordError unless it is the same that was recorded, and is run so."""
    if recorded.hash != made.hash:
        raise RecordError(
            f"this record is of another module: its sha256 is {recorded.hash.hex()}, the given "
            f"module's {made.hash.hex()}"
        )
    if recorded.canonical_nans != made.canonical_nans:
        was, is_ = ("with", "without") if recorded.canonical_nans else ("without", "with")
        raise RecordError(f"the program was recorded {was} canonical NaNs, and is run {is_} them")


def made_in(entries: Iterable[bytes]) -> list[Made]:
    """The instances that entries are of, the first one's beginning among them."""
    return [
        read_beginning(content)[0] if content[0] == BEGINNING else read_instance(content)
        for content in entries
        if content[0] in (BEGINNING, INSTANCE)
    ]


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

    def begin(self, contents: Sequence[bytes]) -> Sequence[bytes]:
        """Start with these entries, unless that is how an earlier record ends which begins at
        another place: then go on with it. What else is there is replaced. The entries that are
        there then."""
        try:
            earlier, end = self.earlier(contents)
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
        if end:
            return earlier
        for content in contents:
            self.append(content)
        return contents

    def earlier(self, contents: Sequence[bytes]) -> tuple[Sequence[bytes], int]:
        """The entries of an earlier record that stops at the checkpoint at which this one begins,
        and where it ends; 0: there is none."""
        if contents[-1][0] == CHECKPOINT:
            with contextlib.suppress(OSError, RecordError):
                if not stat.S_ISREG(os.stat(self.path).st_mode):
                    return (), 0
                with open(self.path, "rb") as file:
                    earlier, total, end = entries_of(file.read())
                if earlier[-1][:33] == contents[-1][:33]:
                    self.total = total
                    return earlier, end
        return (), 0

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
