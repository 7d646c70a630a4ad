"""What the debugger shows, as lines of text. Names come from the module, and are escaped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

from chiwawa.debug.instances import End
from chiwawa.debug.listing import Code, Place
from chiwawa.debug.machine import Machine
from chiwawa.debug.session import Session, Stop
from chiwawa.debug.stops import Change
from chiwawa.inspect import (
    called,
    describe_object,
    object_words,
    shortened,
    stored_in,
    wrapped,
)
from chiwawa_runtime.command.following import results_text
from chiwawa_runtime.command.reporting import single_line, trap_lines
from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.errors import Abrupt, BadInput, CheckpointError, HostError, WasiExit
from chiwawa_runtime.names import printable
from chiwawa_runtime.run.objects import looked_into
from chiwawa_runtime.run.references import References
from chiwawa_runtime.state.interface import AnyMemory
from chiwawa_runtime.state.snapshot import StructImage
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.types import RefType, StorageType, ValType
from chiwawa_runtime.state.values import format_stored

#: Bytes in a line of a hex dump.
_LINE = 16
#: Code that is nested deeper is indented no further.
_MOST_INDENTED = 20


def value_text(machine: Machine, valtype: StorageType, value: object) -> str:
    """A value of the running program, also as a field holds it. A host's reference prints as its
    class."""
    if isinstance(value, Function) and isinstance(valtype, RefType) and valtype.heap != "extern":
        with contextlib.suppress(CheckpointError):
            instances = machine.instances.by_number
            ordered = [instances[number] for number in sorted(instances)]
            value = References(ordered, {}).value(valtype, value)
    return format_stored(valtype, value)


def value_lines(machine: Machine, of: int, valtype: StorageType, value: object) -> list[str]:
    """A value, and what is in it where it refers to a structure, an array or an exception, with the
    types and names of the instance with the number ``of``."""
    text = value_text(machine, valtype, value)
    image = looked_into(machine.instances.by_number[of], value)
    if image is None:
        return [text]
    names = machine.code[of].module.names
    described = describe_object(image, names, partial(value_text, machine))
    return [text, *wrapped("  ", object_words(described))]


def inside(machine: Machine, of: int, value: object, place: str) -> tuple[StorageType, object]:
    """What a field, an element or a value of an exception is, by its number, or the $NAME of a
    field. Raises BadInput."""
    image = looked_into(machine.instances.by_number[of], value)
    if image is None:
        raise BadInput(f"there is nothing in it that could be {place}")
    stored = list(stored_in(image))
    if place.startswith("$") and isinstance(image, StructImage):
        fields = machine.code[of].module.names.fields.get(image.type.index, {})
        found = (index for index, name in fields.items() if name == place[1:])
        index = next(found, len(stored))
    else:
        index = int(place) if place.isdecimal() and len(place) < 10 else len(stored)
    if index >= len(stored):
        raise BadInput(f"there is no {place} in it: it has {len(stored)} values")
    return stored[index]


def frame_types(
    machine: Machine, frame: RawFrame, level: int
) -> tuple[Sequence[ValType], Sequence[ValType]]:
    """The types of a frame's locals and operands. ``level`` 0 is the youngest."""
    engine = frame.instance.engine
    points = engine.suspension_points(frame.function)
    if level:
        return points.locals, points.calls[frame.offset].stack
    return points.locals, engine.boundary(frame.function, frame.offset) or ()


def place_text(code: Code, place: Place) -> str:
    return f"{code.label(place)} at 0x{place.offset:04x}: {printable(code.text(place))}"


def stop_lines(session: Session, stop: Stop) -> Iterator[str]:
    """Why it has stopped, and where."""
    machine = session.machine
    for breakpoint_ in stop.breakpoints:
        yield f"breakpoint {breakpoint_.number}"
    yield from map(change_line, stop.changes)
    for watch in stop.gone:
        yield f"watch {watch.number}: {watch.name} is gone, and so is the watch"
    if stop.interrupted:
        yield "interrupted"
    if stop.beginning:
        yield "this is the beginning"
    if stop.end is not None:
        yield from end_lines(machine, stop.end)
        if not stop.before_end:
            if isinstance(stop.end.error, Abrupt):
                yield from map(single_line, list(trap_lines(stop.end.error))[1:])
            return
    yield here_line(machine)


def here_line(machine: Machine) -> str:
    place = machine.place()
    if place is None:
        return "the program has ended"
    return f"{machine.count}: {place_text(machine.code, place)}"


def change_line(change: Change) -> str:
    return f"watch {change.number}: {change.name}: {change.before} -> {change.after}"


def end_lines(machine: Machine, end: End) -> Iterator[str]:
    error = end.error
    if isinstance(error, Abrupt):
        yield single_line(error.line)
    elif isinstance(error, WasiExit):
        yield f"the program ends with status {error.code}"
    elif isinstance(error, HostError):
        yield single_line(f"error: {error}")
    else:
        results = results_text(machine.run)
        yield "the program has ended" + (f": {results}" if results else "")


# Values.


def stack_line(machine: Machine, level: int) -> str:
    frame = frame_at(machine, level)
    _, types = frame_types(machine, frame, level)
    values = zip(types, frame.stack, strict=True)
    return "stack   " + (" ".join(value_text(machine, t, v) for t, v in values) or "empty")


