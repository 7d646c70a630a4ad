"""RUN.json, checked: the page's script relies on what is checked here and looks at nothing twice.

The format is in ``chiwawa/instrument/monitors/document.py``, which writes it. What is read becomes
``Run``, in the shapes that the page embeds: rows rather than objects, names without what a terminal
or a browser would act on.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.names import printable

VERSION = 1
#: Beyond, a script's numbers are not exact.
_EXACT = (1 << 53) - 1

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))
#: Levels that no document of ours comes near.
_MOST_LEVELS = 50

Cell = int | float | str | None


@dataclass(frozen=True, slots=True)
class Table:
    """A monitor's table; each row has a cell for each column."""

    columns: list[str]
    rows: list[list[Cell]]
    note: str | None


@dataclass(frozen=True, slots=True)
class Function:
    """``lines`` are ``[offset, depth, text, count or None, source or None]``."""

    index: int
    count: int
    lines: list[list[Cell]]


@dataclass(frozen=True, slots=True)
class Run:
    """What RUN.json holds. ``functions`` are names by index, ``defined`` is how many of them are
    not imported. ``tree`` has rows ``[parent's row,
    function, calls, own instructions]``, parents first, the root with parent and function -1.
    ``pages`` has rows ``[memory, page, reads, writes]``. Those three are None where the monitor did
    not run."""

    module: str
    sha256: str
    gaps: int
    functions: list[str]
    defined: int
    tables: dict[str, Table] = field(default_factory=dict)
    tree: list[list[int]] | None = None
    listing: list[Function] | None = None
    pages: list[list[int]] | None = None


def _is_deep(content: bytes) -> bool:
    """Whether JSON is nested so deep that Python's reader, which recurses, could come to harm. Its
    own limit is no help where deep programs have raised it."""
    brackets = _STRING.sub(b"", content).translate(None, _OTHERS)
    for _ in range(_MOST_LEVELS):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return len(brackets) > _MOST_LEVELS


def read(content: bytes) -> Run:
    """The run that ``content``, a RUN.json, describes. Raises BadInput, which says what is wrong
    and where in the document."""
    if _is_deep(content):
        raise BadInput("not JSON: nested too deep")
    try:
        document = json.loads(content, parse_constant=_no_number)
    except ValueError as error:
        raise BadInput(f"not JSON: {_line(error)}") from error
    if not isinstance(document, dict) or document.get("chiwawa") != "run":
        raise BadInput('not what "chiwawa run --json --monitor-output" writes')
    version = document.get("version")
    if type(version) is not int:
        _wrong("version", "a whole number")
    if version != VERSION:
        raise BadInput(f"version {version} of a run's measurements; only {VERSION} is understood")
    module = _object(document, "module", "module")
    functions = _functions(document)
    monitors = _object(document, "monitors", "monitors")
    return Run(
        _text(module.get("name"), "module.name"),
        _text(module.get("sha256"), "module.sha256"),
        _count(document.get("gaps"), "gaps"),
        functions,
        sum(not function.get("imported") for function in document["functions"]),
        {
            printable(name): _table(_object(monitors, name, f"monitors.{printable(name)}"), name)
            for name in monitors
        },
        _tree(monitors["profile"], len(functions)) if "profile" in monitors else None,
        _listing(monitors["hotness"], len(functions)) if "hotness" in monitors else None,
        _pages(monitors["memory"]) if "memory" in monitors else None,
    )


def _line(error: Exception) -> str:
    return printable(str(error).replace("\n", " "))


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


def _wrong(where: str, what: str) -> NoReturn:
    raise BadInput(f"not a run's measurements: {where} is not {what}")


# What a document consists of. Each returns what it is given, or says where it is wrong.


