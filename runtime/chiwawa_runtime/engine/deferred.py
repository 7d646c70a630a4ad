"""Functions that are source until they are first called, and the text of a generated file.

Python needs some seventy bytes of memory for each byte of source that it compiles at once, and a
large program has thousands of functions that one run of it never calls. So a generated file holds
its functions as one string; this knows how they stand in it, and what a generated file looks like,
as far as that can be told before it is run (``chiwawa.aot.file`` writes it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any

from chiwawa_runtime.errors import BadInput

#: What a generated file and this package agree on: what ``bundle`` is given, and what the functions
#: take, name and do. It changes whenever any of this does, and files have to be compiled again.
FORMAT = 5
#: How the tables of a generated file begin, and those of this FORMAT.
TABLES = "\nBUNDLE = bundle(\n"
OWN_TABLES = f"{TABLES}    format={FORMAT},\n"
_DEF = "\ndef "


class Deferred:
    """A function that is source still: what ``text`` gives, whose first line is ``first_line`` of
    ``filename``."""

    __slots__ = ("_made", "filename", "first_line", "name", "text")

    def __init__(self, name: str, filename: str, first_line: int, text: Callable[[], str]) -> None:
        self.name = name
        self.filename = filename
        self.first_line = first_line
        self.text = text
        self._made: FunctionType | None = None

    def compiled(self) -> CodeType:
        """What defines the function, and nothing else, when it is run. Raises SyntaxError."""
        return compile(self.text(), self.filename, "exec", dont_inherit=True)

    def made(self) -> FunctionType:
        """The function. Raises BadInput where it cannot be compiled."""
        if self._made is None:
            names: dict[str, Any] = {}
            try:
                exec(self.compiled(), names)
            except SyntaxError as error:
                line = self.first_line + (error.lineno or 1) - 1
                raise BadInput(f"a generated file was edited: line {line}: {error.msg}") from error
            made = names[self.name]
            # The lines of a code object are counted from its first.
            made.__code__ = made.__code__.replace(co_firstlineno=self.first_line)
            self._made = made
        return self._made


def deferred(source: str, filename: str, first_line: int) -> Iterator[Deferred]:
    """The functions in ``source``, which has nothing else: each begins in the first column.
    ``first_line`` is that of ``filename`` in which ``source`` begins."""
    line, start = first_line + 1, source.find(_DEF)
    line += source.count("\n", 0, max(start, 0))
    while start >= 0:
        following = source.find(_DEF, start + 1)
        end = len(source) if following < 0 else following + 1
        name = source[start + len(_DEF) : source.index("(", start)]
        yield Deferred(name, filename, line, partial(source.__getitem__, slice(start + 1, end)))
        line += source.count("\n", start + 1, end)
        start = following


def other_format() -> BadInput:
    """What is wrong with a file of another FORMAT."""
    return BadInput("another version of chiwawa compiled this file: compile it again")


def edited() -> BadInput:
    """What is wrong with a file whose functions are no longer where they were written."""
    return BadInput("a generated file was edited: its lines no longer name instructions")


def run_source(source: str, filename: str) -> dict[str, Any]:
    """The namespace that a generated file's source makes. This runs the source. Raises BadInput
    where it is no such file, or one of another FORMAT, and what running it raises."""
    tables = source.rfind(TABLES)
    if tables < 0:
        raise BadInput(f"{filename} is no file that chiwawa compiled")
    if not source.startswith(OWN_TABLES, tables):
        raise other_format()
    namespace = ModuleType("chiwawa_translation").__dict__
    exec(compile(source, filename, "exec", dont_inherit=True), namespace)
    return namespace
