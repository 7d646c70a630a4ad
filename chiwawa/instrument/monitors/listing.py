"""A module's code as monitors list it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from chiwawa.instrument.counting.observed import Observed
from chiwawa.instrument.labels import clipped
from chiwawa.lower.lowered import Lowered, Spaces, lower
from chiwawa.module import Expr, Instr, Module
from chiwawa.wat import format_instr

#: A line of a program's source, ``file:line``, by function index and code offset; None: unknown.
SourceOf = Callable[[int, int], str | None]

#: The text of a br_table grows with its labels.
_LONGEST_LINE = 1000


def imported_functions(module: Module) -> int:
    """How many functions are imported: the index of the first that is defined."""
    return len(module.func_typeidxs()) - len(module.funcs)


def body_of(module: Module, index: int) -> Expr:
    """The instructions of the defined function ``index``."""
    return module.funcs[index - imported_functions(module)].body


def instruction_text(module: Module, instr: Instr, function: int) -> str:
    """One instruction in a row of a table."""
    return clipped(format_instr(module, instr, function))


def lowered_functions(observed: Observed) -> Iterator[tuple[Lowered, list[int]]]:
    """Each function in which anything ran, with its counts, by index. Its safepoints are those of
    the granularity ``safepoint``, whatever the run's was."""
    spaces = Spaces.of(observed.module)
    for index in sorted(observed.counts):
        yield lower(spaces, index), observed.counts[index]


def listing(observed: Observed, source_of: SourceOf | None = None) -> list[dict[str, Any]]:
    """Every instruction of the functions in which anything ran, the hottest function first.

    ``depth`` is the line's indentation: 1 at the outermost, 0 at the function's own ``end``.
    ``count`` is how often the instruction was begun, None at ``else`` and ``end``."""
    totals = {index: sum(counts) for index, counts in observed.counts.items()}
    return [
        {
            "function": index,
            "count": totals[index],
            "lines": _lines(observed, index, source_of),
        }
        for index in sorted(totals, key=lambda index: (-totals[index], index))
    ]


def _lines(observed: Observed, index: int, source_of: SourceOf | None) -> list[dict[str, Any]]:
    module, counts = observed.module, observed.counts[index]
    lines = []
    depth = 1
    for position, instr in enumerate(body_of(module, index)):
        op = instr.op
        depth -= op.ends
        lines.append(
            {
                "offset": instr.offset,
                "depth": depth - (op.delimits and not op.ends),
                "text": clipped(format_instr(module, instr, index), _LONGEST_LINE),
                "count": None if op.delimits else counts[position],
                "source": source_of(index, instr.offset) if source_of else None,
            }
        )
        depth += op.opens
    return lines
