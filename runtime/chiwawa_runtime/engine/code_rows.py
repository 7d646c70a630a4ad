"""What a generated file says of its functions, each way: one line of text for each.

A large program has many functions, most of which are never suspended, trapped in, or even called;
so a line is read when something needs to know it, and each value type is a code in it, of a letter
mostly, which a table of the file gives the type of. A line has seven fields, separated by ``|``::

    g|120|4|aab|1:3 2:5|3: 9:ab 12:17*a|9:b:4 12:b:2t

In turn: ``g`` where the function is a generator; the line of the file with its ``def``; the number
of stack variables that a resumed frame has; the types of the locals; which of its lines (``def`` is
0) stands for which code offset, or -1 where a tail call has replaced the frame; the safepoints, a
code offset and the operand types each; the calls, a code offset, the operand types beneath, and the
function that is called, or with ``t`` the type of those that an indirect call calls. There is an
eighth where a local may have no value: at a code offset, which ones have none (``9:1,2``).

Operand types are written without those that the place before had already, where these are many:
``17*a`` is an ``a`` on top of the lowest 17 operands of the place before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from string import ascii_letters

from chiwawa_runtime.engine.deferred import Deferred, edited
from chiwawa_runtime.state.program import CallPoint, SuspensionPoints
from chiwawa_runtime.state.stacks import FEW, Stack, popped, pushed
from chiwawa_runtime.state.types import DefType, FuncType, ValType

#: In place of a code offset, of a line that a tail call is on: the frame is no more.
REPLACED = -1
_CODE = re.compile(r"[A-Za-z]|<\d+>")


class TypeCodes:
    """Gives each value type a code, in the order in which they are first asked for."""

    def __init__(self) -> None:
        self.codes: dict[ValType, str] = {}

    def __call__(self, valtype: ValType | None) -> str:
        assert valtype is not None
        code = self.codes.get(valtype)
        if code is None:
            number = len(self.codes)
            code = ascii_letters[number] if number < len(ascii_letters) else f"<{number}>"
            self.codes[valtype] = code
        return code


class StackWriter:
    """Writes the operand types of places in a row."""

    def __init__(self, code: TypeCodes) -> None:
        self.code = code
        #: What makes up the stack of the place before, the deepest first, and how high each is.
        self.last: list[Stack] = []
        self.heights: dict[int, int] = {}

    def write(self, stack: Stack) -> str:
        above = []
        while stack is not None and id(stack) not in self.heights:
            above.append(stack)
            stack = stack[1]
        shared = self.heights[id(stack)] if stack is not None else 0
        for gone in self.last[shared:]:
            del self.heights[id(gone)]
        del self.last[shared:]
        for cell in reversed(above):
            self.last.append(cell)
            self.heights[id(cell)] = len(self.last)
        mark = f"{shared}*" if shared > FEW else ""
        start = shared if mark else 0
        return mark + "".join([self.code(cell[0]) for cell in self.last[start:]])  # type: ignore[index]


class StackReader:
    """Reads what a ``StackWriter`` wrote, in the same order."""

    def __init__(self, types: Mapping[str, ValType]) -> None:
        self.types = types
        self.last: Stack = None
        self.height = 0

    def read(self, text: str) -> Stack:
        shared, _, codes = text.rpartition("*")
        height = int(shared or 0)
        below = popped(self.last, self.height - height) if shared else None
        above = read_types(codes, self.types)
        self.last = pushed(below, above)
        self.height = height + len(above)
        return self.last


def read_types(codes: str, types: Mapping[str, ValType]) -> tuple[ValType, ...]:
    return tuple([types[code] for code in (_CODE.findall(codes) if "<" in codes else codes)])


def write_row(
    generator: bool,
    first_line: int,
    slots: int,
    lines: Sequence[tuple[int, int]],
    points: SuspensionPoints,
    code: TypeCodes,
    type_index: Mapping[FuncType, int],
) -> str:
    """The line of a function. ``lines`` pairs lines with code offsets; ``code`` gives the codes of
    value types, ``type_index`` the indexes of function types. The rest is as in
    ``translation.Code``."""
    locals_, *places = write_points(points, code, type_index)
    fields = [
        "g" if generator else "",
        str(first_line),
        str(slots),
        locals_,
        " ".join(f"{line}:{offset}" for line, offset in lines),
    ]
    return "|".join([*fields, *places])


def write_points(
    points: SuspensionPoints, code: TypeCodes, type_index: Mapping[FuncType, int]
) -> list[str]:
    """The fields of a line that say where the function can be suspended: locals, safepoints, calls,
    and where there are such, locals without a value."""
    stacks = StackWriter(code)
    safepoints = [f"{offset}:{stacks.write(stack)}" for offset, stack in points.safepoints.items()]
    stacks = StackWriter(code)
    calls = []
    for offset, call in points.calls.items():
        callee = f"{type_index[call.type]}t" if call.function is None else str(call.function)
        calls.append(f"{offset}:{stacks.write(call.below)}:{callee}")
    fields = ["".join(map(code, points.locals)), " ".join(safepoints), " ".join(calls)]
    places = points.safepoints.keys() | points.calls.keys()
    unset = [
        f"{offset}:{','.join(map(str, sorted(some)))}"
        for offset, some in points.unset.items()
        if offset in places
    ]
    # Few functions have such locals.
    return [*fields, " ".join(unset)] if unset else fields


def read_points(
    fields: Sequence[str],
    valtypes: Mapping[str, ValType],
    types: Sequence[DefType],
    functions: Sequence[DefType],
) -> SuspensionPoints:
    """What ``write_points`` has written, with the types that the codes stand for, the module's, and
    those of all its functions."""
    locals_, safepoints, calls, *unset = fields
    stops = {}
    stacks = StackReader(valtypes)
    for entry in safepoints.split():
        offset, _, stack = entry.partition(":")
        stops[int(offset)] = stacks.read(stack)
    places = {}
    stacks = StackReader(valtypes)
    for entry in calls.split():
        offset, stack, callee = entry.split(":")
        below = stacks.read(stack)
        if callee.endswith("t"):
            call = CallPoint(below, types[int(callee[:-1])].functype, None)
        else:
            call = CallPoint(below, functions[int(callee)].functype, int(callee))
        places[int(offset)] = call
    known = {}
    for entry in unset[0].split() if unset else ():
        offset, _, some = entry.partition(":")
        known[int(offset)] = frozenset(map(int, some.split(",")))
    return SuspensionPoints(read_types(locals_, valtypes), stops, places, known)


class WrittenCode:
    """A function of a generated file: ``function``, and what ``row`` says of it."""

    def __init__(
        self,
        function: Deferred,
        row: str,
        valtypes: Mapping[str, ValType],
        types: Sequence[DefType],
        functions: Sequence[DefType],
    ) -> None:
        """``valtypes`` are those that the codes stand for, ``types`` the module's, ``functions``
        those of all its functions. Raises BadInput where the row is of another line."""
        generator, first_line, slots, self._rest = row.split("|", 3)
        if int(first_line) != function.first_line:
            raise edited()
        self.function = function
        self.generator = generator == "g"
        self.slots = int(slots)
        self._valtypes, self._types, self._functions = valtypes, types, functions

    @cached_property
    def lines(self) -> Mapping[int, int]:
        _, lines, *_ = self._rest.split("|")
        pairs = (entry.split(":") for entry in lines.split())
        return {int(line): int(offset) for line, offset in pairs}

    @cached_property
    def points(self) -> SuspensionPoints:
        locals_, _, *places = self._rest.split("|")
        return read_points([locals_, *places], self._valtypes, self._types, self._functions)
