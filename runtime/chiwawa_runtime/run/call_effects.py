"""What a call of a host function changes in a program: found out, and done again.

WASI's functions reach a program by the memory that they are given, which keeps what they write. Any
other may reach all of it, so that is compared with what was there before.
"""

from __future__ import annotations

from typing import Any

from chiwawa_runtime.errors import HostError, ReplayError, Trap
from chiwawa_runtime.run.call_record import Effects, Reference, Typed
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.subtyping import stated
from chiwawa_runtime.state.types import I32, I64, RefType, ValType

#: Memory is compared in pieces of so many bytes.
BLOCK = 4096


# What a program holds, in a record.


def typed_value(instance: Any, valtype: ValType, value: Any, of: str | None = None) -> Typed:
    """``value`` as a record has it. ``of``: it is a result of this function, which is to be given
    back. Raises HostError where it cannot be."""
    if isinstance(valtype, RefType):
        kept: Reference | None = None
        if value is not None:
            own = isinstance(value, Function) and value.instance is instance
            kept = Reference(value.index if own else None)
            if of is not None and not own:
                raise HostError(
                    f"host function {of}: it returned a reference, which a record of calls cannot "
                    "hold"
                )
        return stated(valtype), kept
    if valtype is I32 or valtype is I64:
        return valtype, int(value) & (1 << valtype.bits) - 1
    return valtype, value


def held(instance: Any, value: Any) -> Any:
    """A value of a record as the program of ``instance`` holds it."""
    if not isinstance(value, Reference):
        return value
    functions = instance.functions
    if value.function is None or value.function >= len(functions):
        raise damaged("a reference leads nowhere")
    return functions[value.function]


def damaged(message: str) -> ReplayError:
    return ReplayError(f"the record is damaged: {message}")


# What a call changes.


class Tracked:
    """An instance as a host function sees it that reaches the program by it alone, as WASI's do:
    what is written to memories is kept."""

    def __init__(self, instance: Any) -> None:
        self.instance = instance
        self.requests = instance.requests
        self.writes: list[tuple[int, int, bytes]] = []

    def memory(self, index: int = 0) -> TrackedMemory:
        return TrackedMemory(self, index, self.instance.memory(index))

    def effects(self) -> Effects:
        return Effects(writes=self.writes)


class TrackedMemory:
    """A memory, as far as WASI uses it."""

    def __init__(self, tracked: Tracked, index: int, memory: Any) -> None:
        self.tracked = tracked
        self.index = index
        self.memory = memory
        self.type = memory.type
        self.read, self.gather = memory.read, memory.gather
        self.byte_length, self.size = memory.byte_length, memory.size

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        self.memory.write(address, data)
        if data:
            self.tracked.writes.append((self.index, address, bytes(data)))


class Before:
    """What a call may change, before it is made: any function may reach all of it."""

    def __init__(self, instance: Any) -> None:
        self.memories = [bytes(memory.view()) for memory in instance.memories]
        self.globals = [each.get() for each in instance.globals]
        self.tables = [table.elements for table in instance.tables]

    def effects(self, instance: Any, name: str) -> Effects:
        """What has changed since then. Raises HostError for what a record cannot hold."""
        effects = Effects()
        for index, (memory, old) in enumerate(zip(instance.memories, self.memories, strict=True)):
            new = bytes(memory.view())
            if len(new) != len(old):
                effects.sizes.append((index, memory.size()))
            if new != old:
                effects.writes += [(index, at, data) for at, data in changes(old, new)]
        for index, (each, old) in enumerate(zip(instance.globals, self.globals, strict=True)):
            value = each.get()
            if value is not old and value != old:
                typed = typed_value(instance, each.type.type, value, name)
                effects.globals.append((index, typed))
        for table, old in zip(instance.tables, self.tables, strict=True):
            now = table.elements
            if len(now) != len(old) or any(a is not b for a, b in zip(now, old, strict=True)):
                raise HostError(
                    f"host function {name}: it changed a table, which a record of calls cannot hold"
                )
        return effects


def changes(old: bytes, new: bytes) -> list[tuple[int, bytes]]:
    """Where ``new`` differs from ``old``, followed by zeros, and what is there."""
    found: list[tuple[int, bytes]] = []
    for at in range(0, len(new), BLOCK):
        now = new[at : at + BLOCK]
        then = old[at : at + BLOCK].ljust(len(now), b"\0")
        if now == then:
            continue
        first = next(i for i, (a, b) in enumerate(zip(now, then, strict=True)) if a != b)
        last = len(now)
        while now[last - 1] == then[last - 1]:
            last -= 1
        if found and found[-1][0] + len(found[-1][1]) == at + first:
            start, data = found.pop()
            found.append((start, data + now[first:last]))
        else:
            found.append((at + first, now[first:last]))
    return found


def apply(instance: Any, effects: Effects) -> None:
    """Change what a call has changed. Raises ReplayError where the program has not got it."""
    try:
        for index, pages in effects.sizes:
            memory = instance.memories[index]
            more = pages - memory.size()
            if more < 0 or (more and memory.grow(more) + more != pages):
                raise damaged(f"memory {index} cannot become {pages} pages")
        for index, address, data in effects.writes:
            instance.memories[index].write(address, data)
        for index, (valtype, value) in effects.globals:
            each = instance.globals[index]
            if stated(each.type.type) != valtype or not each.type.mutable:
                raise damaged(f"global {index} cannot be changed so")
            each.reset(held(instance, value))
    except (IndexError, Trap):
        raise damaged("what a call has changed is not there") from None
