"""``run``: a program from the command line, its checkpoints, its results, and its end.

``python OUT.py …`` and ``chiwawa run …`` are both this; they differ in the ``Runner`` that they
bring. A generated file alone can run its own code; the toolchain can also interpret it, or
translate it anew.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Protocol

from chiwawa_runtime import checkpoint
from chiwawa_runtime.command.options import (
    Options,
    Parser,
    UsageError,
    add_options,
    options_of,
    split,
)
from chiwawa_runtime.command.reporting import reported, say
from chiwawa_runtime.engine.generated import GeneratedEngine
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.engine.translation import Bundle
from chiwawa_runtime.errors import (
    BadInput,
    CheckpointError,
    Terminated,
    Trap,
    UnlinkableError,
    UnsupportedError,
    WasiExit,
)
from chiwawa_runtime.run import capture, starting
from chiwawa_runtime.run.driver import Run
from chiwawa_runtime.run.triggers import BY_INTERRUPT, BY_TIMER, ENDINGS, TRIGGER, Signals, Watcher
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import FuncIdx, Snapshot
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.values import format_value
from chiwawa_runtime.wasi import Wasi
from chiwawa_runtime.wasi.abi import PREVIEW1, UNSTABLE
from chiwawa_runtime.wasi.standard_streams import occupy

#: Of many names, so many are listed.
FIRST = 20
#: The guest's standard input, output and error: host descriptors, or files (see ``wasi.streams``).
STREAMS = (0, 1, 2)
_WASI = (PREVIEW1.module, UNSTABLE.module)


class Runner(Protocol):
    """What can run a program. ``paths`` has the default first; ``granularity`` and
    ``canonical_nans`` are the defaults of a new run. ``start`` and ``restore`` are as in
    ``chiwawa.api``."""

    @property
    def program(self) -> Program: ...
    @property
    def paths(self) -> Sequence[str]: ...
    @property
    def granularity(self) -> str: ...
    @property
    def canonical_nans(self) -> bool: ...

    def start(
        self,
        name: str | None,
        args: Sequence[Any],
        imports: Imports,
        *,
        path: str,
        granularity: str,
        canonical_nans: bool,
        wasi: Wasi | None,
        count: int | None,
    ) -> Run: ...

    def restore(
        self,
        snapshot: Snapshot,
        imports: Imports,
        *,
        path: str,
        granularity: str | None,
        wasi: Wasi | None,
        trust_host_state: bool,
        max_memory: int | None,
    ) -> Run: ...


class FileRunner:
    """A generated file that has nothing but itself and this package."""

    paths = ("aot",)

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.program = bundle.program
        self.granularity = bundle.granularity
        self.canonical_nans = bundle.canonical_nans

    def check(self, granularity: str | None) -> None:
        if granularity not in (None, self.granularity):
            raise UsageError(
                f"this file was compiled with --granularity {self.granularity}: "
                f"another takes chiwawa run FILE"
            )

    def start(
        self,
        name: str | None,
        args: Sequence[Any],
        imports: Imports,
        *,
        path: str,
        granularity: str,
        canonical_nans: bool,
        wasi: Wasi | None,
        count: int | None,
    ) -> Run:
        self.check(granularity)
        if canonical_nans != self.canonical_nans:
            raise UsageError(
                "this file was compiled without --deterministic: "
                "chiwawa run FILE --deterministic, or chiwawa compile --deterministic"
            )
        engine = GeneratedEngine(self.bundle)
        return starting.start(self.program, imports, engine, name, args, wasi=wasi, count=count)

    def restore(
        self,
        snapshot: Snapshot,
        imports: Imports,
        *,
        path: str,
        granularity: str | None,
        wasi: Wasi | None,
        trust_host_state: bool,
        max_memory: int | None,
    ) -> Run:
        self.check(granularity)
        if snapshot.canonical_nans != self.canonical_nans:
            was, is_ = ("with", "without") if snapshot.canonical_nans else ("without", "with")
            raise CheckpointError(
                f"the program was run {was} --deterministic, and this file was compiled {is_} it: "
                "chiwawa run FILE --restore can take it on from there"
            )
        engine = GeneratedEngine(self.bundle)
        youngest = snapshot.frames[0] if snapshot.frames else None
        if youngest is not None and snapshot.granularity != self.granularity:
            imported = len(self.program.functions) - len(self.bundle.codes)
            known = imported <= youngest.function < len(self.program.functions)
            if known and engine.boundary(youngest.function, youngest.offset) is None:
                raise CheckpointError(
                    "the program was stopped between two safepoints of this file: "
                    "chiwawa run FILE --restore can take it on from there"
                )
        carry = starting.carried_state(snapshot, trust_host_state)
        return starting.restore(
            self.program,
            snapshot,
            imports,
            engine,
            wasi=wasi,
            carry=carry,
            max_memory=max_memory,
        )


def main(bundle: Bundle, argv: Sequence[str]) -> int:
    """``python FILE argv``: the exit status."""
    occupy()
    return reported(lambda: run_file(bundle, argv))


def run_file(bundle: Bundle, argv: Sequence[str]) -> int:
    parser = Parser(
        prog=f"python {os.path.basename(sys.argv[0])}",
        description="A WebAssembly program, translated to Python by chiwawa.",
        allow_abbrev=False,
    )
    add_options(parser)
    arguments, rest = split(argv)
    options = options_of(parser.parse(arguments), rest)
    if options.look.asks():
        raise UsageError("traces and monitors take chiwawa run FILE")
    return execute(FileRunner(bundle), options)


# Running.


def execute(runner: Runner, options: Options) -> int:
    """Run, until the end or a checkpoint that stops it: the exit status. Raises what the program
    raises, and BadInput."""
    path = options.path or runner.paths[0]
    if path not in runner.paths:
        raise UsageError(f"--path {path} takes chiwawa run FILE")
    if options.saves():
        check_place("--cr-file", options.file)
        checkpoint.check_file(options.file)
    with contextlib.ExitStack() as stack:
        # Before anything that takes time: a signal that comes too early would end this process.
        signals = stack.enter_context(Signals(saving=options.trigger or options.every is not None))
        if options.restore is None:
            run = started(runner, options, path, stack)
        else:
            run = restored(runner, options, path, stack)
        signals.attach(run.requests)
        trigger = TRIGGER if options.trigger else None
        watcher = stack.enter_context(Watcher(run.requests, trigger, options.every, say))
        return follow(run, options, watcher)


def check_place(option: str, file: str) -> None:
    """Hours later would be too late to hear that a file cannot be written."""
    folder = os.path.dirname(os.path.realpath(file))
    if not os.path.isdir(folder):
        raise BadInput(f"{option} {file}: there is no directory {folder}")
    if os.path.isdir(file):
        raise BadInput(f"{option} {file}: it is a directory")
    if not os.access(folder, os.W_OK):
        raise BadInput(f"{option} {file}: the directory {folder} cannot be written to")
    try:
        os.lstat(file)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise BadInput(f"{option} {file}: {error.strerror}") from error


def started(
    runner: Runner,
    options: Options,
    path: str,
    stack: contextlib.ExitStack,
    streams: Sequence[Any] = STREAMS,
) -> Run:
    """A new run, as ``options`` say. ``stack`` is given what is to be closed after it; ``streams``
    are the guest's standard input, output and error."""
    program = runner.program
    exported = {name: index for name, kind, index in program.exports if kind == "func"}
    name = options.invoke
    if name is None:
        name = "_start" if "_start" in exported else None
        if name is None and "_initialize" not in exported and program.start is None:
            raise BadInput(f"there is no function _start to run: give --invoke; {listed(exported)}")
    elif name not in exported:
        raise BadInput(f'no exported function "{name}"; {listed(exported)}')
    args = [] if name is None else arguments(program, name, exported[name], options)
    wasi = None
    if any(spec.module in _WASI for spec in program.imports):
        wasi = Wasi(
            [options.argv0 or program.name or "main", *options.args],
            options.env,
            [(d.host, d.guest, d.read_only) for d in options.dirs],
            *streams,
            deterministic=options.deterministic,
        )
        stack.callback(wasi.close)
    granularity = options.granularity or runner.granularity
    run = runner.start(
        name,
        args,
        imports_for(program, wasi),
        path=path,
        granularity=granularity,
        canonical_nans=options.deterministic or runner.canonical_nans,
        wasi=wasi,
        count=options.at,
    )
    if "_initialize" in exported and name not in ("_start", "_initialize"):
        # A WASI reactor wants this before any other of its exports.
        first = len(run.plan) - (name is not None)
        run.plan.insert(first, run.instance.prepared("_initialize", ()))
    return run


