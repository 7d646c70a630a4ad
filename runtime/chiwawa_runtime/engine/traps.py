"""Which of Python's exceptions are traps of a program (spec 4.4).

Loads, stores and divisions test nothing themselves: what Python raises for them is the trap. It is
one only where the program itself raised it, on either path, or a helper of ``numerics`` that it
called. A host function that raises the same has a frame of its own.
"""

from __future__ import annotations

import struct
from types import FrameType

from chiwawa_runtime.errors import Abrupt, Trap
from chiwawa_runtime.state.numerics import make_f32_round

#: The file that the interpreter's handlers come from, as tracebacks say it.
HANDLERS = "<chiwawa instruction>"
#: The module that generated functions come from, as tracebacks say it.
GENERATED = "chiwawa_instance"
#: The file of the helpers that meanings call.
HELPERS = make_f32_round.__code__.co_filename


def is_of_program(frame: FrameType) -> bool:
    """Whether the frame is of a program's instruction, of whichever instance."""
    return frame.f_code.co_filename == HANDLERS or frame.f_globals.get("__name__") == GENERATED


def abrupt_of(error: BaseException) -> Abrupt | None:
    """The trap, or the exception thrown, that ``error`` is, or None. A new trap has no backtrace
    yet."""
    if isinstance(error, Abrupt):
        return error
    if isinstance(error, ZeroDivisionError):
        message = "integer divide by zero"
    elif isinstance(error, IndexError) and str(error).startswith("list "):
        # Memories are no lists, and tables say it themselves.
        message = "out of bounds array access"
    elif isinstance(error, IndexError | struct.error | OverflowError):
        message = "out of bounds memory access"
    else:
        return None
    inside = False
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        inside = is_of_program(frame) or (inside and frame.f_code.co_filename == HELPERS)
        traceback = traceback.tb_next
    return Trap(message) if inside else None
