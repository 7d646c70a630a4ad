"""What a host must know of a rewritten module to read its saved frames, and to make some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chiwawa.native.layout import record_size
from chiwawa.native.scopes import Places
from chiwawa_runtime.state.types import ValType

#: The kinds of entries, by the number that files give them. A frame waits in a ``call``, and stands
#: at all others.
ENTRY, LOOP, HOST, CALL = "entry", "loop", "host", "call"
KINDS = (ENTRY, LOOP, HOST, CALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a function can be entered again: the code offset of the original's instruction, and the
    types of the operands that a frame has there, the deepest first."""

    kind: str
    offset: int
    types: tuple[ValType, ...]


@dataclass(frozen=True, slots=True)
class FunctionTable:
    """``locals`` are types, parameters first. A record names an entry by its place in
    ``entries``."""

    locals: tuple[ValType, ...]
    entries: tuple[Entry, ...]
    places: Places

    def find(self, offset: int, waiting: bool) -> int:
        """The entry at which a frame stands at ``offset``, or waits in the call there. Raises
        KeyError."""
        for number in range(len(self.entries) - 1, -1, -1):
            entry = self.entries[number]
            if entry.offset == offset and (entry.kind == CALL) == waiting:
                return number
        raise KeyError(offset)

    def size(self, entry: int) -> int:
        """Of a record, in bytes."""
        return record_size((*self.locals, *self.entries[entry].types))


@dataclass(frozen=True, slots=True)
class Tables:
    """``functions`` has those that may be suspended, and ``places`` of all others those where they
    may trap. ``records_at`` is the address of the first record."""

    counting: bool
    records_at: int
    functions: Mapping[int, FunctionTable]
    places: Mapping[int, Places]