def _object(parent: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = parent.get(key)
    if not isinstance(value, dict):
        _wrong(where, "an object")
    return value


def _list(parent: dict[str, Any], key: str, where: str) -> list[Any]:
    value = parent.get(key)
    if not isinstance(value, list):
        _wrong(where, "a list")
    return value


def _objects(parent: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    values = _list(parent, key, where)
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            _wrong(f"{where}[{index}]", "an object")
    return values


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        _wrong(where, "a text")
    return value if value.isprintable() else printable(value)


def _count(value: object, where: str) -> int:
    if type(value) is not int or value < 0:
        _wrong(where, "a number from 0 up")
    return value


def _index(value: object, length: int, where: str) -> int:
    if type(value) is not int or not 0 <= value < length:
        _wrong(where, "a function's index")
    return value


def _functions(document: dict[str, Any]) -> list[str]:
    names = []
    for index, function in enumerate(_objects(document, "functions", "functions")):
        where = f"functions[{index}]"
        if type(function.get("index")) is not int or function["index"] != index:
            _wrong(f"{where}.index", str(index))
        names.append(_text(function.get("name"), f"{where}.name") or f"func[{index}]")
    return names


# Monitors.


def _table(monitor: dict[str, Any], name: str) -> Table:
    where = f"monitors.{printable(name)}"
    columns = [
        _text(column, f"{where}.columns[{index}]")
        for index, column in enumerate(_list(monitor, "columns", f"{where}.columns"))
    ]
    rows = []
    for index, row in enumerate(_list(monitor, "rows", f"{where}.rows")):
        if not isinstance(row, list) or len(row) != len(columns):
            _wrong(f"{where}.rows[{index}]", f"a list of {len(columns)} cells")
        rows.append([_cell(cell, f"{where}.rows[{index}]") for cell in row])
    note = monitor.get("note")
    return Table(columns, rows, None if note is None else _text(note, f"{where}.note"))


def _cell(value: object, where: str) -> Cell:
    if isinstance(value, str):
        return _text(value, where)
    if type(value) is int:
        return value if abs(value) <= _EXACT else str(value)
    if value is None or (type(value) is float and math.isfinite(value)):
        return value
    _wrong(where, "a row of numbers, texts and nulls")


def _tree(monitor: dict[str, Any], functions: int) -> list[list[int]]:
    where = "monitors.profile.tree"
    rows = _list(monitor, "tree", where)
    for index, row in enumerate(rows):
        here = f"{where}[{index}]"
        if not isinstance(row, list) or len(row) != 4 or any(type(n) is not int for n in row):
            _wrong(here, "[parent, function, calls, instructions]")
        parent, function, calls, instructions = row
        if index == 0 and (parent, function) != (-1, -1):
            _wrong(here, "the root")
        if index and not 0 <= parent < index:
            _wrong(here, "beneath a row before it")
        if index:
            _index(function, functions, f"{here}[1]")
        _count(min(calls, instructions), here)
    if not rows:
        _wrong(where, "a tree with a root")
    return rows


def _listing(monitor: dict[str, Any], functions: int) -> list[Function]:
    listing = []
    where = "monitors.hotness.listing"
    for index, function in enumerate(_objects(monitor, "listing", where)):
        here = f"{where}[{index}]"
        lines = _objects(function, "lines", f"{here}.lines")
        listing.append(
            Function(
                _index(function.get("function"), functions, f"{here}.function"),
                _count(function.get("count"), f"{here}.count"),
                [_code(line, f"{here}.lines[{number}]") for number, line in enumerate(lines)],
            )
        )
    return listing


def _code(line: dict[str, Any], where: str) -> list[Cell]:
    count, source = line.get("count"), line.get("source")
    return [
        _count(line.get("offset"), f"{where}.offset"),
        _count(line.get("depth"), f"{where}.depth"),
        _text(line.get("text"), f"{where}.text"),
        None if count is None else _count(count, f"{where}.count"),
        None if source is None else _text(source, f"{where}.source"),
    ]


def _pages(monitor: dict[str, Any]) -> list[list[int]]:
    where = "monitors.memory.pages"
    return [
        [
            _count(page.get(key), f"{where}[{index}].{key}")
            for key in ("memory", "page", "reads", "writes")
        ]
        for index, page in enumerate(_objects(monitor, "pages", where))
    ]
