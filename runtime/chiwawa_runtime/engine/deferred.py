"""The source of a generated file, whose functions are compiled when they are first called.

Python needs some seventy bytes of memory for each byte of source that it compiles at once, and a
large program has thousands of functions that one run of it never calls. This knows what a generated
file looks like (``chiwawa.aot.file`` writes it): a header, functions at top level, tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from chiwawa_runtime.errors import BadInput

#: How the tables begin.
TABLES = "\nBUNDLE = bundle(\n"
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

    def made(self) -> FunctionType:
        """The function. Raises BadInput where it cannot be compiled."""
        if self._made is None:
            names: dict[str, Any] = {}
            try:
                exec(compile(self.text(), self.filename, "exec", dont_inherit=True), names)
            except SyntaxError as error:
                line = self.first_line + (error.lineno or 1) - 1
                raise BadInput(f"a generated file was edited: line {line}: {error.msg}") from error
            made = names[self.name]
            # The lines of a code object are counted from its first.
            made.__code__ = made.__code__.replace(co_firstlineno=self.first_line)
            self._made = made
        return self._made


def deferred(source: str, filename: str, start: int, end: int) -> Iterator[Deferred]:
    """The functions in ``source[start:end]``, which begins with the line break before the first."""
    line = source.count("\n", 0, start) + 2
    while start < end:
        following = source.find(_DEF, start + 1, end)
        if following < 0:
            following = end
        name = source[start + len(_DEF) : source.index("(", start)]
        text = partial(source.__getitem__, slice(start + 1, following))
        yield Deferred(name, filename, line, text)
        line += source.count("\n", start + 1, following + 1)
        start = following


def run_source(source: str, filename: str) -> dict[str, Any]:
    """The namespace that a generated file's source makes, its functions ``Deferred``. This runs the
    source. Raises BadInput where it is no such file, and what running it raises."""
    tables = 0 if source.startswith(TABLES[1:]) else source.rfind(TABLES)
    if tables < 0:
        raise BadInput(f"{filename} is no file that chiwawa compiled")
    first = source.find(_DEF, 0, tables)
    if first < 0:
        first = tables
    namespace = ModuleType("chiwawa_translation").__dict__
    exec(compile(source[:first], filename, "exec", dont_inherit=True), namespace)
    namespace.update((f.name, f) for f in deferred(source, filename, first, tables))
    exec(compile(source[tables:], filename, "exec", dont_inherit=True), namespace)
    return namespace