def restored(runner: Runner, options: Options, path: str, stack: contextlib.ExitStack) -> Run:
    assert options.restore is not None
    data = checkpoint.read_file(options.restore)
    try:
        snapshot = checkpoint.decode(data)
    except CheckpointError as error:
        raise CheckpointError(f"{options.restore}: {error}") from error
    run = revived(runner, snapshot, options, path, stack)
    if options.at is not None:
        counter = run.requests.counter
        if counter is None:
            raise UsageError(
                "--cr-at: the safepoints of the run that wrote this checkpoint were not counted"
            )
        if options.at <= counter.count:
            raise UsageError(f"--cr-at {options.at}: {counter.count} safepoints are passed already")
        counter.target = options.at
    return run


def revived(
    runner: Runner,
    snapshot: Snapshot,
    options: Options,
    path: str,
    stack: contextlib.ExitStack,
    streams: Sequence[Any] = STREAMS,
) -> Run:
    """The run that ``snapshot`` is of, over what ``options`` give it; the rest is as in
    ``started``."""
    program = runner.program
    capture.check_module(snapshot, program.hash)
    capture.check_sizes(program, snapshot, options.max_memory)
    wasi = None
    if snapshot.wasi is not None:
        dirs = [(d.host, d.guest, d.read_only) for d in options.dirs]
        wasi = Wasi.load(snapshot.wasi, dirs, *streams, lenient=options.lenient_files)
        stack.callback(wasi.close)
    elif any(spec.module in _WASI for spec in program.imports):
        raise CheckpointError("the checkpoint has no WASI state, which the program needs")
    return runner.restore(
        snapshot,
        imports_for(program, wasi),
        path=path,
        granularity=options.granularity,
        wasi=wasi,
        trust_host_state=options.trust_host_state,
        max_memory=options.max_memory,
    )


