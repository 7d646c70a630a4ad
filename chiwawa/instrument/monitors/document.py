"""Monitors' tables as text, as CSV, and as the JSON document that reports are made of.

Names come from the module, so text and CSV escape them: no cell does anything to a terminal, breaks
a line, or is a formula to a spreadsheet. The JSON document has them as they are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from chiwawa.instrument.counting.observed import Node, Observed
from chiwawa.instrument.labels import clipped, function_labels
from chiwawa.instrument.monitors.listing import SourceOf, imported_functions, listing
from chiwawa.instrument.monitors.monitors import MONITORS, opcode_counts, table
from chiwawa.instrument.monitors.table import Cell, Table
from chiwawa_runtime.names import printable

__all__ = ["csv_text", "document", "stats_text", "text"]

#: The widest cell of text, in characters.
_WIDEST = 60
#: What a column of text keeps on a narrow screen.
_NARROWEST = 8
#: Deeper nodes of a tree are indented no further.
_DEEPEST = 30
_TOP_OPCODES = 10


def text(tables: Iterable[Table], width: int | None = None) -> str:
    """The tables for people, an empty line between two: a title, aligned columns, and the note.
    Where a ``width`` is given, names are cut so that the numbers after them stay on their line, as
    far as that can be. Ends in a newline, unless there is no table."""
    return "\n".join("\n".join(_lines(found, width)) + "\n" for found in tables)


def stats_text(observed: Observed) -> str:
    """How many instructions were executed, and the most frequent opcodes. Reads the counts."""
    found = opcode_counts(observed)
    lines = [f"instructions executed: {sum(count for _, count in found)}"]
    if found:
        rows = [["opcode", "count"], *([name, str(n)] for name, n in found[:_TOP_OPCODES])]
        lines += _aligned(rows, [False, True])
    return "\n".join(lines) + "\n"


def _lines(found: Table, width: int | None) -> list[str]:
    shown = found.rows[: found.shown]
    lines = [f"{found.name}: {MONITORS[found.name].what}"]
    if shown:
        cells = [list(found.columns)]
        for row in shown:
            cells.append([_cell(*pair) for pair in zip(found.columns, row, strict=True)])
            if found.nested:
                depth, name = (found.columns.index(column) for column in ("depth", "name"))
                indent = "  " * min(int(row[depth] or 0) - 1, _DEEPEST)
                cells[-1][name] = indent + cells[-1][name]
        numeric = [
            not any(isinstance(cell, str) for cell in column) for column in zip(*shown, strict=True)
        ]
        lines += _aligned(cells, numeric, width)
    else:
        lines.append("(nothing)")
    if found.note is not None:
        lines.append(f"({found.note})")
    return lines


def _cell(column: str, cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.2f}"
    if isinstance(cell, int):
        return f"0x{cell:04x}" if column.endswith("offset") else str(cell)
    return clipped(printable(clipped(cell, _WIDEST)), _WIDEST)


def _aligned(
    rows: Sequence[Sequence[str]], right: Sequence[bool], most: int | None = None
) -> list[str]:
    """The rows as lines, each column as wide as its widest cell; ``right``: which are numbers.
    Columns of text give way until a line has at most ``most`` characters."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    excess = 0 if most is None else sum(widths) + 2 * (len(widths) - 1) - most
    while excess > 0:
        text_widths = [w for w, number in zip(widths, right, strict=True) if not number]
        widest = max(text_widths, default=0)
        if widest <= _NARROWEST:
            break
        widths[next(i for i, w in enumerate(widths) if w == widest and not right[i])] -= 1
        excess -= 1
    return [
        "  ".join(
            cell.rjust(width) if number else clipped(cell, width).ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


def csv_text(tables: Iterable[Table]) -> str:
    """The tables whole, each with a header of its own, an empty line between two. The first column
    is the monitor's name. What is unknown or has no meaning is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for number, found in enumerate(tables):
        if number:
            out.write("\n")
        writer.writerow(["monitor", *found.columns])
        for row in found.rows:
            writer.writerow([found.name, *map(_csv_cell, row)])
    return out.getvalue()


def _csv_cell(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:.2f}"
    if not isinstance(cell, str):
        return "" if cell is None else str(cell)
    # A spreadsheet takes these for the start of a formula, and an apostrophe for that of text.
    quote = "'" if cell.startswith(("=", "+", "-", "@")) else ""
    return quote + printable(cell)


def document(
    observed: Observed,
    names: Sequence[str],
    source_of: SourceOf | None = None,
    title: str = "",
) -> dict[str, Any]:
    """What the monitors ``names`` found, as plain data for ``json``. ``title`` is the name of a
    module that has none.

    ::

        {"chiwawa": "run", "version": 1, "module": {"name": str, "sha256": hex}, "gaps": int,
         "functions": [{"index": int, "name": str, "imported": bool}, ... all of them],
         "monitors": {name: {"columns": [...], "rows": [[...], ...], "note": str | null}, ...}}

    Cells are as in ``Table``. Besides, ``hotness``, whose rows are only the first, has ``listing``
    (see there; ``source_of`` gives its lines of source), ``memory`` has ``pages``, and ``profile``
    has ``tree``: rows of the parent's row (-1: none), function, calls, own instructions; parents
    first, the root is row 0. Raises BadInput where there is no such monitor."""
    module = observed.module
    imported = imported_functions(module)
    return {
        "chiwawa": "run",
        "version": 1,
        "module": {
            "name": module.names.module or title,
            "sha256": module.hash.hex(),
        },
        "gaps": observed.gaps,
        "functions": [
            {"index": index, "name": name, "imported": index < imported}
            for index, name in enumerate(function_labels(module))
        ],
        "monitors": {name: _monitored(observed, name, source_of) for name in names},
    }


def _monitored(observed: Observed, name: str, source_of: SourceOf | None) -> dict[str, Any]:
    found = table(name, observed)
    described: dict[str, Any] = {
        "columns": list(found.columns),
        "rows": [list(row) for row in found.rows[: found.shown]],
        "note": found.note,
    }
    if name == "profile":
        described["tree"] = _flat(observed.tree)
    elif name == "hotness":
        described["listing"] = listing(observed, source_of)
    elif name == "memory":
        described["pages"] = [
            {"memory": memory, "page": page, "reads": reads, "writes": writes}
            for memory in sorted(observed.pages)
            for page, (reads, writes) in sorted(observed.pages[memory].items())
        ]
    return described


def _flat(tree: Node) -> list[list[int]]:
    """A row for each node, parents first: its parent's row (-1: none), function, calls, and the
    instructions begun in itself."""
    numbers: dict[Node, int] = {}
    rows = []
    for number, node in enumerate(tree.walk()):
        numbers[node] = number
        parent = -1 if node.parent is None else numbers[node.parent]
        rows.append([parent, node.function, node.calls, node.instructions])
    return rows
