"""A module's code as the debugger speaks of it: functions by name, boundaries by offset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from chiwawa.instrument.source_lines import source_lines
from chiwawa.lower.lowered import Lowered, Spaces, lower
from chiwawa.module import Instr, Module
from chiwawa.wat import format_instr
from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.names import indexed_label, printable


class Place(NamedTuple):
    """A boundary: a function, by index, and a code offset, in the code of the instance with that
    number."""

    function: int
    offset: int
    instance: int = 0


_OFFSET = re.compile(r"(.+)\+(0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10})", re.DOTALL)


class Code:
    """The code of a program's instances, by number: 0 is that of the run, which is of ``module``,
    and the others have theirs as they are met. ``names`` are what to call those, with the hash of
    the module that they are of."""

    def __init__(self, module: Module, names: Sequence[tuple[str, bytes]] = ()) -> None:
        self.listings = [FunctionListing(module)]
        self.names_of = names
        #: By the hash of the module, and how many of the same are before.
        self.numbers = {(module.hash, 0): 0}

    def __getitem__(self, instance: int) -> FunctionListing:
        return self.listings[instance]

    def number(self, module: Module, before: int) -> int:
        """That of an instance of ``module``, of which there are so many before."""
        key = module.hash, before
        if key not in self.numbers:
            number = self.numbers[key] = len(self.listings)
            self.listings.append(FunctionListing(module, number, self.name(key, number)))
        return self.numbers[key]

    def name(self, key: tuple[bytes, int], number: int) -> str:
        """What to call an instance: as it was given, else as its module, or by its number."""
        given = [name for name, module_hash in self.names_of if module_hash == key[0]]
        own = (key[0], 0) in self.numbers and not self.numbers[key[0], 0]
        return (given[key[1] - own :] or [str(number)])[0]

    def text(self, place: Place) -> str:
        return self[place.instance].text(place)

    def label(self, place: Place) -> str:
        return self[place.instance].label(place.function)

    def is_call(self, place: Place) -> bool:
        return self[place.instance].is_call(place)

    def after_call(self, place: Place) -> Place | None:
        """See ``FunctionListing``."""
        return self[place.instance].after_call(place)

    def names(self) -> list[str]:
        """What functions can be called by."""
        return [f"{each.prefix}{name}" for each in self.listings for name in each.names()]

    def place(self, text: str) -> Place:
        """``FUNC``, ``FUNC+OFFSET``, or either behind the name, or the number, of another instance
        and a colon. Raises BadInput."""
        own = self[0]
        if not own.names_function(text):
            for each in self.listings[1:]:
                for called in (each.name, str(each.number)):
                    if text.startswith(f"{called}:"):
                        return each.place(text[len(called) + 1 :])
        return own.place(text)


class FunctionListing:
    """A valid module's functions, laid out when they are first asked for: the code of the instance
    with that ``number``, which users call ``name`` where it is not the run's."""

    def __init__(self, module: Module, number: int = 0, name: str = "") -> None:
        self.module = module
        self.number = number
        self.name = name
        self.prefix = f"{name}:" if number else ""
        self.spaces = Spaces.of(module)
        self.known: dict[int, Lowered] = {}
        self.positions: dict[int, dict[int, int]] = {}
        self.sources = source_lines(module)
        self.called = module.func_names()

    def defined(self, function: int) -> bool:
        return self.spaces.imported_funcs <= function < len(self.spaces.funcs)

    def lowered(self, function: int) -> Lowered:
        found = self.known.get(function)
        if found is None:
            found = self.known[function] = lower(self.spaces, function, everywhere=True)
            self.positions[function] = {
                instr.offset: position
                for position, instr in enumerate(found.body)
                if found.reached[position]
            }
        return found

    def position(self, place: Place) -> int:
        """The position in its function's body of a boundary that is there."""
        self.lowered(place[0])
        return self.positions[place[0]][place[1]]

    def instr(self, place: Place) -> Instr:
        return self.lowered(place[0]).body[self.position(place)]

    def text(self, place: Place) -> str:
        """The instruction after a boundary, as a line, and the source line where it is known."""
        text = self.line(place[0], self.instr(place))
        source = None if self.sources is None else self.sources.at(place.function, place.offset)
        return text if source is None else f"{text} at {source}"

    def line(self, function: int, instr: Instr) -> str:
        return format_instr(self.module, instr, function)

    def is_call(self, place: Place) -> bool:
        return self.instr(place).op.calls

    def entry(self, function: int) -> Place | None:
        """The first boundary of a function defined here; None where it has no instruction."""
        self.lowered(function)
        offset = next(iter(self.positions[function]), None)
        return None if offset is None else Place(function, offset, self.number)

    def after_call(self, place: Place) -> Place | None:
        """The boundary that is next in the function when the call at ``place`` has returned; None
        where the function itself returns then."""
        lowered = self.lowered(place[0])
        ends = {label.else_: label.end for label in lowered.labels.values() if label.else_}
        position = self.position(place) + 1
        while position < len(lowered.body):
            if lowered.reached[position]:
                return place._replace(offset=lowered.body[position].offset)
            # What else delimits is not gone into from above.
            position = ends.get(position, position) + 1
        return None

    def setters(self, function: int, local: int) -> set[Place]:
        """The boundaries before instructions that set a local."""
        lowered = self.lowered(function)
        return {
            Place(function, instr.offset, self.number)
            for position, instr in enumerate(lowered.body)
            if lowered.reached[position] and instr.op.sets_local and instr.imm[0] == local
        }

    # Names.

    def label(self, function: int) -> str:
        """What to call a function, safe to print."""
        return printable(self.prefix) + indexed_label(function, self.called.get(function))

    def names(self) -> list[str]:
        """What functions defined here can be called by."""
        found = {n: None for i, n in self.module.names.funcs.items() if self.defined(i)}
        found.update({e.name: None for e in self.module.export_section if e.kind == "func"})
        return list(found)

    def function(self, text: str) -> int:
        """A function defined here, by index or name (``$`` or not). Raises BadInput."""
        if re.fullmatch(r"[0-9]{1,10}", text):
            found = {int(text)}
        else:
            name = text.removeprefix("$")
            found = {i for i, n in self.module.names.funcs.items() if n in (name, text)}
            found |= {
                e.index
                for e in self.module.export_section
                if e.kind == "func" and e.name in (name, text)
            }
        if not found or max(found) >= len(self.spaces.funcs):
            raise BadInput(f"there is no function {self.prefix}{text}")
        if len(found) > 1:
            indices = ", ".join(map(str, sorted(found)))
            said = f"{self.prefix}{text} is the name of the functions {indices}"
            raise BadInput(f"{said}: say which index")
        (function,) = found
        if not self.defined(function):
            raise BadInput(f"{self.label(function)} is imported: it has no instructions")
        return function

    def place(self, text: str) -> Place:
        """``FUNC`` or ``FUNC+OFFSET``: its first boundary, or the one at that code offset. Raises
        BadInput."""
        split = self.split(text)
        if split is not None:
            function, offset = self.function(split[1]), int(split[2], 0)
            self.lowered(function)
            if offset not in self.positions[function]:
                raise BadInput(self.no_boundary(function, offset))
            return Place(function, offset, self.number)
        function = self.function(text)
        entry = self.entry(function)
        if entry is None:
            raise BadInput(f"{self.label(function)} has no instructions")
        return entry

    def split(self, text: str) -> re.Match[str] | None:
        """A function and an offset, where ``text`` names both."""
        return None if text in self.names() else _OFFSET.fullmatch(text)

    def names_function(self, text: str) -> bool:
        """Whether ``text``, with an offset or without, has the name of a function of its own."""
        split = self.split(text)
        name = text if split is None else split[1]
        return name in self.names() or name.removeprefix("$") in self.names()

    def no_boundary(self, function: int, offset: int) -> str:
        offsets = sorted(self.positions[function])
        near = [max((o for o in offsets if o < offset), default=None)]
        near.append(min((o for o in offsets if o > offset), default=None))
        shown = " and ".join(f"0x{o:04x}" for o in near if o is not None)
        nearest = f": the nearest are at {shown}" if shown else ""
        return f"{self.label(function)} has no boundary at 0x{offset:04x}{nearest}"
