"""The options of ``run``, which a generated file run by itself has too.

It knows how they are written, not what they do.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.run import stubs
from chiwawa_runtime.run.flight import EVERY
from chiwawa_runtime.state.host_limits import Limits
from chiwawa_runtime.state.snapshot import Value
from chiwawa_runtime.state.types import ValType
from chiwawa_runtime.state.values import parse_values

#: Options whose value may start with a dash, which argparse takes for another option.
DASHED = ("--app-args", "--params", "--env", "--invoke", "--argv0")
#: Where a checkpoint goes by itself.
CHECKPOINT = "checkpoint.bin"
#: Where a core dump goes, where nobody says it.
DUMP = "core.bin"
#: Options that take several words, up to the next option or a program's file.
SEVERAL = ("--trace-events", "--trace-resource", "--trace-func", "--monitor")
PROGRAMS = (".wasm", ".wat", ".py")


class UsageError(BadInput):
    """The command line makes no sense."""


class Parser(argparse.ArgumentParser):
    """argparse that raises UsageError, in one line, instead of printing its own two. Use ``parse``,
    which says more of what it does not know."""

    #: Whether a program is run, which may be given arguments of its own.
    runs = False

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")

    @property
    def options(self) -> Iterable[str]:
        return self._option_string_actions

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Raises UsageError."""
        for argument in itertools.takewhile(lambda argument: argument != "--", arguments):
            # First: argparse would rather say that a file is missing, and one may be there.
            if argument.startswith("--") and argument.partition("=")[0] not in self.options:
                self.error(self.unknown(argument))
        parsed, unknown = self.parse_known_args(list(arguments))
        if unknown:
            self.error(self.unknown(unknown[0]))
        return parsed

    def unknown(self, argument: str) -> str:
        """What to say of an argument that belongs nowhere."""
        if argument.startswith("-") and argument != "-":
            option = argument.partition("=")[0]
            return f"unknown option {option}{nearest(option, self.options)}"
        if self.runs:
            return (
                f"unexpected argument {argument!r}: the program's own arguments go after --, "
                "those of an exported function into --params"
            )
        return f"unexpected argument {argument!r}"


def nearest(word: str, words: Iterable[str]) -> str:
    """A question whether a word like ``word`` was meant, where there is one."""
    import difflib

    found = difflib.get_close_matches(word, words, 1)
    return f": did you mean {found[0]}?" if found else ""


@dataclass(frozen=True, slots=True)
class Directory:
    """``--dir``: a host directory, what the guest calls it, whether it may only read there."""

    host: str
    guest: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Options:
    """``run``'s options, each as it was given, or its default."""

    invoke: str | None
    params: Sequence[tuple[ValType, Value]] | None
    args: Sequence[str]
    argv0: str | None
    env: Sequence[str]
    dirs: Sequence[Directory]
    trigger: bool
    file: str
    at: int | None
    before: str | None
    every: float | None
    keep_running: bool
    granularity: str | None
    restore: str | None
    save: str | None
    trust_host_state: bool
    limits: Limits
    lenient_files: bool
    path: str | None
    deterministic: bool
    stubs: Sequence[str]
    preloads: Sequence[tuple[str, str]]
    record_calls: str | None
    replay: str | None
    coredump: str | None
    record: tuple[int, int] | None
    instruments: InstrumentOptions

    def stops(self) -> bool:
        """Whether it is said where the run is to stop."""
        return self.at is not None or self.before is not None

    def saves(self) -> bool:
        """Whether a checkpoint is asked for, and where it goes is to be looked at before."""
        asked = self.trigger or self.stops() or self.every is not None
        return asked or self.file != CHECKPOINT


@dataclass(frozen=True, slots=True)
class InstrumentOptions:
    """What the options ask of instruments, as it was given. ``trace``: whether there is to be one.
    ``form`` of the monitors' tables is ``text``, ``json`` or ``csv``."""

    trace: bool
    events: Sequence[str]
    resources: Sequence[str]
    functions: Sequence[str]
    trace_output: str | None
    trace_format: str
    monitors: Sequence[str]
    monitor_output: str | None
    form: str
    stats: bool
    collapsed: str | None
    speedscope: str | None

    def asks(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.trace or self.monitors or self.stats or self.collapsed or self.speedscope)


