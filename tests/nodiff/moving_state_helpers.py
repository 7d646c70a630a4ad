"""State that is held in other places than ours, and moves: what a native engine's is like.

A ``MovingMemory`` is somewhere else after each growth, and where it was, nothing is any more. A
``CountingTable`` and a ``CountingGlobal`` count how often somebody looked at them from outside.
What our two engines run over is there too, as they know it (``raw``), but for their own code alone:
anybody else who uses it fails.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any
from weakref import WeakSet

import pytest

from chiwawa_runtime.engine.traps import GENERATED, HANDLERS
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.state.data_segments import DataSegment, DataSegments, HeldSegments
from chiwawa_runtime.state.globals import Global
from chiwawa_runtime.state.interface import REFUSED, AnyGlobal, AnyMemory, AnyTable
from chiwawa_runtime.state.memory import Holder, out_of_bounds
from chiwawa_runtime.state.memory_data import MemoryData
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.python_state import PythonState
from chiwawa_runtime.state.table import Room, Table
from chiwawa_runtime.state.types import PAGE, GlobalType, MemoryType, TableType

#: Modules of engines that run over ``raw``, and of what they call for it, by how their names begin.
ENGINES = (GENERATED, "chiwawa_runtime.engine.generated", "chiwawa_runtime.state.table")


def check_engine(frame: FrameType) -> None:
    """Fail where it is no engine's code that ``frame`` runs."""
    module = frame.f_globals.get("__name__", "")
    assert frame.f_code.co_filename == HANDLERS or module.startswith(ENGINES), (
        f"{frame.f_code.co_filename}:{frame.f_lineno} uses the raw side of state"
    )


class MovingMemory(AnyMemory):
    """Its bytes are a map of its own, and a new one after each growth; the old one is closed, so
    that whoever still has it fails."""

    def __init__(self, type: MemoryType) -> None:
        self.type = type
        self.bytes = mmap.mmap(-1, type.limits.min * PAGE)
        self.holders: WeakSet[Holder] = WeakSet()

    @property
    def data(self) -> MemoryData:
        return MemoryData(Viewed(self))

    def size(self) -> int:
        return len(self.bytes) // PAGE

    def byte_length(self) -> int:
        return len(self.bytes)

    def check(self, address: int, n: int) -> None:
        if address < 0 or n < 0 or address + n > len(self.bytes):
            raise out_of_bounds()

    def read(self, address: int, n: int) -> bytes:
        MovingState.looked += 1
        self.check(address, n)
        return self.bytes[address : address + n]

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        MovingState.looked += 1
        self.check(address, len(data))
        self.bytes[address : address + len(data)] = bytes(data)

    def view(self) -> memoryview:
        return memoryview(self.bytes)

    def try_grow(self, pages: int) -> int:
        old = self.size()
        limit = self.type.limits.max
        if old + pages > (self.type.most_pages if limit is None else limit):
            return REFUSED
        if pages:
            try:
                self.move((old + pages) * PAGE)
            except BufferError:
                return REFUSED
        return old

    def move(self, size: int) -> None:
        before = self.bytes
        content = before[:size]
        before.close()
        MovingState.moves += 1
        self.bytes = mmap.mmap(-1, size)
        self.bytes[: len(content)] = content
        for holder in list(self.holders):
            holder.take_memories()

    def fill(self, dst: int, value: int, n: int) -> None:
        self.check(dst, n)
        self.bytes[dst : dst + n] = bytes((value & 0xFF,)) * n

    def copy(self, source: AnyMemory, dst: int, src: int, n: int) -> None:
        self.check(dst, n)
        self.write(dst, source.read(src, n))

    def image(self) -> MemoryImage:
        return MemoryImage.of(self.type, self.bytes)

    def reset(self, size: int, *, fresh: bool) -> None:
        self.bytes[:] = bytes(len(self.bytes))
        try:
            self.move(size)
        except BufferError:
            raise CheckpointError("somebody holds a view") from None

    # What engines run over.

    @property
    def raw(self) -> mmap.mmap:
        check_engine(sys._getframe(1))
        return self.bytes

    def follow(self, holder: Holder) -> None:
        self.holders.add(holder)

    def init(self, segment: DataSegment, dst: int, src: int, n: int) -> None:
        check_engine(sys._getframe(1))
        self.check(dst, n)
        if src + n > len(segment.data):
            raise out_of_bounds()
        self.bytes[dst : dst + n] = segment.data[src : src + n]


