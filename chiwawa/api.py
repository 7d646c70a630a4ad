"""The Python API: load a module, instantiate it on either path, call it, stop it, carry it on.

The command line stands on this too. Values: i32 and i64 are ints, given signed or unsigned, and
returned unsigned; f32 and f64 floats; references None, functions, or whatever the host put there.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from chiwawa import aot
from chiwawa.files import replacing
from chiwawa.interp import InterpreterEngine
from chiwawa.lower.lowered import Spaces
from chiwawa.module import Module
from chiwawa.program import program_of
from chiwawa.source import load_bytes
from chiwawa_runtime import checkpoint
from chiwawa_runtime.engine import deferred
from chiwawa_runtime.engine.contract import Engine
from chiwawa_runtime.engine.generated import GeneratedEngine
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.engine.translation import Bundle
from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.run import starting
from chiwawa_runtime.run.driver import Instance, Run
from chiwawa_runtime.run.imports import Wasi
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import Snapshot

if TYPE_CHECKING:
    from chiwawa.instrument import Instruments

PATHS = ("interp", "aot")
GRANULARITIES = ("safepoint", "instruction")

#: The reason with which a run is stopped so that generated code can take it up.
HAND_OVER = "hand over"

#: What can be instantiated: a module, or what a generated file offers.
Runnable = Module | Bundle


def bundle(
    module: Module,
    granularity: str = "safepoint",
    polls: bool = True,
    canonical_nans: bool = False,
) -> Bundle:
    """The translation of ``module``, in memory, made function by function as they are called. It
    is kept as long as the module is. ``polls`` False leaves the safepoints out: only to measure
    what they cost. With ``canonical_nans`` every NaN that arithmetic makes is the canonical one."""
    return module.once(
        ("translation", granularity, polls, canonical_nans),
        lambda: aot.translate_on_demand(
            module,
            program_of(module),
            granularity=granularity,
            canonical_nans=canonical_nans,
            polls=polls,
        ),
    )


@lru_cache(maxsize=4)
def _embedded(binary: bytes) -> Module:
    """The module of a generated file."""
    return load_bytes(binary)


def run_source(source: str, filename: str) -> Bundle:
    """The bundle that a generated file's source makes. This runs the source."""
    found = deferred.run_source(source, filename).get("BUNDLE")
    if not isinstance(found, Bundle):
        raise BadInput(f"{filename} is no file that chiwawa compiled")
    return found


def load_generated(path: str | Path) -> Bundle:
    """The bundle of a generated file. This runs the file. Raises BadInput for any other."""
    return run_source(Path(path).read_text(encoding="utf-8"), str(path))


def compile_file(
    module: Module,
    path: str | Path | TextIO,
    *,
    granularity: str = "safepoint",
    canonical_nans: bool = False,
    progress: aot.Progress | None = None,
) -> None:
    """Translate ``module`` to the Python file ``path``, which appears whole or not at all, or into
    a text file that is open. With ``canonical_nans`` every NaN that its arithmetic makes is the
    canonical one."""
    writing = replacing(path) if isinstance(path, str | Path) else contextlib.nullcontext(path)
    with writing as out:
        aot.translate(
            module,
            out,
            granularity=granularity,
            canonical_nans=canonical_nans,
            progress=progress,
        )


def engine_for(
    source: Runnable,
    path: str,
    granularity: str,
    instruments: Instruments | None = None,
    canonical_nans: bool | None = None,
) -> tuple[Program, Engine]:
    """The program of ``source`` and a new engine for one instance of it, in which ``instruments``
    look at it. ``canonical_nans`` None: as a generated file was compiled; not for a module."""
    if path not in PATHS:
        raise ValueError(f"path is interp or aot, not {path!r}")
    if granularity not in GRANULARITIES:
        raise ValueError(f"granularity is safepoint or instruction, not {granularity!r}")
    if canonical_nans is None:
        canonical_nans = isinstance(source, Bundle) and source.canonical_nans
    if instruments is not None:
        return instrumented(instruments, path, granularity, canonical_nans)
    if path == "interp":
        module = module_of(source)
        return program_of(module), interpreter(module, granularity, canonical_nans)
    if isinstance(source, Module):
        source = bundle(source, granularity, canonical_nans=canonical_nans)
    elif (source.granularity, source.canonical_nans) != (granularity, canonical_nans):
        source = bundle(module_of(source), granularity, canonical_nans=canonical_nans)
    return source.program, GeneratedEngine(source)


