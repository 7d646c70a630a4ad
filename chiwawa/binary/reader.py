"""A cursor over the bytes of a module: integers, names, lengths (spec 5.1 and 5.2).

It knows where it is, so that every error it raises carries the byte offset. It knows nothing of
types, instructions or sections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from chiwawa.limits import more_than
from chiwawa_runtime.checkpoint.leb import decode_s, decode_u
from chiwawa_runtime.errors import MalformedError, UnsupportedError

T = TypeVar("T")


class Reader:
    """``data`` is the whole of what is read, ``pos`` the next byte, counted from its start, and
    ``end`` where the section or body that is being read should end.

    That is no fence: like the spec's own decoder, a reader runs on to the end of ``data`` and
    compares sizes afterwards, which decides what an error is called.
    """

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0
        self.end = len(data)

    def malformed(self, message: str, pos: int | None = None) -> MalformedError:
        """The error to raise, at ``pos`` or at the next byte."""
        return MalformedError(message, offset=self.pos if pos is None else pos)

    def unsupported(self, feature: str, pos: int) -> UnsupportedError:
        """The error to raise, naming the feature and where it is used."""
        return UnsupportedError(f"{feature} is not supported (at byte 0x{pos:x})")

    def byte(self) -> int:
        pos = self.pos
        if pos >= len(self.data):
            raise self.malformed("unexpected end of section or function")
        self.pos = pos + 1
        return self.data[pos]

    def peek(self) -> int:
        """The next byte, which stays the next."""
        if self.pos >= len(self.data):
            raise self.malformed("unexpected end of section or function")
        return self.data[self.pos]

    def u32(self) -> int:
        data, pos = self.data, self.pos
        if pos < len(data) and data[pos] < 0x80:
            self.pos = pos + 1
            return data[pos]
        value, self.pos = decode_u(self.data, self.pos, 32)
        return value

    def u64(self) -> int:
        value, self.pos = decode_u(self.data, self.pos, 64)
        return value

    def s33(self) -> int:
        value, self.pos = decode_s(self.data, self.pos, 33)
        return value

    def length(self) -> int:
        """A u32 that counts bytes still to come."""
        start = self.pos
        value = self.u32()
        if value > len(self.data) - self.pos:
            raise self.malformed("length out of bounds", start)
        return value

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        start = self.pos
        if not 0 <= size <= len(self.data) - start:
            raise self.malformed("unexpected end of section or function", len(self.data))
        self.pos = start + size
        return self.data[start : start + size]

    def name(self) -> str:
        """Spec 5.2.4."""
        size = self.length()
        start = self.pos
        try:
            return self.take(size).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.malformed("malformed UTF-8 encoding", start + error.start) from None

    def count(self, limit: int, what: str) -> int:
        """How many items of a vector are coming, of at least a byte each. Raises UnsupportedError
        where they are more than ``limit``; that there are no bytes for them is found out by whoever
        reads them."""
        start = self.pos
        count = self.u32()
        if limit < count <= self.end - self.pos:
            raise self.unsupported(more_than(limit, what), start)
        return count

    def vec(self, item: Callable[[Reader], T]) -> list[T]:
        """Spec 5.1.3. An ``item`` takes at least one byte, so that the input bounds the list."""
        return [item(self) for _ in range(self.u32())]