def arguments(program: Program, name: str, index: int, options: Options) -> list[Any]:
    """``--params`` as the program takes them. Raises BadInput unless they are of its types."""
    functype = program.functions[index]
    given = options.params or ()
    if tuple(valtype for valtype, _ in given) != functype.params:
        types = " ".join(str(valtype) for valtype, _ in given)
        raise BadInput(f'wrong --params for "{name}", which is {functype}: [{types}] given')
    for _, value in given:
        if value is not None and not isinstance(value, int | float):
            raise UnsupportedError("only null can be given for a reference")
    return [value for _, value in given]


def listed(exported: dict[str, int]) -> str:
    if not exported:
        return "the module exports no function"
    names = list(exported)
    shown = ", ".join(names[:FIRST])
    more = f" and {len(names) - FIRST} more" if len(names) > FIRST else ""
    return f"the module exports {shown}{more}"


def imports_for(program: Program, wasi: Wasi | None) -> Imports:
    """What the program imports, as far as there is such a thing here. Raises UnlinkableError that
    names all that there is not."""
    given = {} if wasi is None else wasi.imports()
    unknown = {
        f'"{spec.module}" "{spec.name}"': None
        for spec in program.imports
        if spec.name not in given.get(spec.module, {})
    }
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise UnlinkableError(f"unknown import{plural} {', '.join(list(unknown)[:FIRST])}")
    return given


def follow(run: Run, options: Options, watcher: Watcher) -> int:
    """Run on, meeting requests as they come. Raises Terminated where a signal was one."""
    written = False
    try:
        while not run.go():
            reasons = run.requests.take()
            ending = next((ENDINGS[reason] for reason in reasons if reason in ENDINGS), None)
            if BY_INTERRUPT in reasons and ending is None:
                raise KeyboardInterrupt
            if not reasons:
                continue
            if write_checkpoint(run, options, ending is None):
                written = True
                if ending is None and not options.keep_running and set(reasons) != {BY_TIMER}:
                    return 0
                watcher.rest()
            if ending is not None:
                raise Terminated(ending)
    except (Trap, WasiExit):
        say_unmet(run, options, written)
        raise
    show_results(run)
    say_unmet(run, options, written)
    return 0


def write_checkpoint(run: Run, options: Options, goes_on: bool) -> bool:
    """Write one, and say it; whether that was possible."""
    try:
        checkpoint.save(options.file, run.snapshot())
    except CheckpointError as error:
        # Rather a program that goes on than one that is lost.
        say(f"no checkpoint written{', the program goes on' if goes_on else ''}: {error}")
        return False
    say(f"checkpoint written to {options.file}")
    return True


def say_unmet(run: Run, options: Options, written: bool) -> None:
    """Say that the program has ended first, where a checkpoint was to stop it."""
    if written or not (options.trigger or options.at is not None):
        return
    counter = run.requests.counter
    after = "" if options.at is None or counter is None else f" after {counter.count} safepoints"
    say(f"the program has ended{after}: no checkpoint was made")


def show_results(run: Run) -> None:
    if run.results:
        print(results_text(run))


def results_text(run: Run) -> str:
    """What the last call returned, as values separated by commas."""
    if run.function is None:
        return ""
    functions = {id(f): FuncIdx(i) for i, f in enumerate(run.instance.functions)}
    shown = []
    types = run.instance.program.functions[run.function].results
    for valtype, result in zip(types, run.results, strict=True):
        value = functions.get(id(result), result) if isinstance(result, Function) else result
        shown.append(format_value(valtype, value))
    return ",".join(shown)