def interpreter(module: Module, granularity: str, canonical_nans: bool) -> InterpreterEngine:
    return InterpreterEngine(
        Spaces.of(module),
        everywhere=granularity == "instruction",
        canonical_nans=canonical_nans,
    )


def module_of(source: Runnable) -> Module:
    """The module that ``source`` is, or was compiled from."""
    return _embedded(source.module) if isinstance(source, Bundle) else source


def instrumented(
    instruments: Instruments, path: str, granularity: str, canonical_nans: bool
) -> tuple[Program, Engine]:
    """``engine_for``, with instruments: the functions that they look at are prepared anew."""
    module = instruments.module
    program = program_of(module)
    engine: Engine
    if path == "interp":
        engine = interpreter(module, granularity, canonical_nans)
    else:
        translated = aot.translate_on_demand(
            module,
            program,
            granularity=granularity,
            canonical_nans=canonical_nans,
            sites_of=instruments.sites_of,
        )
        engine = GeneratedEngine(translated)
    fit(instruments, engine, program)
    return program, engine


def fit(instruments: Instruments, engine: Engine, program: Program) -> None:
    """Have ``engine`` run what ``instruments`` want, from when they replace its code."""
    module, sites_of = instruments.module, instruments.sites_of
    if isinstance(engine, InterpreterEngine):
        engine.sites_of, engine.names = sites_of, instruments.names
        instruments.replace_code = engine.replace_code
        return
    assert isinstance(engine, GeneratedEngine)
    engine.namespace.update(instruments.names)
    granularity, canonical_nans = engine.granularity, engine.canonical_nans
    instruments.replace_code = lambda: engine.replace_code(
        aot.translate_on_demand(
            module,
            program,
            granularity=granularity,
            canonical_nans=canonical_nans,
            sites_of=sites_of,
        )
    )


def equippable(source: Runnable, instance: Instance) -> None:
    """Have the instance know how to get instruments, once it is asked for a probe."""

    def equip() -> Instruments:
        from chiwawa.instrument import Instruments

        instruments = Instruments(module_of(source))
        fit(instruments, instance.engine, instance.program)
        return instruments

    instance.equip = equip


def instantiate(
    source: Runnable,
    imports: Imports | None = None,
    *,
    path: str = "aot",
    granularity: str = "safepoint",
    canonical_nans: bool | None = None,
    wasi: Wasi | None = None,
    instruments: Instruments | None = None,
) -> Instance:
    """An instance of ``source`` whose start function has run.

    ``imports`` maps module names to names to a Python callable, ``HostFunction``, ``Function``,
    ``Memory``, ``Table`` or ``Global``; for what is not among them, ``wasi`` gives its functions.
    Raises UnlinkableError where they do not fit, and Trap.
    With ``canonical_nans`` every NaN that its arithmetic makes is the canonical one; None: as a
    generated file was compiled. ``instruments`` trace and count what it does.
    """
    program, engine = engine_for(source, path, granularity, instruments, canonical_nans)
    instance = starting.instantiate(program, imports or {}, engine, instruments, wasi=wasi)
    equippable(source, instance)
    return instance


