"""Small inner forms, made by hand or from text, and Python statements as text."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence

from chiwawa.aot.emit import Writer
from chiwawa.aot.ir import Plain, Step
from chiwawa.aot.options import options_for
from chiwawa.aot.tree import build
from chiwawa.lower.lowered import Lowered, lower
from chiwawa.lower.sites import Sites
from chiwawa.meanings import fold
from chiwawa.module import Instr, Module
from chiwawa.opcodes import TABLE
from chiwawa.source import load
from chiwawa.validate import Label

OPS = {op.name: op for op in TABLE}
#: A body of which only the code offsets are of interest: ten times the position.
BODY = [Instr(OPS["nop"], (), 10 * position) for position in range(10)]


def label(kind: str, start: int, end: int) -> Label:
    """A label of a construct in ``BODY``: a ``block``, an ``if`` or a ``loop``."""
    made = Label(OPS[kind], start, (), (), None, 0, True)
    made.end = end
    made.leaves = True
    return made


def function_label() -> Label:
    made = Label(None, -1, (), (), None, 0, True)
    made.end = len(BODY) - 1
    return made


def plain(source: str, offset: int | None = None) -> Plain:
    return Plain(fold.verbatim(source), offset)


def written(statements: Sequence[ast.stmt]) -> str:
    """Statements as they stand in a generated file, without a newline at the end."""
    writer = Writer()
    for statement in statements:
        writer.visit(statement)
    return "".join(writer.result).removeprefix("\n")


def forms(
    module: Module,
    *,
    everywhere: bool = False,
    sites_of: Callable[[Lowered], Sites] = lambda _: Sites(),
) -> Iterator[tuple[list[Step], Lowered]]:
    """The inner form of each function of a module."""
    options = options_for(module, everywhere=everywhere)
    spaces = options.spaces
    for index in range(spaces.imported_funcs, len(spaces.funcs)):
        lowered = lower(spaces, index, everywhere=everywhere)
        yield build(lowered, options, sites_of(lowered)), lowered


def form(fields: str) -> tuple[list[Step], Lowered]:
    """That of the last function of a module of these fields."""
    *_, last = forms(load(f"(module {fields})"))
    return last
