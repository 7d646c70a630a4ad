"""Instruments from the command line's options, and what they have to say when the run stops."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TextIO

from chiwawa.files import replacing
from chiwawa.instrument.instruments import Instruments
from chiwawa.instrument.labels import function_labels
from chiwawa.instrument.monitors.document import csv_text, document, stats_text, text
from chiwawa.instrument.monitors.flamegraphs import collapsed, speedscope
from chiwawa.instrument.monitors.monitors import MONITORS, table
from chiwawa.instrument.source_lines import source_lines
from chiwawa.instrument.tracing.tracer import EVENTS, RESOURCES, Tracer, Tracing
from chiwawa.module import Module
from chiwawa_runtime.command.execution import check_place
from chiwawa_runtime.command.options import InstrumentOptions
from chiwawa_runtime.command.reporting import say
from chiwawa_runtime.errors import BadInput


@contextlib.contextmanager
def instruments_for(
    module: Module, options: InstrumentOptions, title: str
) -> Iterator[Instruments | None]:
    """In a ``with`` statement, the instruments that ``options`` ask for, None if for none. What
    they found is written at its end, however that comes, if the program has begun; ``title`` is the
    name of a module that has none.

    Raises BadInput for names that there are not, and for files that cannot be written. Where the
    program has ended in an exception, that is what leaves, and such a file is a line on stderr."""
    if not options.asks():
        yield None
        return
    monitors = chosen(options.monitors)
    needed = list(monitors)
    if options.stats:
        needed.append("opcodes")
    if options.collapsed or options.speedscope:
        needed.append("profile")
    check_files(options)
    with contextlib.ExitStack() as stack:
        out = None
        tracer = None
        if options.trace:
            tracing = tracing_of(module, options)
            if options.trace_output is not None:
                out = TraceFile(options.trace_output)
                stack.callback(out.close)
            tracer = Tracer(module, tracing, out or sys.stderr)
        instruments = Instruments(module, monitors=needed, tracer=tracer)

        def finish() -> list[BadInput]:
            if instruments.instance is None:
                return []
            return write_findings(module, options, monitors, instruments, title)

        try:
            yield instruments
        except BaseException as error:
            for failure in finish():
                if str(failure) != str(error):
                    say(f"error: {failure}")
            raise
        failures = finish()
        for failure in failures[1:]:
            say(f"error: {failure}")
        if failures:
            raise failures[0]


def check_files(options: InstrumentOptions) -> None:
    """Raise BadInput for a file that cannot be written to, and for one that is asked for twice."""
    known: dict[str, str] = {}
    for option, file in (
        ("--trace-output", options.trace_output),
        ("--monitor-output", options.monitor_output),
        ("--collapsed", options.collapsed),
        ("--speedscope", options.speedscope),
    ):
        if file is None:
            continue
        if not os.path.exists(file) or os.path.isfile(file) or os.path.isdir(file):
            check_place(option, file)
            place = os.path.realpath(file)
            if place in known:
                raise BadInput(f"{option} {file}: {known[place]} writes there")
            known[place] = option
        if os.path.exists(file) and not os.access(file, os.W_OK):
            raise BadInput(f"{option} {file}: it cannot be written to")


class TraceFile:
    """What a trace is written to: a file that is there, and empty, from the first line on. Raises
    BadInput where it cannot be written, once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.out: TextIO | None = None
        self.closing = contextlib.ExitStack()
        self.failed = False

    def opened(self) -> TextIO:
        with contextlib.ExitStack() as stack:
            out = stack.enter_context(open(self.file, "w", encoding="utf-8", newline="\n"))
            self.closing = stack.pop_all()
        return out

    def write(self, text: str) -> None:
        with self.trying() as out:
            if out is not None:
                out.write(text)

    def flush(self) -> None:
        with self.trying() as out:
            if out is not None:
                out.flush()

    def close(self) -> None:
        # What is still held back after a failure has nowhere to go.
        with contextlib.suppress(OSError):
            self.closing.close()

    @contextlib.contextmanager
    def trying(self) -> Iterator[TextIO | None]:
        if self.failed:
            yield None
            return
        try:
            if self.out is None:
                self.out = self.opened()
            yield self.out
        except OSError as error:
            self.failed = True
            raise unwritable(self.file, error) from error


def unwritable(file: str, error: OSError) -> BadInput:
    return BadInput(f"{file}: {error.strerror or error}")


def chosen(names: Sequence[str]) -> list[str]:
    """The monitors named, each once, in the table's order where all are asked for."""
    for name in names:
        if name != "all" and name not in MONITORS:
            raise BadInput(f"unknown monitor {name!r}: there are all, {', '.join(MONITORS)}")
    return list(MONITORS) if "all" in names else list(dict.fromkeys(names))


def tracing_of(module: Module, options: InstrumentOptions) -> Tracing:
    for what, names, known in (
        ("event", options.events, EVENTS),
        ("resource", options.resources, RESOURCES),
    ):
        for name in names:
            if name not in known:
                raise BadInput(f"unknown trace {what} {name!r}: there are {', '.join(known)}")
    default = Tracing()
    return Tracing(
        events=frozenset(options.events) or default.events,
        resources=frozenset(options.resources) or default.resources,
        functions=frozenset(functions_of(module, options.functions)) if options.functions else None,
        format=options.trace_format,
    )


def functions_of(module: Module, names: Sequence[str]) -> Iterator[int]:
    """The indices of the functions defined here that ``names`` mean: indices, names, exports, or
    patterns of them. Raises BadInput where one means none."""
    labels: dict[int, list[str]] = {i: [n] for i, n in enumerate(function_labels(module))}
    for export in module.export_section:
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


def write_findings(
    module: Module,
    options: InstrumentOptions,
    monitors: Sequence[str],
    instruments: Instruments,
    title: str,
) -> list[BadInput]:
    """Write what was asked for; what could not be written."""
    failures = []

    def attempt(write: Callable[[], object]) -> None:
        try:
            write()
        except BadInput as error:
            failures.append(error)

    def result() -> str:
        if options.form == "json":
            lines = source_lines(module)
            source_of = None if lines is None else lines.at
            return json.dumps(document(observed, monitors, source_of, title), indent=1) + "\n"
        tables = [table(name, observed) for name in monitors]
        return csv_text(tables) if options.form == "csv" else text(tables, width)

    width = terminal_width() if options.monitor_output is None else None
    attempt(instruments.finish)
    observed = instruments.observed()
    if options.stats:
        attempt(lambda: put(None, stats_text(observed)))
    if monitors:
        attempt(lambda: put(options.monitor_output, result()))
    if options.collapsed is not None:
        attempt(lambda: put(options.collapsed, collapsed(observed)))
    if options.speedscope is not None:
        name = module.names.module or title
        attempt(lambda: put(options.speedscope, speedscope(observed, name)))
    return failures


def terminal_width() -> int | None:
    """How many characters a line of stderr has, if it is a terminal that knows."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return None


def put(file: str | None, result: str) -> None:
    """Raises BadInput where the file cannot be written."""
    if file is None:
        sys.stderr.write(result)
        return
    try:
        with replacing(file) as out:
            out.write(result)
    except OSError as error:
        raise unwritable(file, error) from error
