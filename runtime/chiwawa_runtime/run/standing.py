"""The frames of a run that is stopped, as embedders see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.run.numbering import types_of
from chiwawa_runtime.state.plain import plain
from chiwawa_runtime.state.types import ValType


@dataclass(frozen=True, slots=True, repr=False)
class Frame:
    """A frame of a run that is stopped: in the function of that index and ``name``, of
    ``instance``, at the code offset of the instruction that it is to execute, or of the call that
    it waits in. Values are as everywhere; ``locals`` are the parameters first, and None where one
    has no value yet, ``operands`` the deepest first, of a call those beneath its arguments.

    >>> module = chiwawa.load('''(module (func $count (export "count") (param i32)
    ...   (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))''')
    >>> run = chiwawa.instantiate(module).start("count", 10)
    >>> run.requests.ask()
    >>> run.resume(), run.frames
    (False, (<frame count at 0x1: locals (10,), operands ()>,))
    """

    instance: ModuleInstance
    function: int
    name: str
    offset: int
    locals: tuple[Any, ...]
    operands: tuple[Any, ...]
    local_types: tuple[ValType, ...]
    operand_types: tuple[ValType, ...]

    def __repr__(self) -> str:
        values = f"locals {self.locals}, operands {self.operands}"
        return f"<frame {self.name} at 0x{self.offset:x}: {values}>"


def frames_of(frames: Sequence[RawFrame]) -> tuple[Frame, ...]:
    """``frames``, the youngest first."""
    return tuple(shown(frame, youngest=not position) for position, frame in enumerate(frames))


def shown(frame: RawFrame, youngest: bool) -> Frame:
    instance = frame.instance
    local_types, operand_types = types_of(frame, youngest=youngest)
    unset = instance.engine.unset(frame.function, frame.offset)
    return Frame(
        instance,
        frame.function,
        instance.program.function_names.get(frame.function) or f"func[{frame.function}]",
        frame.offset,
        tuple(
            None if i in unset else plain(value, valtype)
            for i, (value, valtype) in enumerate(zip(frame.locals, local_types, strict=True))
        ),
        tuple(map(plain, frame.stack, operand_types)),
        local_types,
        operand_types,
    )