def add_options(parser: Parser, paths: Sequence[str] | None = None) -> None:
    """Add ``run``'s options to a parser. ``paths`` are those that there are; None: whoever runs
    the program says so."""
    parser.runs = True
    what = parser.add_argument_group("what to run")
    what.add_argument(
        "--invoke",
        metavar="NAME",
        help="call this exported function (default: _start, as WASI commands have)",
    )
    what.add_argument(
        "--params", metavar="VALUES", help='its arguments, such as "I32(1),F64(2.5),I64(-3)"'
    )
    what.add_argument(
        "--path",
        choices=paths,
        help="how to run (default: interp for modules, aot for generated files); auto is the "
        "fastest that can run here, and says which",
    )
    what.add_argument(
        "--granularity",
        choices=("safepoint", "instruction"),
        help="where the run can stop: at loops and calls, or before every instruction (slow)",
    )
    what.add_argument(
        "--stub",
        metavar="MODULE.NAME",
        action="append",
        default=[],
        help="let this imported function be missing until it is called, which is a trap then; "
        "MODULE.* and * too, for what nobody gives",
    )
    what.add_argument(
        "--preload",
        metavar="NAME=MODULE",
        action="append",
        default=[],
        help="another module, whose exports the program imports as those of NAME; with --restore: "
        "the module of an instance that is linked with the program's in the checkpoint",
    )
    wasi = parser.add_argument_group("what a WASI program gets")
    wasi.add_argument(
        "--app-args", metavar="ARGS", help="its arguments, split like a shell; or put them after --"
    )
    wasi.add_argument("--argv0", metavar="NAME", help="what it is told that it is called")
    wasi.add_argument(
        "--env",
        metavar="NAME[=VALUE]",
        action="append",
        default=[],
        help="an environment variable; without =VALUE, as it is here",
    )
    wasi.add_argument(
        "--dir",
        metavar="HOST[::GUEST][:ro]",
        action="append",
        default=[],
        help="a directory that it may use, what it is called there, and whether only to read",
    )
    wasi.add_argument(
        "--deterministic",
        action="store_true",
        help="virtual clocks, repeatable randomness, canonical NaNs: two runs are the same",
    )
    stop = parser.add_argument_group(
        "checkpoints", "SIGUSR1 always asks for one, where the system has it."
    )
    stop.add_argument(
        "--cr",
        action="store_true",
        help="write one when ./checkpoint.trigger appears (which is then removed) and stop",
    )
    stop.add_argument(
        "--cr-file",
        metavar="PATH",
        default=CHECKPOINT,
        help="where to write it (default: checkpoint.bin)",
    )
    stop.add_argument(
        "--cr-at",
        metavar="N|stdin|call:MODULE.NAME",
        type=_stop,
        help="stop at the N-th safepoint since the program's start; or before the first read of "
        "standard input, or call of an import: many can then start from there",
    )
    stop.add_argument(
        "--cr-every",
        metavar="SECONDS",
        type=_seconds,
        help="write one every so often, and go on",
    )
    stop.add_argument(
        "--cr-keep-running", action="store_true", help="go on after each checkpoint, never stop"
    )
    stop.add_argument(
        "--restore",
        metavar="FILE",
        help="go on from a checkpoint, or, with --invoke, call into what --save has written",
    )
    stop.add_argument(
        "--save",
        metavar="FILE",
        help="once the call has returned, write the state that it leaves, for more calls",
    )
    stop.add_argument(
        "--restore-files",
        choices=("strict", "lenient"),
        default="strict",
        help="lenient: what the program has open but is not there any more is closed",
    )
    stop.add_argument(
        "--trust-host-state",
        action="store_true",
        help="read an embedder's Python state in the checkpoint, which runs code that it names",
    )
    limits = parser.add_argument_group("limits", "What the program may take, new or restored.")
    limits.add_argument(
        "--max-memory",
        metavar="SIZE",
        type=_size,
        help="what its memories may take together: bytes, or with K, M, G (default: those of a "
        "checkpoint 1G more than the module declares)",
    )
    limits.add_argument(
        "--max-table",
        metavar="N",
        type=whole,
        help="how many elements its tables may have together",
    )
    limits.add_argument(
        "--max-depth",
        metavar="N",
        type=whole,
        help="how deep calls may be on top of each other (default: 131072, the most there can be)",
    )
    limits.add_argument(
        "--max-files",
        metavar="N",
        type=whole,
        help="how many files and the like it may have open that it has opened itself",
    )
    limits.add_argument(
        "--max-output",
        metavar="SIZE",
        type=_size,
        help="how much it may write, to its streams and files together",
    )
    limits.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        help="how long it may run; then it ends with status 124, and a checkpoint where one is "
        "asked for",
    )
    limits.add_argument(
        "--fuel",
        metavar="N",
        type=whole,
        help="how many safepoints it may pass (with --granularity instruction: how many "
        "instructions), the same on every path; then the same",
    )

    calls = parser.add_argument_group(
        "record and replay", "What the program's host functions did, given back without them."
    )
    calls.add_argument(
        "--record-calls", metavar="FILE", help="keep its calls of host functions, with results"
    )
    calls.add_argument(
        "--replay",
        metavar="FILE",
        help="give it the calls of this record, from its start or the checkpoint of --restore: "
        "it needs no files, input or clock",
    )
    crash = parser.add_argument_group("where it traps", "Safepoints are counted, which takes time.")
    crash.add_argument(
        "--coredump",
        metavar="FILE",
        help="write the state before the instruction that traps, throws or calls a host function "
        "that fails: a checkpoint, which inspect and debug open",
    )
    crash.add_argument(
        "--record",
        metavar="K[:N]",
        type=_record,
        help="keep the last K checkpoints in memory, one each N safepoints (default: 10000000), "
        f"and write the oldest beside the core dump (default: {DUMP}), with the calls since",
    )
    look = parser.add_argument_group(
        "instruments", "They take chiwawa run; several names, with commas or as words."
    )
    look.add_argument(
        "--trace", action="store_true", help="a line for each instruction, before it executes"
    )
    look.add_argument(
        "--trace-events",
        metavar="NAMES",
        action="append",
        default=[],
        help="only such instructions: all, store, load, call, branch, … (default: all)",
    )
    look.add_argument(
        "--trace-resource",
        metavar="NAMES",
        action="append",
        default=[],
        help="what a line has: pc, stack, locals, globals, memory (default: all but memory)",
    )
    look.add_argument(
        "--trace-func",
        metavar="NAMES",
        action="append",
        default=[],
        help="only in these functions, by name or index",
    )
    look.add_argument("--trace-output", metavar="FILE", help="default: stderr")
    look.add_argument("--trace-format", choices=("text", "jsonl"), default="text")
    look.add_argument(
        "--monitor",
        metavar="NAMES",
        action="append",
        default=[],
        help="count: branches, blocks, calls, coverage, globals, hotness, icount, loops, memory, "
        "opcodes, profile, or all; go on counting, after --restore",
    )
    look.add_argument(
        "--monitor-output", metavar="FILE", help="where the tables go (default: stderr)"
    )
    form = look.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the tables as JSON, as report wants it")
    form.add_argument("--csv", action="store_true", help="the tables as CSV")
    look.add_argument(
        "--stats", action="store_true", help="how many instructions were executed, and which most"
    )
    look.add_argument(
        "--collapsed", metavar="FILE", help="the profile as collapsed stacks, for flame graphs"
    )
    look.add_argument("--speedscope", metavar="FILE", help="the profile for speedscope")


