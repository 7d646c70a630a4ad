"""Every error that chiwawa raises on purpose, in one tree.

::

    ChiwawaError
    ├── BadInput                what a user gave cannot be used; the command line exits 2
    │   ├── MalformedError      not the binary or the text format
    │   ├── InvalidError        well-formed, but does not validate
    │   ├── UnlinkableError     an import is missing or has another type
    │   ├── UnsupportedError    right Wasm or WASI, but not built yet: the message names it
    │   ├── ResourceError       it takes more than the machine has, or more than was allowed
    │   └── CheckpointError     a checkpoint is refused, or cannot be taken
    ├── Abrupt                  a program ended in the middle; the command line exits 134
    │   ├── Trap                it did what Wasm forbids
    │   │   └── Exhaustion      the call stack is exhausted
    │   └── Thrown              it threw an exception that it does not catch (``state.throwing``)
    ├── HostError               a host function raised; ``__cause__`` is what it raised
    │   └── ReplayError         a program that is replayed does something else than it did
    ├── RunError                a run or an instance cannot do now what it was asked to do
    │   └── Stopped             a call from Python was stopped, and can go on (``run.instance``)
    ├── Unbegun                 what it may take was spent first; the command line exits 124
    ├── WasiExit                the program asked to end, with a status
    └── Terminated              a signal has ended the program; the command line ends by it too

``Interrupted`` is none of them: it is how a host function that waits makes way for a request.

The core of each message uses the words of the spec's test suite, so that a message can be compared
with an assertion by ``startswith``. Where it happened is in fields, added once, at the boundary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from chiwawa_runtime.names import function_label


class ChiwawaError(Exception):
    """The root: catch it to catch everything that chiwawa raises on purpose."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a module: the ``index``-th ``import``, ``func``, ``elem`` and so on of those that
    it defines. ``offset`` is the code offset of an instruction in it: in its body, or in the
    constant expression that it has at this place (an element segment has many, its offset first).
    """

    kind: str
    index: int
    expression: int = 0
    offset: int | None = None


class BadInput(ChiwawaError):
    """What was given cannot be used. ``message`` is the core; ``str()`` adds where.

    Of what is wrong in a text, ``line`` and ``column`` count from 1, and ``excerpt`` is that line
    of it. ``field`` is the field of a module that breaks a rule of validation."""

    field: Field | None = None
    #: In characters from the text's start, until somebody who has the text makes a line of it.
    at: int | None = None

    def __init__(
        self,
        message: str,
        *,
        line: int | None = None,
        column: int | None = None,
        excerpt: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.excerpt = excerpt

    def __str__(self) -> str:
        if self.line is None:
            return self.message + self.where()
        text = f"{self.message} (line {self.line}, column {self.column})"
        if self.excerpt is not None and self.column is not None:
            # A tab must stay a tab in the margin, or the caret stands elsewhere.
            margin = "".join(c if c == "\t" else " " for c in self.excerpt[: self.column - 1])
            text += f"\n  {self.excerpt}\n  {margin}^"
        return text

    def where(self) -> str:
        """Where it is wrong, in words behind the message, if that is no text."""
        return ""


class MalformedError(BadInput):
    """Not the binary format (``offset``: bytes from the file's start), or not the text format."""

    def __init__(
        self,
        message: str,
        *,
        offset: int | None = None,
        line: int | None = None,
        column: int | None = None,
        excerpt: str | None = None,
    ) -> None:
        super().__init__(message, line=line, column=column, excerpt=excerpt)
        self.offset = offset

    def where(self) -> str:
        return "" if self.offset is None else f" (at byte 0x{self.offset:x})"


class InvalidError(BadInput):
    """A module breaks a rule of validation. ``function`` is a function index, ``name`` what that
    function is called, and ``offset`` the code offset within its body, where the rule broken is one
    about an instruction."""

    def __init__(
        self,
        message: str,
        *,
        function: int | None = None,
        offset: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(message)
        self.function = function
        self.offset = offset
        self.name = name

    def where(self) -> str:
        if self.function is not None:
            place = f"function {self.function}"
            if self.name:
                place = f"{function_label(self.function, self.name)}, {place}"
        elif self.field is not None:
            place = f"{self.field.kind} {self.field.index}"
        else:
            return ""
        return (
            f" ({place})" if self.offset is None else f" ({place}, code offset 0x{self.offset:x})"
        )


class UnlinkableError(BadInput):
    """An import is missing ("unknown import") or has another type ("incompatible import type")."""


class UnsupportedError(BadInput):
    """A part of Wasm or WASI that is not built yet; the message names it. ``offset`` is as in
    MalformedError."""

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset

    def where(self) -> str:
        return "" if self.offset is None else f" (at byte 0x{self.offset:x})"


class ResourceError(BadInput):
    """What a module or a checkpoint asks for is more than the machine has, or than is allowed."""


class CheckpointError(BadInput):
    """A checkpoint was refused, or this state cannot be written to one; the message says why."""


@dataclass(frozen=True, slots=True)
class Location:
    """One line of a Wasm backtrace: a function (by index and, where known, name), the code offset,
    in bytes from the start of its body, of the instruction that it is at, and, where somebody has
    looked for it, the line of source: ``file.c:12``. ``module`` is the SHA-256 of the module that
    the function is of, where that is known."""

    function: int
    offset: int
    name: str | None = None
    source: str | None = None
    module: bytes | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        label = function_label(self.function, self.name)
        source = f" at {self.source}" if self.source else ""
        return f"{label} (function {self.function}, code offset 0x{self.offset:x}){source}"


#: Of a long backtrace, so many frames from its start and from its end are shown.
FIRST, LAST = 20, 10


def backtrace_lines(places: Sequence[Location], cut: bool = False) -> Iterator[str]:
    """A backtrace for people: a line for each frame, the youngest first; and one where it is
    ``cut``."""
    left_out = len(places) - FIRST - LAST
    for number, place in enumerate(places):
        if left_out <= 1 or number < FIRST or number >= FIRST + left_out:
            yield f"  at {place}"
        elif number == FIRST:
            yield f"  … {left_out} frames left out …"
    if cut:
        yield "  … and older frames, which wasmtime does not keep …"


class Abrupt(ChiwawaError):
    """A program ended in the middle. ``backtrace`` has the youngest frame first, ``origin`` is the
    instance that this one is of; the driver fills them. ``cut`` says that there were more frames,
    which the engine does not know. ``str()``, and so Python's own traceback, has the message and
    then the backtrace, a line for each frame."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.backtrace: tuple[Location, ...] = ()
        self.origin: object = None
        self.cut = False

    @property
    def line(self) -> str:
        """How the program ended, in a line."""
        return f"trap: {self.message}"

    def __str__(self) -> str:
        return "\n".join((self.message, *backtrace_lines(self.backtrace, self.cut)))


class Trap(Abrupt):
    """The program trapped. ``message`` is in the words of the suite."""


class Exhaustion(Trap):
    """The call stack is exhausted."""

    def __init__(self, message: str = "call stack exhausted") -> None:
        super().__init__(message)


class HostError(ChiwawaError):
    """A host function or a probe raised something of its own, which is ``__cause__``.

    Only what is meant for the program is not wrapped: a ``Trap`` (the program traps there) and a
    ``WasiExit`` that it raises, the ``HostError`` of a call back, ``Interrupted``, and what is no
    ``Exception``, such as ``KeyboardInterrupt``."""


class ReplayError(HostError):
    """A program whose host calls are given back makes another call than it made when they were
    recorded, or the record is of no use where it is; the message says which."""


class RunError(ChiwawaError):
    """A run or an instance was asked for what it cannot do now: to go on while it is going on, in
    another thread or beneath the caller; to go on after a trap; results that it has not got."""


class Interrupted(Exception):
    """Raised by a host function that was waiting when a request came. The call has had no effect;
    the program stays at the boundary before it and makes it again when it goes on.

    Where no request is pending, it is a request itself: ``Run.go`` returns False. In a call by
    ``Instance.invoke``, which nobody could go on with, it is a ``HostError`` then."""


class WasiExit(ChiwawaError):
    """The program called ``proc_exit``; ``code`` is its status, unsigned 32 bits."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit status {code}")
        self.code = code


class Unbegun(ChiwawaError):
    """Fuel or time was spent before the program could begin: there is nothing to go on with."""


class Terminated(ChiwawaError):
    """A signal asked the program to end, and it has been stopped; ``number`` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by signal {number}")
        self.number = number