class Viewed:
    """For ``MemoryData``: the bytes are wherever the memory's are."""

    def __init__(self, memory: MovingMemory) -> None:
        self.memory = memory

    @property
    def raw(self) -> memoryview:
        return self.memory.view()


class CountingTable(AnyTable):
    """Its elements are elsewhere."""

    def __init__(self, type: TableType, room: Room) -> None:
        self.type = type
        self.elsewhere = Table(type, room=room)
        self.holders = self.elsewhere.holders

    def size(self) -> int:
        return self.looked_at().size()

    def looked_at(self) -> Table:
        MovingState.looked += 1
        return self.elsewhere

    def get(self, index: int) -> Any:
        return self.looked_at().get(index)

    def set(self, index: int, ref: object) -> None:
        self.looked_at().set(index, ref)

    def try_grow(self, n: int, ref: object) -> int:
        return self.looked_at().try_grow(n, ref)

    def grow(self, n: int, ref: object = None) -> int:
        return self.looked_at().grow(n, ref)

    def fill(self, index: int, ref: object, n: int) -> None:
        self.looked_at().fill(index, ref, n)

    def copy(self, source: AnyTable, dst: int, src: int, n: int) -> None:
        for at, ref in enumerate(source.elements[src : src + n]):
            self.set(dst + at, ref)

    @property
    def elements(self) -> tuple[Any, ...]:
        return self.looked_at().elements

    def place(self, index: int, refs: Sequence[object]) -> None:
        self.looked_at().place(index, refs)

    def reset(self, elements: Sequence[object]) -> None:
        self.looked_at().reset(elements)

    def __getattr__(self, name: str) -> Any:
        """What engines run over."""
        if not name.startswith("raw"):
            raise AttributeError(name)
        check_engine(sys._getframe(1))
        return getattr(self.elsewhere, name)


class CountingGlobal(AnyGlobal):
    """Its value is elsewhere."""

    def __init__(self, type: GlobalType, value: object) -> None:
        self.type = type
        self.elsewhere = Global(type, value)
        self.holders = self.elsewhere.holders

    def looked_at(self) -> Global:
        MovingState.looked += 1
        return self.elsewhere

    @property
    def value(self) -> Any:
        return self.looked_at().value

    @value.setter
    def value(self, value: object) -> None:
        self.looked_at().value = value

    def get(self) -> Any:
        return self.looked_at().get()

    def reset(self, value: object) -> None:
        self.looked_at().reset(value)

    # What engines run over.

    @property
    def raw(self) -> Any:
        check_engine(sys._getframe(1))
        return self.elsewhere.raw

    @raw.setter
    def raw(self, value: object) -> None:
        check_engine(sys._getframe(1))
        self.elsewhere.raw = value


class MovingState:
    """The owner of all those (see ``chiwawa_runtime.state.interface``). It counts, for all of its
    kind together, how often memories moved and how often somebody looked from outside."""

    moves = 0
    looked = 0

    def new_memories(self, types: Sequence[MemoryType]) -> Sequence[AnyMemory]:
        return [MovingMemory(t) for t in types]

    def new_tables(self, types: Sequence[TableType]) -> Sequence[AnyTable]:
        room = Room()
        return [CountingTable(t, room) for t in types]

    def new_datas(self, contents: Sequence[bytes]) -> DataSegments:
        return HeldSegments(contents)

    def new_global(self, type: GlobalType, value: object) -> AnyGlobal:
        return CountingGlobal(type, value)

    def accepts(self, given: AnyMemory | AnyTable | AnyGlobal) -> bool:
        return True


def use_other_state(patch: pytest.MonkeyPatch) -> None:
    """Have both engines' state be of another owner: whoever makes a ``PythonState`` gets one."""
    patch.setattr(PythonState, "__new__", lambda cls: MovingState())
    patch.setattr(MovingState, "moves", 0)
    patch.setattr(MovingState, "looked", 0)
