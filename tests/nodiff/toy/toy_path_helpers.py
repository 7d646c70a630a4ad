"""A third path, to see what adding one takes: this folder, and a row in ``chiwawa.paths``.

It steps functions as the interpreter does but, as translated code, can be entered at the safepoints
of its granularity alone.
"""

from __future__ import annotations

from chiwawa.execution import Path
from chiwawa.interp.machine import InterpreterEngine
from chiwawa.interp.path import Interpreted
from chiwawa_runtime.state.types import ValType


class ToyEngine(InterpreterEngine):
    def boundary(self, function: int, offset: int) -> tuple[ValType, ...] | None:
        return self.suspension_points(function).operands(offset)


class Toy(Interpreted):
    name = "toy"
    enters_anywhere = False
    engine_type = ToyEngine


PATH: Path = Toy()