def start(
    source: Runnable,
    name: str | None,
    args: Sequence[Any] = (),
    imports: Imports | None = None,
    *,
    path: str = "aot",
    granularity: str = "safepoint",
    canonical_nans: bool | None = None,
    wasi: Wasi | None = None,
    carry: Mapping[str, object] | None = None,
    count: int | None = None,
    instruments: Instruments | None = None,
) -> Run:
    """A run, not begun, of the start function and then the exported function ``name`` (None: of the
    start function alone). ``count`` stops it at that safepoint, counted from 1. ``carry`` is Python
    state that travels in its checkpoints. ``wasi`` gives its functions for what is not among
    ``imports``, and its state travels too, also where only its functions are given. With
    ``canonical_nans`` every NaN that its arithmetic makes is the canonical one, also when it has
    been restored; None: as a generated file was compiled. ``instruments`` trace and count what it
    does.

    Raises KeyError, TypeError and ValueError as ``Instance.invoke`` does.
    """
    program, engine = engine_for(source, path, granularity, instruments, canonical_nans)
    run = starting.start(
        program,
        imports or {},
        engine,
        name,
        args,
        wasi=wasi,
        carry=carry,
        count=count,
        observer=instruments,
    )
    equippable(source, run.instance)
    return run


def restore(
    source: Runnable,
    data: bytes | Snapshot,
    imports: Imports | None = None,
    *,
    path: str = "aot",
    granularity: str | None = None,
    canonical_nans: bool | None = None,
    wasi: Wasi | None = None,
    trust_host_state: bool = False,
    max_memory: int | None = None,
    instruments: Instruments | None = None,
) -> Run:
    """The run that a checkpoint is of, not yet going on, on either path whichever wrote it.

    ``granularity`` and ``canonical_nans`` None keep the checkpoint's. ``wasi`` is what
    ``Wasi.load`` made of the checkpoint, where it has such state; it gives its functions as in
    ``start``. With ``trust_host_state`` the Python state that it carries is read, which runs code
    that the file names; otherwise it travels on unread. ``max_memory`` is how many bytes its
    memories may take together; None: 1 GiB more than the module declares.

    Raises CheckpointError where the file is damaged, or is of another module, or where WASI state
    would be lost, and UnlinkableError.
    """
    snapshot = checkpoint.decode(data) if isinstance(data, bytes) else data
    granularity = granularity or snapshot.granularity
    if canonical_nans is None:
        canonical_nans = snapshot.canonical_nans
    given = imports or {}
    carry = starting.carried_state(snapshot, trust_host_state)
    asked: list[str] = []
    if instruments is not None:
        instruments.load(snapshot.monitors)
    if path == "aot" and snapshot.granularity != granularity:
        run = to_safepoint(
            source,
            snapshot,
            given,
            granularity,
            canonical_nans,
            wasi,
            carry,
            instruments,
            max_memory,
        )
        if run.finished:
            return run
        # Probes may have wanted it to stop as well.
        asked = [reason for reason in run.requests.take() if reason != HAND_OVER]
        # Without instruments, it is only below that the program goes on uncounted.
        run.wasi = None
        snapshot = replace(run.snapshot(), monitors=snapshot.monitors, wasi=snapshot.wasi)
        max_memory = sys.maxsize
    program, engine = engine_for(source, path, granularity, instruments, canonical_nans)
    run = starting.restore(
        program,
        snapshot,
        given,
        engine,
        wasi=wasi,
        carry=carry,
        observer=instruments,
        max_memory=max_memory,
    )
    equippable(source, run.instance)
    for reason in asked:
        run.requests.ask(reason)
    return run


def to_safepoint(
    source: Runnable,
    snapshot: Snapshot,
    imports: Imports,
    granularity: str,
    canonical_nans: bool,
    wasi: Wasi | None,
    carry: Mapping[str, object],
    instruments: Instruments | None,
    max_memory: int | None,
) -> Run:
    """The run of ``snapshot``, taken on by the interpreter to the next safepoint of
    ``granularity``, or to its end: generated code can be entered nowhere else."""
    program, engine = engine_for(source, "interp", granularity, instruments, canonical_nans)
    run = starting.restore(
        program,
        snapshot,
        imports,
        engine,
        wasi=wasi,
        carry=carry,
        observer=instruments,
        max_memory=max_memory,
    )
    run.requests.ask(HAND_OVER)
    run.go()
    return run
