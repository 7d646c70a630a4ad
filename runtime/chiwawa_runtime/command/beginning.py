"""The run that options ask for: new, or from a checkpoint, with what they give it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chiwawa_runtime import checkpoint
from chiwawa_runtime.command import bench
from chiwawa_runtime.command.options import Options, UsageError
from chiwawa_runtime.command.runner import Runner
from chiwawa_runtime.command.stopping import stopping
from chiwawa_runtime.engine.instance import Importable, Imports
from chiwawa_runtime.engine.requests import BY_FUEL
from chiwawa_runtime.errors import (
    BadInput,
    CheckpointError,
    Unbegun,
    UnlinkableError,
    UnsupportedError,
)
from chiwawa_runtime.run import uptake
from chiwawa_runtime.run.call_record import RecordFile
from chiwawa_runtime.run.host_calls import HostCalls
from chiwawa_runtime.run.instance import Instance, Run, Stopped
from chiwawa_runtime.run.recordings import record_calls, replay_calls
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.run.stubs import stubbed
from chiwawa_runtime.state.heap import External
from chiwawa_runtime.state.host_limits import Limits
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import I31, Snapshot
from chiwawa_runtime.state.store import holds
from chiwawa_runtime.state.subtyping import stated
from chiwawa_runtime.state.types import EXTERNREF, RefType
from chiwawa_runtime.wasi.module_names import MODULES

if TYPE_CHECKING:
    from chiwawa_runtime.wasi import Wasi

#: Of many names, so many are listed.
FIRST = 20
#: The guest's standard input, output and error: host descriptors, or files (see ``wasi.streams``).
STREAMS = (0, 1, 2)


def started(
    runner: Runner,
    options: Options,
    path: str,
    stack: contextlib.ExitStack,
    streams: Sequence[Any] = STREAMS,
    calls: HostCalls | None = None,
) -> Run:
    """A new run, as ``options`` say. ``stack`` is given what is to be closed after it; ``streams``
    are the guest's standard input, output and error. Its host calls go through ``calls``; None:
    through what ``options`` say."""
    program = runner.program
    exported = exported_functions(program)
    name = options.invoke
    if name is None:
        name = "_start" if "_start" in exported else None
        if name is None and "_initialize" not in exported and program.start is None:
            raise BadInput(f"there is no function _start to run: give --invoke; {listed(exported)}")
    args = [] if name is None else called_with(program, name, options)
    calls = calls or calls_of(options, stack, streams)
    programs = [program, *runner.others]
    wasi = None
    needed = any(spec.module in MODULES for each in programs for spec in each.imports)
    if needed and not replays(calls):
        from chiwawa_runtime.wasi import Wasi

        wasi = Wasi(
            [options.argv0 or program.name or "main", *options.args],
            options.env,
            [(d.host, d.guest, d.read_only) for d in options.dirs],
            *streams,
            deterministic=options.deterministic,
        )
        stack.callback(wasi.close)
    setup = Setup(
        imports=imported(program, wasi, options, programs, stack, calls),
        calls=calls,
        wasi=wasi,
        path=path,
        granularity=options.granularity,
        canonical_nans=True if options.deterministic else None,
        limits=options.limits,
        watched=options.coredump is not None,
    )
    with contextlib.ExitStack() as making:
        given, beside = runner.preload(setup, making)
        imports = given if replays(calls) else complete(program, given)
        limits = left(options.limits, beside[-1]) if beside else options.limits
        setup = replace(setup, imports=imports, count=options.at, limits=limits)
        run = runner.start(name, args, setup)
    run.beside.extend(beside)
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
    if options.invoke is not None and not snapshot.idle:
        raise UsageError(
            "--invoke: a call is in progress in this checkpoint, and goes on without another"
        )
    if options.invoke is None and snapshot.idle:
        exported = exported_functions(runner.program)
        raise BadInput(
            f"{options.restore}: no call is in progress in it: give --invoke; {listed(exported)}"
        )
    run = restored_from(runner, snapshot, options, path, stack)
    if options.at is not None:
        passed = run.requests.passed
        if passed is None:
            raise UsageError(
                "--cr-at: the safepoints of the run that wrote this checkpoint were not counted"
            )
        if options.at <= passed:
            raise UsageError(f"--cr-at {options.at}: {passed} safepoints are passed already")
        run.requests.stop_at(options.at)
    return run


def restored_from(
    runner: Runner,
    snapshot: Snapshot,
    options: Options,
    path: str,
    stack: contextlib.ExitStack,
    streams: Sequence[Any] = STREAMS,
    calls: HostCalls | None = None,
) -> Run:
    """The run that ``snapshot`` is of, over what ``options`` give it; the rest is as in
    ``started``. Where ``calls`` have the state of WASI already, it is not the checkpoint's."""
    program = runner.program
    runner.check_modules(snapshot)
    if not snapshot.others:
        uptake.check_sizes([program], snapshot, options.limits)
    calls = calls or calls_of(options, stack, streams)
    wasi = None if calls is None else calls.state
    if replays(calls) or wasi is not None:
        # It needs nothing of that, and goes on from checkpoints that have none.
        pass
    elif snapshot.wasi is not None:
        from chiwawa_runtime.wasi import Wasi

        dirs = [(d.host, d.guest, d.read_only) for d in options.dirs]
        wasi = Wasi.load(snapshot.wasi, dirs, *streams, lenient=options.lenient_files)
        stack.callback(wasi.close)
    elif any(spec.module in MODULES for spec in program.imports):
        raise CheckpointError("the checkpoint has no WASI state, which the program needs")
    programs = [program, *runner.others]
    given = imported(program, wasi, options, programs, stack, calls)
    setup = Setup(
        # Linked instances import from each other, too.
        imports=given if snapshot.others or replays(calls) else complete(program, given),
        calls=calls,
        wasi=wasi,
        path=path,
        granularity=options.granularity,
        trust_host_state=options.trust_host_state,
        limits=options.limits,
        watched=options.coredump is not None,
    )
    if snapshot.idle and options.invoke is not None:
        call = called_with(program, options.invoke, options)
        run = runner.restore(snapshot, setup)
        run.plan.append(run.instance.prepared(options.invoke, call))
        return run
    return runner.restore(snapshot, setup)


