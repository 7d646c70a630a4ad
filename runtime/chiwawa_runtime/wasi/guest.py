"""The memory of the program that calls, and what of its instance a blocking call watches.

Everything that a program passes by address is read and written through here, and an address out of
bounds is EFAULT. What a function will write is checked before it has any effect. However much a
program asks for, what is held for it at once is bounded by the constants here.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any

from chiwawa_runtime.errors import Trap
from chiwawa_runtime.state.memory import Memory
from chiwawa_runtime.state.reserve import Raw
from chiwawa_runtime.wasi.abi import (
    FAULT,
    ILSEQ,
    INVAL,
    IOVEC,
    NAMETOOLONG,
    NOENT,
    Layout,
    WasiError,
)

_U32 = Struct("<I")
_U64 = Struct("<Q")
#: Bytes in a path, with the zero that ends it on the host.
PATH_MAX = 4096
#: Buffers that one call looks at, as Linux's IOV_MAX; what is beyond makes the count short.
MAX_VECTORS = 1024
#: Bytes of the program's buffers that are held, or asked of the host, at once.
PIECE = 1 << 20


class Guest:
    """A program as one of its imports sees it. ``data`` is what is in its memory 0, ``pending`` the
    list of requests to stop, ``layout`` the version of WASI that it calls."""

    __slots__ = ("layout", "memory", "pending")

    def __init__(self, instance: Any, layout: Layout) -> None:
        try:
            self.memory: Memory = instance.memory(0)
        except (IndexError, KeyError, AttributeError):
            raise Trap("the program calls WASI, but has no memory") from None
        self.pending: list[str] = instance.requests.pending
        self.layout = layout

    @property
    def data(self) -> Raw:
        """Looked up each time: where the memory grows it may be another object."""
        return self.memory.raw

    def check(self, address: int, n: int) -> None:
        if address + n > len(self.data):
            raise WasiError(FAULT)

    def read(self, address: int, n: int) -> bytes:
        self.check(address, n)
        return bytes(self.data[address : address + n])

    def write(self, address: int, data: bytes) -> None:
        self.check(address, len(data))
        self.data[address : address + len(data)] = data

    def unpack(self, structure: Struct, address: int) -> tuple[Any, ...]:
        self.check(address, structure.size)
        return structure.unpack_from(self.data, address)

    def put_u32(self, address: int, value: int) -> None:
        self.check(address, 4)
        _U32.pack_into(self.data, address, value)

    def put_u64(self, address: int, value: int) -> None:
        self.check(address, 8)
        _U64.pack_into(self.data, address, value)

    def iovecs(self, address: int, n: int) -> list[tuple[int, int]]:
        """Buffers as addresses and lengths, all in bounds and none empty.

        Those beyond the first MAX_VECTORS are left out, and so is what would make them longer
        together than the memory, which only overlapping buffers are: the call has a short count
        then. EINVAL where nothing is left though there are more, since 0 would mean the end."""
        self.check(address, n * IOVEC.size)
        data, end = self.data, len(self.data)
        left = min(end, 0xFFFFFFFF)
        vectors = []
        for at in range(address, address + min(n, MAX_VECTORS) * IOVEC.size, IOVEC.size):
            buffer, length = IOVEC.unpack_from(data, at)
            if buffer + length > end:
                raise WasiError(FAULT)
            length = min(length, left)
            left -= length
            if length:
                vectors.append((buffer, length))
        if n > MAX_VECTORS and not vectors:
            raise WasiError(INVAL)
        return vectors

    def batches(self, vectors: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
        """The buffers cut into groups of PIECE bytes, the last of fewer."""
        batch: list[tuple[int, int]] = []
        room = PIECE
        for address, length in vectors:
            while length >= room:
                yield [*batch, (address, room)]
                address, length = address + room, length - room
                batch, room = [], PIECE
            if length:
                batch.append((address, length))
                room -= length
        if batch:
            yield batch

    def gather(self, vectors: list[tuple[int, int]]) -> bytes:
        """What the buffers hold, in order."""
        data = self.data
        if len(vectors) == 1:
            address, length = vectors[0]
            return bytes(data[address : address + length])
        return b"".join([data[a : a + n] for a, n in vectors])

    def scatter(self, vectors: list[tuple[int, int]], content: bytes) -> None:
        """Fill the buffers in order, as far as ``content`` goes."""
        data, at = self.data, 0
        for address, length in vectors:
            piece = content[at : at + length]
            data[address : address + len(piece)] = piece
            at += length
            if at >= len(content):
                break

    def path(self, address: int, n: int) -> bytes:
        """A path: ENAMETOOLONG where it is longer than a host's may be, EILSEQ unless it is UTF-8,
        EINVAL with a zero in it, ENOENT if empty."""
        self.check(address, n)
        if n >= PATH_MAX:
            raise WasiError(NAMETOOLONG)
        path = self.read(address, n)
        try:
            path.decode()
        except UnicodeDecodeError:
            raise WasiError(ILSEQ) from None
        if b"\0" in path:
            raise WasiError(INVAL)
        if not path:
            raise WasiError(NOENT)
        return path
