"""Instruments from the command line's options, and what they have to say when the run stops."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TextIO

from chiwawa.files import replacing
from chiwawa.instrument.document import csv_text, document, stats_text, text
from chiwawa.instrument.lines import source_lines
from chiwawa.instrument.listing import function_labels
from chiwawa.instrument.observed import Observed
from chiwawa.instrument.session import Instruments
from chiwawa.instrument.stacks import collapsed, speedscope
from chiwawa.instrument.tables import MONITORS, table
from chiwawa.instrument.trace import EVENTS, RESOURCES, Tracer, Tracing
from chiwawa.module import Module
from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.main import check_place
from chiwawa_runtime.options import Look


@contextlib.contextmanager
def looking(module: Module, look: Look, title: str) -> Iterator[Instruments | None]:
    """In a ``with`` statement, the instruments that ``look`` asks for, None if for none. What they
    found is written at its end, however that comes, if the program has begun; ``title`` is the name
    of a module that has none.

    Raises BadInput for names that there are not, and for files that cannot be written."""
    if not look.asks():
        yield None
        return
    monitors = chosen(look.monitors)
    needed = list(monitors)
    if look.stats:
        needed.append("opcodes")
    if look.collapsed or look.speedscope:
        needed.append("profile")
    for option, file in (
        ("--monitor-output", look.monitor_output),
        ("--collapsed", look.collapsed),
        ("--speedscope", look.speedscope),
    ):
        if file is not None:
            check_place(option, file)
    with contextlib.ExitStack() as stack:
        tracer = None
        if look.trace:
            tracer = Tracer(module, tracing_of(module, look), trace_file(look, stack))
        instruments = Instruments(module, monitors=needed, tracer=tracer)
        try:
            yield instruments
        finally:
            if instruments.instance is not None:
                instruments.finish()
                tell(module, look, monitors, instruments.observed(), title)


def chosen(names: Sequence[str]) -> list[str]:
    """The monitors named, each once, in the table's order where all are asked for."""
    for name in names:
        if name != "all" and name not in MONITORS:
            raise BadInput(f"unknown monitor {name!r}: there are all, {', '.join(MONITORS)}")
    return list(MONITORS) if "all" in names else list(dict.fromkeys(names))


def tracing_of(module: Module, look: Look) -> Tracing:
    for what, names, known in (
        ("event", look.events, EVENTS),
        ("resource", look.resources, RESOURCES),
    ):
        for name in names:
            if name not in known:
                raise BadInput(f"unknown trace {what} {name!r}: there are {', '.join(known)}")
    default = Tracing()
    return Tracing(
        events=frozenset(look.events) or default.events,
        resources=frozenset(look.resources) or default.resources,
        functions=frozenset(functions_of(module, look.functions)) if look.functions else None,
        format=look.trace_format,
    )


def functions_of(module: Module, names: Sequence[str]) -> Iterator[int]:
    """The indices of the functions defined here that ``names`` mean: indices, names, exports, or
    patterns of them. Raises BadInput where one means none."""
    labels: dict[int, list[str]] = {i: [n] for i, n in enumerate(function_labels(module))}
    for export in module.exports:
        if export.kind == "func":
            labels[export.index].append(export.name)
    imported = len(labels) - len(module.funcs)
    for name in names:
        found = [
            index
            for index, known in labels.items()
            if index >= imported
            and (str(index) == name or any(fnmatchcase(k, name) or k == name for k in known))
        ]
        if not found:
            raise BadInput(f"--trace-func: no function {name!r} is defined in this module")
        yield from found


def trace_file(look: Look, stack: contextlib.ExitStack) -> TextIO:
    if look.trace_output is None:
        return sys.stderr
    return stack.enter_context(open(look.trace_output, "w", encoding="utf-8", newline="\n"))


def tell(
    module: Module, look: Look, monitors: Sequence[str], observed: Observed, title: str
) -> None:
    """Write what was asked for."""
    if look.stats:
        sys.stderr.write(stats_text(observed))
    if monitors:
        lines = source_lines(module)
        if look.form == "json":
            source_of = None if lines is None else lines.at
            result = json.dumps(document(observed, monitors, source_of, title), indent=1) + "\n"
        else:
            tables = [table(name, observed) for name in monitors]
            result = csv_text(tables) if look.form == "csv" else text(tables)
        put(look.monitor_output, result)
    if look.collapsed is not None:
        put(look.collapsed, collapsed(observed))
    if look.speedscope is not None:
        put(look.speedscope, speedscope(observed, module.names.module or title))


def put(file: str | None, result: str) -> None:
    if file is None:
        sys.stderr.write(result)
        return
    with replacing(file) as out:
        out.write(result)
