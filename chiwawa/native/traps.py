"""Traps as wasmtime says them, as ours: the suite's words, and the original's places."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import wasmtime
from wasmtime import _ffi

from chiwawa.native import layout
from chiwawa.native.guest import Guest
from chiwawa.native.machine import Machine
from chiwawa.opcodes import Op
from chiwawa_runtime.errors import Exhaustion, Trap
from chiwawa_runtime.state.throwing import Thrown

#: wasmtime keeps so many frames of a trap, and offers no other number.
MOST_FRAMES = 20
_CODES = wasmtime.TrapCode
_MESSAGES = {
    _CODES.UNREACHABLE: "unreachable",
    _CODES.MEMORY_OUT_OF_BOUNDS: "out of bounds memory access",
    _CODES.HEAP_MISALIGNED: "unaligned atomic",
    _CODES.ATOMIC_WAIT_NON_SHARED_MEMORY: "expected shared memory",
    _CODES.INTEGER_OVERFLOW: "integer overflow",
    _CODES.INTEGER_DIVISION_BY_ZERO: "integer divide by zero",
    _CODES.BAD_CONVERSION_TO_INTEGER: "invalid conversion to integer",
    _CODES.BAD_SIGNATURE: "indirect call type mismatch",
    _CODES.CAST_FAILURE: "cast failure",
}
#: What is null, by how the name of the instruction begins.
_KINDS = {"i31": "i31", "array": "array", "struct": "structure"}


@dataclass(frozen=True, slots=True)
class Placed:
    """A frame: a function of the instance that ``engine`` runs, and a code offset."""

    engine: Guest
    function: int
    offset: int


@dataclass(frozen=True, slots=True)
class Trapped:
    """A trap, and the frames of the activation, the youngest first; ``cut`` where there were
    more."""

    error: BaseException
    places: list[Placed]
    cut: bool


def trap_from(engine: Guest, machine: Machine, trap: int) -> Trapped:
    pointer = ctypes.cast(trap, ctypes.POINTER(_ffi.wasm_trap_t))
    found = wasmtime.Trap._from_ptr(pointer)
    places, cut = placed(engine, machine, found.frames)
    exception = machine.vault.thrown()
    if exception is not None:
        return Trapped(Thrown(exception), places, cut)
    code = found.trap_code
    if places:
        # It may be in a function of another instance, which a table led to.
        engine, machine = places[0].engine, places[0].engine.machine
    if code is _CODES.UNREACHABLE and places:
        places[0] = replace(places[0], offset=machine.register(layout.DETAIL))
    if code is _CODES.STACK_OVERFLOW:
        error: BaseException = Exhaustion()
    else:
        error = Trap(message(engine, machine, code, places))
    return Trapped(error, places, cut)


def placed(
    engine: Guest, machine: Machine, frames: Sequence[wasmtime.Frame]
) -> tuple[list[Placed], bool]:
    """The frames of an activation of ``engine``'s, and whether there are more. wasmtime has all on
    the stack that are in one store: on top there may be some of functions of other instances that
    tables led to, and beneath are those of whoever has called this instance."""
    engines: dict[str, Any] = {each.machine.name: each for each in machine.vault.owners}
    engines[machine.name] = engine
    places: list[Placed] = []
    called = len(machine.vault.going) > 1
    met = False
    for frame in frames:
        name = frame.module_name
        if called and met and name != machine.name:
            return places, False
        met = met or name == machine.name
        owner = engines.get(name or "", engine)
        index = frame.func_index
        if index < len(owner.spaces.funcs):
            where = owner.machine.tables.places(index)
            offset = frame.func_offset
            offset = offset if where is None else where.original(offset)
            places.append(Placed(owner, index, offset))
    return places, len(frames) >= MOST_FRAMES


def message(
    engine: Guest,
    machine: Machine,
    code: object,
    places: list[Placed],
) -> str:
    if code is _CODES.TABLE_OUT_OF_BOUNDS:
        calls = any(op.indirect for op in standing_at(engine, places))
        return "undefined element" if calls else "out of bounds table access"
    if code is _CODES.NULL_REFERENCE:
        for op in standing_at(engine, places):
            if op.throws:
                return "null exception reference"
            if op.calls:
                return "null function reference"
            kind, dot, _ = op.name.partition(".")
            if dot and kind in _KINDS:
                return f"null {_KINDS[kind]} reference"
        return "null reference"
    if code is _CODES.INDIRECT_CALL_TO_NULL:
        return f"uninitialized element {machine.register(layout.DETAIL)}"
    return _MESSAGES.get(code) or f"wasmtime: {code}"  # type: ignore[call-overload]


def standing_at(engine: Guest, places: list[Placed]) -> list[Op]:
    """The instruction that the youngest frame stands at, if there is a frame."""
    if not places:
        return []
    index, offset = places[0].function, places[0].offset
    return [instr.op for instr in engine.lower(index).body if instr.offset == offset]