def locals_line(machine: Machine, level: int) -> str:
    frame = frame_at(machine, level)
    types, _ = frame_types(machine, frame, level)
    listing = machine.code[machine.instances.place_of(frame).instance]
    names = listing.module.names.locals.get(frame.function, {})
    shown = [
        f"{called(names.get(i), f'l{i}')}={value_text(machine, valtype, value)}"
        for i, (valtype, value) in enumerate(zip(types, frame.locals, strict=True))
    ]
    return "locals  " + (" ".join(shown) or "none")


def global_lines(machine: Machine, of: int) -> Iterator[str]:
    """Those of the instance with that number."""
    names = machine.code[of].module.names.globals
    for index, glob in enumerate(machine.instances.by_number[of].globals):
        mutable = "mutable " if glob.type.mutable else ""
        value = value_text(machine, glob.type.type, glob.value)
        yield f"{prefix(machine, of)}{called(names.get(index), f'g{index}')}: {mutable}{value}"


def memory_lines(machine: Machine, of: int) -> Iterator[str]:
    """Those of the instance with that number."""
    names = machine.code[of].module.names.mems
    for index, memory in enumerate(machine.instances.by_number[of].memories):
        pages, size = memory.size(), memory.byte_length()
        name = f"{prefix(machine, of)}memory {called(names.get(index), str(index))}"
        yield f"{name}: {pages} pages, {size} bytes"


def prefix(machine: Machine, of: int) -> str:
    """What stands before the names of what an instance has that is not the run's."""
    return printable(machine.code[of].prefix)


def dump_lines(memory: AnyMemory, address: int, length: int) -> Iterator[str]:
    """A hex dump of ``memory`` from ``address`` on, as far as there is so much."""
    end = min(address + length, memory.byte_length())
    for start in range(address, end, _LINE):
        piece = memory.read(start, min(_LINE, end - start))
        text = "".join(chr(b) if 0x20 <= b < 0x7F else "." for b in piece)
        yield f"0x{start:08x}  {piece.hex(' '):<{3 * _LINE}} {text}"


# Frames and code.


def frame_at(machine: Machine, level: int) -> RawFrame:
    """A frame, the youngest having level 0. Raises BadInput."""
    frames = machine.frames()
    if not frames:
        raise BadInput("the program has ended: it has no frame")
    if level >= len(frames):
        raise BadInput(f"there is no frame {level}: the oldest is {len(frames) - 1}")
    return frames[level]


def backtrace_lines(machine: Machine, selected: int) -> list[str]:
    frames = machine.frames()
    if not frames:
        return ["the program has ended: it has no frame"]

    def lines(level: int, _: object) -> list[str]:
        return [frame_line(machine, frames[level], level, selected)]

    return shortened([{"level": level} for level in range(len(frames))], lines)


def frame_line(machine: Machine, frame: RawFrame, level: int, selected: int) -> str:
    mark = "->" if level == selected else "  "
    return f"{mark} #{level}  {place_text(machine.code, machine.instances.place_of(frame))}"


def code_lines(
    session: Session, place: Place, before: int, after: int, here: Place | None
) -> Iterator[str]:
    """So many instructions before ``place`` and after it: ``->`` is at ``here``, ``*`` at
    breakpoints."""
    code = session.code[place.instance]
    lowered = code.lowered(place.function)
    marked = {b.place for b in session.breakpoints.values()}
    middle = code.position(place)
    first, last = max(0, middle - before), middle + after + 1
    depth = 0
    yield f"{code.label(place.function)}:"
    for position, instr in enumerate(lowered.body[:last]):
        op = instr.op
        if op.delimits:
            depth -= 1
        if position >= first:
            there = place._replace(offset=instr.offset)
            arrow = "->" if there == here else "  "
            star = "*" if there in marked else " "
            indent = "  " * min(max(depth, 0), _MOST_INDENTED)
            text = printable(code.line(place.function, instr))
            yield f"{arrow}{star} 0x{instr.offset:04x}  {indent}{text}"
        if op.opens or (op.delimits and not op.ends):
            depth += 1
    if last < len(lowered.body):
        yield f"   … {len(lowered.body) - last} more"


def info_lines(session: Session) -> Iterator[str]:
    machine = session.machine
    yield here_line(machine)
    if not machine.counted:
        yield "the boundaries before the first were not counted"
    swift = "" if machine.swift is None else f"{machine.swift.name}, stepped on "
    yield f"path {swift}{machine.path}, {len(machine.frames())} frames"
    for number in machine.instances.by_number:
        listing = machine.code[number]
        if not machine.instances.alone:
            name = listing.name or called(listing.module.names.module, "the program")
            yield f"instance {number}: {printable(name)}"
        yield from memory_lines(machine, number)
    moments = machine.history.moments
    size = f"{machine.history.bytes} bytes"
    if moments:
        yield f"{len(moments)} checkpoints kept from {moments[0].count} on, {size}"
    yield from stops_lines(session)


def stops_lines(session: Session) -> Iterator[str]:
    """The breakpoints and watches."""
    for breakpoint_ in session.breakpoints.values():
        once = "once " if breakpoint_.temporary else ""
        where = place_text(session.code, breakpoint_.place)
        yield f"breakpoint {breakpoint_.number}: {once}{where}"
    for watch in session.watches.values():
        yield f"watch {watch.number}: {watch.name}"