def whole(text: str) -> int:
    number = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on expected, not {text!r}")
    return number


def _record(text: str) -> tuple[int, int]:
    most, colon, every = text.partition(":")
    return whole(most), whole(every) if colon else EVERY


def _stop(text: str) -> int | str:
    if text == "stdin" or re.fullmatch(r"call:[^.]+\..+", text):
        return text
    return whole(text)


def _size(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,18})([KMGT]?)(iB|B)?", text, re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"a size such as 4G expected, not {text!r}")
    return int(match[1]) << 10 * " KMGT".index(match[2].upper() or " ")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"a number of seconds expected, not {text!r}")
    return seconds


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is before ``--``, ready for argparse, and what is after it."""
    arguments = list(argv)
    rest: list[str] = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, rest = arguments[:at], arguments[at + 1 :]
    joined: list[str] = []
    while arguments:
        word = arguments.pop(0)
        if word in DASHED and arguments:
            word += "=" + arguments.pop(0)
        elif word in SEVERAL:
            names = []
            while arguments and not (
                arguments[0].startswith("-") or arguments[0].endswith(PROGRAMS)
            ):
                names.append(arguments.pop(0))
            word += "=" + ",".join(names)
        joined.append(word)
    return joined, rest


def options_of(parsed: argparse.Namespace, rest: Sequence[str]) -> Options:
    """The options that a parser with ``add_options`` found, and what came after ``--``."""
    try:
        app_args = shlex.split(parsed.app_args or "")
    except ValueError as error:
        raise UsageError(f"--app-args: {error}") from None
    if parsed.params is not None and parsed.invoke is None:
        raise UsageError("--params needs --invoke")
    if parsed.restore is not None:
        given = {
            "--app-args": bool(app_args or rest),
            "--argv0": parsed.argv0 is not None,
            "--env": bool(parsed.env),
            "--deterministic": parsed.deterministic,
        }
        for option, there in given.items():
            if there:
                raise UsageError(f"{option} cannot be given with --restore: the checkpoint says it")
    if parsed.replay is not None:
        given = {
            "--app-args": bool(app_args or rest),
            "--argv0": parsed.argv0 is not None,
            "--env": bool(parsed.env),
            "--dir": bool(parsed.dir),
        }
        for option, there in given.items():
            if there:
                raise UsageError(f"{option} cannot be given with --replay: the record says it")
        if parsed.record_calls is not None:
            raise UsageError("--record-calls cannot be given with --replay, which calls nobody")
    params = None
    if parsed.params is not None:
        try:
            params = parse_values(parsed.params)
        except BadInput as error:
            raise UsageError(f"--params: {error}") from error
    return Options(
        invoke=parsed.invoke,
        params=params,
        args=[*app_args, *rest],
        argv0=parsed.argv0,
        env=[entry for text in parsed.env for entry in _variable(text)],
        dirs=[_directory(text) for text in parsed.dir],
        trigger=parsed.cr,
        file=parsed.cr_file,
        at=parsed.cr_at if isinstance(parsed.cr_at, int) else None,
        before=parsed.cr_at if isinstance(parsed.cr_at, str) else None,
        every=parsed.cr_every,
        keep_running=parsed.cr_keep_running,
        granularity=parsed.granularity,
        restore=parsed.restore,
        save=parsed.save,
        trust_host_state=parsed.trust_host_state,
        limits=Limits(
            memory=parsed.max_memory,
            table=parsed.max_table,
            depth=parsed.max_depth,
            files=parsed.max_files,
            output=parsed.max_output,
            time=parsed.timeout,
            fuel=parsed.fuel,
        ),
        lenient_files=parsed.restore_files == "lenient",
        path=parsed.path,
        deterministic=parsed.deterministic,
        stubs=[_stub(text) for text in parsed.stub],
        preloads=[_preload(text) for text in parsed.preload],
        record_calls=parsed.record_calls,
        replay=parsed.replay,
        coredump=parsed.coredump or (DUMP if parsed.record else None),
        record=parsed.record,
        instruments=_instruments(parsed),
    )


def _instruments(parsed: argparse.Namespace) -> InstrumentOptions:
    events, resources, functions, monitors = map(
        _names,
        (parsed.trace_events, parsed.trace_resource, parsed.trace_func, parsed.monitor),
    )
    for option, given, names in (
        ("--trace-events", parsed.trace_events, events),
        ("--trace-resource", parsed.trace_resource, resources),
        ("--trace-func", parsed.trace_func, functions),
        ("--monitor", parsed.monitor, monitors),
    ):
        if given and not names:
            raise UsageError(f"{option} names nothing")
    form = "json" if parsed.json else "csv" if parsed.csv else "text"
    if not monitors and (form != "text" or parsed.monitor_output is not None):
        raise UsageError("--json, --csv and --monitor-output need --monitor")
    asked = (events, resources, functions, parsed.trace_output)
    trace = parsed.trace or any(asked)
    if not trace and parsed.trace_format != "text":
        raise UsageError("--trace-format needs --trace")
    return InstrumentOptions(
        trace=trace,
        events=events,
        resources=resources,
        functions=functions,
        trace_output=parsed.trace_output,
        trace_format=parsed.trace_format,
        monitors=monitors,
        monitor_output=parsed.monitor_output,
        form=form,
        stats=parsed.stats,
        collapsed=parsed.collapsed,
        speedscope=parsed.speedscope,
    )


def _names(given: Sequence[str]) -> list[str]:
    return [name for text in given for name in text.split(",") if name]


def _variable(text: str) -> list[str]:
    """``NAME=VALUE``, or ``NAME`` as it is here; nothing where it is not set here."""
    name, equals, _ = text.partition("=")
    if not name:
        raise UsageError(f"--env {text!r} has no name")
    if equals:
        return [text]
    value = os.environ.get(name)
    return [] if value is None else [f"{name}={value}"]


def _stub(text: str) -> str:
    try:
        stubs.names(text)
    except BadInput as error:
        raise UsageError(f"--stub: {error}") from None
    return text


def _preload(text: str) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if not equals or not file:
        raise UsageError(f"--preload: NAME=MODULE expected, not {text!r}")
    return name, file


def _directory(text: str) -> Directory:
    path = text.removesuffix(":ro")
    host, _, guest = path.partition("::")
    if not host:
        raise UsageError(f"--dir {text!r} names no directory")
    return Directory(host, guest or host, read_only=path != text)