def calls_of(
    options: Options, stack: contextlib.ExitStack, streams: Sequence[Any]
) -> HostCalls | None:
    """What keeps the program's calls of the host, or gives them back, where ``options`` say so."""
    if options.replay is not None:
        from chiwawa_runtime.wasi.streams import Stream

        outputs = {number: Stream(streams[number]) for number in (1, 2)}

        def show(number: int, data: bytes) -> None:
            outputs[number].write(data, [], False)

        return replay_calls(options.replay, show)
    if options.coredump is not None:
        file = None if options.record_calls is None else RecordFile(options.record_calls)
        return stack.enter_context(HostCalls(live=True, file=file))
    if options.record_calls is not None:
        return stack.enter_context(record_calls(options.record_calls))
    return None


def replays(calls: HostCalls | None) -> bool:
    """Whether host functions are not called."""
    return calls is not None and not calls.live


def exported_functions(program: Program) -> dict[str, int]:
    """Their indices, by name."""
    return {name: index for name, kind, index in program.exports if kind == "func"}


def called_with(program: Program, name: str, options: Options) -> list[Any]:
    """The arguments with which ``options`` call the export ``name``. Raises BadInput where there is
    none, and unless they are of its types."""
    exported = exported_functions(program)
    if name not in exported:
        raise BadInput(f'no exported function "{name}"; {listed(exported)}')
    return arguments(program, name, exported[name], options)


def arguments(program: Program, name: str, index: int, options: Options) -> list[Any]:
    """``--params`` as the program takes them. Raises BadInput unless they are of its types."""
    functype = program.functions[index]
    given = options.params or ()
    if tuple(valtype for valtype, _ in given) != tuple(map(stated, functype.params)):
        types = " ".join(str(valtype) for valtype, _ in given)
        raise BadInput(f'wrong --params for "{name}", which is {functype}: [{types}] given')
    result: list[Any] = []
    for param, (valtype, value) in zip(functype.params, given, strict=True):
        if isinstance(value, I31):
            result.append(External(value.value) if valtype == EXTERNREF else value.value)
        elif value is None or isinstance(value, int | float | bytes):
            result.append(value)
        else:
            raise UnsupportedError("only null can be given for a reference")
        if isinstance(param, RefType) and not holds(param, result[-1]):
            raise BadInput(f'wrong --params for "{name}", which is {functype}: no {param} given')
    return result


