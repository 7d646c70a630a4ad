"""What a user wants to stop at: breakpoints, and watches for changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chiwawa.debug.listing import Place
from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.run.instance import Instance
from chiwawa_runtime.state.interface import AnyMemory
from chiwawa_runtime.state.numerics import f32_bits, f64_bits
from chiwawa_runtime.state.types import F32, F64, ValType
from chiwawa_runtime.state.values import format_value


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """``number`` is how the user calls it. A temporary one goes when it is met."""

    number: int
    place: Place
    temporary: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What a watch saw, as text."""

    number: int
    name: str
    before: str
    after: str


class MemoryWatch:
    """Bytes of a memory of the instance with the number ``of``, which names are shown of behind
    ``prefix``, from ``address`` on. Beyond its end there are none."""

    def __init__(
        self, number: int, of: int, prefix: str, memory: int, address: int, length: int
    ) -> None:
        self.number = number
        self.of = of
        self.index = memory
        self.address, self.length = address, length
        where = f"memory {memory} " if memory else ""
        self.name = f"{prefix}{where}0x{address:08x} +{length}"
        self.memory: AnyMemory | None = None
        self.seen = b""

    def bind(self, instance: Instance) -> None:
        self.memory = instance.memories[self.index]
        self.seen = self.now()

    def changed(self) -> bool:
        return self.now() != self.seen

    def now(self) -> bytes:
        if self.memory is None:
            return b""
        there = max(0, self.memory.byte_length() - self.address)
        return self.memory.read(self.address, min(self.length, there)) if there else b""

    def take(self) -> Change | None:
        """The change since the last one, if there was one."""
        before, self.seen = self.seen, self.now()
        if before == self.seen:
            return None
        return Change(self.number, self.name, before.hex(" "), self.seen.hex(" "))


class GlobalWatch:
    """Of the instance with the number ``of``. ``text`` shows a value of the global; ``name`` is how
    to call it."""

    def __init__(
        self, number: int, of: int, index: int, name: str, text: Callable[[Any], str]
    ) -> None:
        self.number = number
        self.of = of
        self.index = index
        self.name = name
        self.text = text
        self.exact: Callable[[Any], Any] = _same
        self.glob: Any = None
        self.seen: Any = None

    def bind(self, instance: Instance) -> None:
        self.glob = instance.globals[self.index]
        self.exact = exactly(self.glob.type.type)
        self.seen = self.glob.get()

    def changed(self) -> bool:
        value = self.glob.get()
        return value is not self.seen and self.exact(value) != self.exact(self.seen)

    def take(self) -> Change | None:
        if not self.changed():
            return None
        before, self.seen = self.seen, self.glob.get()
        return Change(self.number, self.name, self.text(before), self.text(self.seen))


class LocalWatch:
    """A local of one frame, of the instance with the number ``of``, which is ``depth`` frames from
    the oldest (the oldest has 0). It is not looked at before each instruction, but after those that
    set it (``setters``)."""

    def __init__(
        self,
        number: int,
        of: int,
        place: tuple[int, int, int],
        name: str,
        text: Callable[[Any], str],
        valtype: ValType,
        setters: frozenset[Place],
    ) -> None:
        self.number = number
        self.of = of
        self.function, self.index, self.depth = place
        self.name = name
        self.text = text
        self.exact = exactly(valtype)
        self.setters = setters
        self.seen: Any = None

    def frame(self, frames: list[RawFrame]) -> RawFrame | None:
        """The frame watched, as long as it is there."""
        if len(frames) <= self.depth:
            return None
        frame = frames[len(frames) - 1 - self.depth]
        return frame if frame.function == self.function else None

    def see(self, frame: RawFrame) -> None:
        self.seen = frame.locals[self.index]

    def take(self, frame: RawFrame) -> Change | None:
        before, self.seen = self.seen, frame.locals[self.index]
        if self.exact(before) == self.exact(self.seen):
            return None
        return Change(self.number, self.name, self.text(before), self.text(self.seen))


Watch = MemoryWatch | GlobalWatch | LocalWatch


def exactly(valtype: ValType) -> Callable[[Any], Any]:
    """What tells two values of a type apart that are not the same bits."""
    if valtype == F32:
        return f32_bits
    if valtype == F64:
        return f64_bits
    return _same


def _same(value: Any) -> Any:
    return value


def format_plain(valtype: ValType) -> Callable[[Any], str]:
    return lambda value: format_value(valtype, value)
