"""What a call of a host function changes in a program: found out, and done again.

WASI's functions reach a program by the memory that they are given, which keeps what they write. Any
other may reach all of it, so that is compared with what was there before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from chiwawa_runtime.errors import (
    Abrupt,
    Exhaustion,
    HostError,
    ReplayError,
    ResourceError,
    Trap,
    WasiExit,
)
from chiwawa_runtime.run.call_record import (
    EXHAUSTED,
    EXITED,
    FAILED,
    THREW,
    TRAPPED,
    Call,
    Effects,
    Place,
    Reference,
    Typed,
)
from chiwawa_runtime.run.numbering import home_of
from chiwawa_runtime.state.exceptions import ExceptionInstance, Tag
from chiwawa_runtime.state.heap import External
from chiwawa_runtime.state.numerics import f32_bits, f64_bits
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.subtyping import stated
from chiwawa_runtime.state.throwing import Thrown
from chiwawa_runtime.state.types import EXTERNREF, F32, F64, I32, I64, RefType, ValType

#: Memory is compared in pieces of so many bytes.
BLOCK = 4096


def damaged(message: str) -> ReplayError:
    return ReplayError(f"the record is damaged: {message}")


class Instances:
    """The instances whose calls are in one record, by the numbers that they have there; None: one
    that is not there any more. What they share has the place that it has in the first of them."""

    def __init__(self, made: Sequence[Any] = ()) -> None:
        self.made = list(made)
        self.numbers = {id(each): n for n, each in enumerate(made) if each is not None}

    def add(self, instance: Any) -> None:
        self.numbers[id(instance)] = len(self.made)
        self.made.append(instance)

    def all_of(self, kind: str) -> Iterator[tuple[Place, Any]]:
        """Each of their ``memories``, ``globals``, ``tables`` or ``tags``, once."""
        seen: set[int] = set()
        for number, instance in enumerate(self.made):
            for index, thing in enumerate(() if instance is None else getattr(instance, kind)):
                if id(thing) not in seen:
                    seen.add(id(thing))
                    yield (number, index), thing

    def found(self, place: Place, kind: str) -> Any:
        """What is at ``place`` in a record. Raises ReplayError where there is nothing."""
        number, index = place
        try:
            return getattr(self.made[number], kind)[index]
        except (AttributeError, IndexError):
            raise damaged("what a call has changed is not there") from None

    # What programs hold, in a record.

    def typed(self, valtype: ValType, value: Any, of: str | None = None) -> Typed:
        """``value`` as a record has it. ``of``: it comes from this host function, and is to be
        given back. Raises HostError where it cannot be."""
        if valtype is I32 or valtype is I64:
            return valtype, int(value) & (1 << valtype.bits) - 1
        if not isinstance(valtype, RefType):
            return valtype, value
        kind = stated(valtype)
        if value is None or (type(value) is int and kind != EXTERNREF):
            return kind, value
        home = home_of(value) if isinstance(value, Function) else None
        number = None if home is None else self.numbers.get(id(home))
        if number is not None:
            return kind, Reference((number, value.index))
        if of is not None:
            raise HostError(
                f"host function {of}: it gave the program a reference, which a record of calls "
                "cannot hold"
            )
        return kind, Reference(None)

    def held(self, value: Any) -> Any:
        """A value of a record as a program holds it."""
        if not isinstance(value, Reference):
            return value
        if value.function is None:
            raise damaged("a reference leads nowhere")
        return self.found(value.function, "functions")

    def ended_by(self, failure: BaseException, function: Place, name: str) -> Call:
        """How a call has ended that has raised ``failure``. Raises HostError for what cannot be
        kept."""
        nothing = Effects()
        if isinstance(failure, Thrown):
            tag = self.tag(failure.tag, name)
            types = failure.tag.type.type.params
            values = zip(types, failure.exception.held, strict=True)
            results = [self.typed(t, v, name) for t, v in values]
            return Call(function, (), THREW, nothing, results, tag=tag)
        if isinstance(failure, WasiExit):
            return Call(function, (), EXITED, nothing, status=failure.code)
        if isinstance(failure, Abrupt):
            ended = EXHAUSTED if isinstance(failure, Exhaustion) else TRAPPED
            return Call(function, (), ended, nothing, text=failure.message)
        if isinstance(failure, HostError):
            return Call(function, (), FAILED, nothing, text=str(failure))
        # As the engine says it.
        text = f"host function {name}: {type(failure).__name__}: {failure}"
        return Call(function, (), FAILED, nothing, text=text)

    def tag(self, tag: Tag, name: str) -> Place:
        found = next((place for place, each in self.all_of("tags") if each is tag), None)
        if found is None:
            raise HostError(
                f"host function {name}: it threw an exception whose tag the program has not, which "
                "a record of calls cannot hold"
            )
        return found

    def thrown(self, call: Call) -> Thrown:
        """What a call has thrown, of a record."""
        tag = self.found(call.tag, "tags")
        if [stated(t) for t in tag.type.type.params] != [t for t, _ in call.results]:
            raise damaged("what a call threw is of other types")
        return Thrown(ExceptionInstance(tag, tuple(self.held(value) for _, value in call.results)))


# What a call changes.


class Tracked:
    """An instance as a host function sees it that reaches the program by it alone, as WASI's do:
    what is written to memories is kept."""

    def __init__(self, instance: Any, number: int) -> None:
        self.instance = instance
        self.number = number
        self.requests = instance.requests
        self.writes: list[tuple[Place, int, bytes]] = []

    def memory(self, index: int = 0) -> TrackedMemory:
        return TrackedMemory(self, index, self.instance.memory(index))

    def effects(self, name: str) -> Effects:
        writes, self.writes = self.writes, []
        return Effects(writes=writes)


class TrackedMemory:
    """A memory, as far as WASI uses it."""

    def __init__(self, tracked: Tracked, index: int, memory: Any) -> None:
        self.tracked = tracked
        self.place = tracked.number, index
        self.memory = memory
        self.type = memory.type
        self.read, self.gather = memory.read, memory.gather
        self.byte_length, self.size = memory.byte_length, memory.size

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        self.memory.write(address, data)
        if data:
            self.tracked.writes.append((self.place, address, bytes(data)))


class Before:
    """What a call may change, before it is made: any function may reach all of it."""

    def __init__(self, instances: Instances) -> None:
        self.instances = instances
        self.memories = [(p, m, bytes(m.view())) for p, m in instances.all_of("memories")]
        self.globals = [(p, g, g.get()) for p, g in instances.all_of("globals")]
        self.tables = [(p, t, t.elements) for p, t in instances.all_of("tables")]

    def effects(self, name: str) -> Effects:
        """What has changed since then. Raises HostError for what a record cannot hold."""
        effects = Effects()
        typed = self.instances.typed
        for place, memory, old in self.memories:
            new = bytes(memory.view())
            if len(new) != len(old):
                effects.sizes.append((place, memory.size()))
            if new != old:
                effects.writes += [(place, at, data) for at, data in changes(old, new)]
        for place, each, old in self.globals:
            value, kind = each.get(), each.type.type
            if not same(kind, value, old):
                effects.globals.append((place, typed(kind, value, name)))
        for place, table, old in self.tables:
            now, kind = table.elements, table.type.element
            if len(now) != len(old):
                effects.lengths.append((place, len(now)))
            effects.elements += [
                (place, index, typed(kind, ref, name))
                for index, ref in enumerate(now)
                if not same(kind, ref, old[index] if index < len(old) else None)
            ]
        return effects


@dataclass(slots=True)
class Making:
    """A call that is being made: its ``call_head``, what it may change, as it was before, and what
    it has written to outputs."""

    name: str
    head: bytes
    before: Before | Tracked
    outputs: list[tuple[int, bytes]] = field(default_factory=list)

    def effects(self) -> Effects:
        """What it has changed since it was last asked. Raises HostError."""
        effects = self.before.effects(self.name)
        effects.outputs, self.outputs = self.outputs, []
        return effects


def same(valtype: ValType, value: Any, old: Any) -> bool:
    """Whether a program cannot tell the two apart."""
    if value is old:
        return True
    if valtype is F32:
        return f32_bits(value) == f32_bits(old)
    if valtype is F64:
        return f64_bits(value) == f64_bits(old)
    if isinstance(value, External) and isinstance(old, External):
        value, old = value.value, old.value
    if isinstance(valtype, RefType):
        # An i31 has no identity, and all else has.
        return value is old or (type(value) is int and type(old) is int and value == old)
    return bool(value == old)


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


def apply(instances: Instances, effects: Effects) -> None:
    """Change what a call has changed. Raises ReplayError where the programs have not got it."""
    found, held = instances.found, instances.held
    try:
        for place, pages in effects.sizes:
            memory = found(place, "memories")
            more = pages - memory.size()
            if more < 0 or (more and memory.grow(more) + more != pages):
                raise damaged(f"a memory cannot become {pages} pages")
        for place, address, data in effects.writes:
            found(place, "memories").write(address, data)
        for place, (valtype, value) in effects.globals:
            each = found(place, "globals")
            if stated(each.type.type) != valtype or not each.type.mutable:
                raise damaged("a global cannot be changed so")
            each.reset(held(value))
        for place, length in effects.lengths:
            table = found(place, "tables")
            more = length - table.size()
            filler = None
            if not table.type.element.nullable:
                # What it grows by is among what has changed.
                filler = next(held(value) for p, _, (_, value) in effects.elements if p == place)
            if more < 0 or (more and table.grow(more, filler) + more != length):
                raise damaged(f"a table cannot become {length} elements long")
        for place, index, (valtype, value) in effects.elements:
            table = found(place, "tables")
            if stated(table.type.element) != valtype:
                raise damaged("an element of a table cannot be changed so")
            table.set(index, held(value))
    except (IndexError, TypeError, ValueError, StopIteration, Trap, ResourceError):
        raise damaged("what a call has changed is not there") from None