def listed(exported: dict[str, int]) -> str:
    if not exported:
        return "the module exports no function"
    names = list(exported)
    shown = ", ".join(names[:FIRST])
    more = f" and {len(names) - FIRST} more" if len(names) > FIRST else ""
    return f"the module exports {shown}{more}"


def imported(
    program: Program,
    wasi: Wasi | None,
    options: Options,
    programs: Sequence[Program],
    stack: contextlib.ExitStack,
    calls: HostCalls | None,
) -> Imports:
    """What there is here for ``programs`` to import, which stops the run where ``options`` say so;
    nothing, where calls are replayed."""
    if not replays(calls):
        return stopping(program, hosts(wasi, options, programs, stack), options.before)
    if options.before is not None:
        raise UsageError(f"--cr-at {options.before}: with --replay, no function is called")
    return {}


def hosts(
    wasi: Wasi | None, options: Options, programs: Sequence[Program], stack: contextlib.ExitStack
) -> Imports:
    """What there is here for ``programs`` to import: stubs where those are asked for, what times
    programs, WASI."""
    given: dict[str, dict[str, Importable]] = {}
    for program in programs:
        for module, functions in stubbed(program, options.stubs).items():
            given.setdefault(module, {}).update(functions)
    if bench.asks(programs):
        timed = bench.Bench()
        stack.callback(timed.report)
        given = merged(given, timed.imports())
    return given if wasi is None else merged(given, wasi.imports())


def merged(given: Imports, more: Imports) -> dict[str, dict[str, Importable]]:
    """What both have; where they have the same, that of ``more``."""
    modules = dict.fromkeys([*given, *more])
    return {module: {**given.get(module, {}), **more.get(module, {})} for module in modules}


def preloaded(
    preloads: Sequence[tuple[str, Program, Callable[[Setup], Instance]]], setup: Setup
) -> tuple[Imports, Sequence[Instance]]:
    """New instances of what is to be there before a program, by the name under which that imports
    of it, and the imports of ``setup`` with what they export. Each is made by what is given with
    it, and takes of what all of them may spend. Raises UnlinkableError, Unbegun where that is
    spent, and what calling ``_initialize`` does."""
    given: Imports = setup.imports
    instances: list[Instance] = []
    limits = setup.limits
    for name, program, make in preloads:
        try:
            imports = given if replays(setup.calls) else complete(program, given)
            instance = make(replace(setup, imports=imports))
            if "_initialize" in instance.exports:
                instance.invoke("_initialize")
        except UnlinkableError as error:
            raise UnlinkableError(f"--preload {name}: {error.message}") from error
        except Stopped as stopped:
            raise Unbegun(f"--preload {name}: {spent(stopped, limits)}") from stopped
        setup = replace(setup, limits=left(setup.limits, instance))
        given = merged(given, {name: instance.exports})
        instances.append(instance)
    return given, instances


def left(limits: Limits, instance: Instance) -> Limits:
    """``limits``, of what they let be spent what ``instance`` has left."""
    return replace(limits, fuel=instance.fuel, time=instance.budget.seconds)


def spent(stopped: Stopped, limits: Limits) -> str:
    """What of ``limits`` a call was stopped by, from which nobody could go on."""
    passed = stopped.run.requests.passed
    what = f"fuel, at safepoint {passed}"
    if BY_FUEL not in stopped.reasons:
        what = f"time, after {limits.time:g} seconds"
    return f"out of {what}, before the program has begun"


def complete(program: Program, given: Imports) -> Imports:
    """``given``. Raises UnlinkableError that names all that the program imports and that is not
    there."""
    unknown = {
        f'"{spec.module}" "{spec.name}"': None
        for spec in program.imports
        if spec.name not in given.get(spec.module, {})
    }
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise UnlinkableError(f"unknown import{plural} {', '.join(list(unknown)[:FIRST])}")
    return given
