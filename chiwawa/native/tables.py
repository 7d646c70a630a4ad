"""What a host must know of a rewritten module to read its saved frames, and to make some.

They are bytes as a file has them, which ``docs/native.md`` specifies, and a function's are read
when they are first asked for. They are written function by function, as the module is.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from chiwawa.binary.reader import Reader
from chiwawa.binary.types import read_valtype, write_valtype, write_valtypes
from chiwawa.native.layout import BOUNDARIES
from chiwawa.native.scopes import Places
from chiwawa_runtime.checkpoint.leb import decode_s, encode_s, encode_u
from chiwawa_runtime.errors import MalformedError
from chiwawa_runtime.state.types import ValType

#: The kinds of entries, by the number that files give them. A frame waits in a ``call``, and stands
#: at all others. From a ``trap`` none goes on: it says where the program trapped.
ENTRY, LOOP, HOST, CALL, TRAP = "entry", "loop", "host", "call", "trap"
KINDS = (ENTRY, LOOP, HOST, CALL, TRAP)

#: Changes whenever files, the rewriter and the engine come to agree on something else.
VERSION = 3
#: The version, what is counted, where the first record is, how many functions there
#: are, and the SHA-256 of the original.
_HEAD = struct.Struct("<IIII32s")
_WORD = struct.Struct("<I")
#: A function's table begins with what it has.
_PLACES, _FRAMES = 0, 1
#: More than any function has.
_MOST_LOCALS = 1 << 17


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a function can be entered again: the code offset of the original's instruction, and the
    types of the operands that a frame has there, the deepest first."""

    kind: str
    offset: int
    types: tuple[ValType, ...]


@dataclass(frozen=True, slots=True)
class FunctionTable:
    """``locals`` are types, parameters first. A record names an entry by its place in
    ``entries``."""

    locals: tuple[ValType, ...]
    entries: tuple[Entry, ...]
    places: Places

    def find(self, offset: int, waiting: bool) -> int:
        """The entry at which a frame stands at ``offset``, or waits in the call there. Raises
        KeyError."""
        for number in range(len(self.entries) - 1, -1, -1):
            entry = self.entries[number]
            if entry.kind == TRAP:
                continue
            if entry.offset == offset and (entry.kind == CALL) == waiting:
                return number
        raise KeyError(offset)


def write_table(table: FunctionTable) -> bytes:
    """Of a function that may be suspended."""
    groups: list[tuple[int, ValType]] = []
    for valtype in table.locals:
        if groups and groups[-1][1] == valtype:
            groups[-1] = groups[-1][0] + 1, valtype
        else:
            groups.append((1, valtype))
    out = bytearray(encode_u(_FRAMES) + encode_u(len(groups)))
    for count, valtype in groups:
        out += encode_u(count) + write_valtype(valtype)
    out += encode_u(len(table.entries))
    for entry in table.entries:
        out += encode_u(KINDS.index(entry.kind)) + encode_u(entry.offset)
        out += write_valtypes(entry.types)
    _write_places(out, table.places)
    return bytes(out)


def write_places(places: Places) -> bytes:
    """Of a function that is never suspended, but not as it was."""
    out = bytearray(encode_u(_PLACES))
    _write_places(out, places)
    return bytes(out)


def _write_places(out: bytearray, places: Places) -> None:
    out += encode_u(len(places.new))
    before = 0
    for new, old in zip(places.new, places.old, strict=True):
        further = new - before
        # Inline what nearly all are: there is one for each copy of original code.
        if further < 128 and 64 <= old < 8192:
            out += bytes((further, old & 0x7F | 0x80, old >> 7))
        else:
            out += encode_u(further) + encode_s(old)
        before = new


def write_tables(
    counting: int, segments: int, original: bytes, functions: Sequence[bytes]
) -> bytes:
    """The tables of a module whose SHA-256 is ``original``; those of its ``functions``, imported
    ones first, have been written. One that is as it was has nothing."""
    head = _HEAD.pack(VERSION, counting, segments, len(functions), original)
    starts = accumulate(map(len, functions), initial=0)
    return b"".join((head, struct.pack(f"<{len(functions) + 1}I", *starts), *functions))


class Tables:
    """The tables in ``data``. ``segments`` is how many data and
    element segments the module has, ``original`` the
    SHA-256 of the module that was rewritten. Raises MalformedError, now or when a function is asked
    for, for what no rewriter has written."""

    def __init__(self, data: bytes) -> None:
        if len(data) < _HEAD.size:
            raise _malformed("cut off")
        version, counting, segments, functions, original = _HEAD.unpack_from(data)
        if version != VERSION:
            raise _malformed(f"of version {version}, and this is for {VERSION}: compile it again")
        if counting > BOUNDARIES or _HEAD.size + _WORD.size * (functions + 1) > len(data):
            raise _malformed("cut off")
        self.data = data
        self.counting: int = counting
        self.segments: int = segments
        self.original: bytes = original
        self.count: int = functions
        self.known: dict[int, FunctionTable | Places | None] = {}

    def function(self, index: int) -> FunctionTable:
        """Of a function that may be suspended. Raises KeyError for any other."""
        found = self._table(index)
        if not isinstance(found, FunctionTable):
            raise KeyError(index)
        return found

    def places(self, index: int) -> Places | None:
        """Where a function may trap; None: it is as it was."""
        found = self._table(index)
        return found.places if isinstance(found, FunctionTable) else found

    def _table(self, index: int) -> FunctionTable | Places | None:
        if index not in self.known:
            self.known[index] = self._read(index)
        return self.known[index]

    def _read(self, index: int) -> FunctionTable | Places | None:
        if index >= self.count:
            return None
        at = _HEAD.size + _WORD.size * index
        first = _HEAD.size + _WORD.size * (self.count + 1)
        start, end = (_WORD.unpack_from(self.data, at + each)[0] + first for each in (0, 4))
        if not start <= end <= len(self.data):
            raise _malformed("broken")
        if start == end:
            return None
        try:
            return _function(Reader(self.data[start:end]))
        except MalformedError:
            raise _malformed("broken") from None


def _function(r: Reader) -> FunctionTable | Places:
    what = r.u32()
    if what == _PLACES:
        return _places(r)
    if what != _FRAMES:
        raise r.malformed("")
    locals_: list[ValType] = []
    for _ in range(r.u32()):
        count = r.u32()
        if len(locals_) + count > _MOST_LOCALS:
            raise r.malformed("")
        locals_ += [read_valtype(r)] * count
    entries = r.vec(_entry)
    return FunctionTable(tuple(locals_), tuple(entries), _places(r))


def _entry(r: Reader) -> Entry:
    kind = r.u32()
    if kind >= len(KINDS):
        raise r.malformed("")
    return Entry(KINDS[kind], r.u32(), tuple(r.vec(read_valtype)))


def _places(r: Reader) -> Places:
    new: list[int] = []
    old: list[int] = []
    at = 0
    for _ in range(r.u32()):
        at += r.u32()
        new.append(at)
        value, r.pos = decode_s(r.data, r.pos, 33)
        old.append(value)
    return Places(new, old)


def _malformed(what: str) -> MalformedError:
    return MalformedError(f"the tables of a rewritten module are {what}")
