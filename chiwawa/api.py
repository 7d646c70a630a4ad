"""The Python API: load a module, instantiate it on any path, call it, stop it, carry it on.

Values: an i32 or i64 that comes out of a program is a signed int, and one that goes in is taken in
either form; f32 and f64 are floats, v128 its 16 bytes, references None, functions, or whatever the
host put there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from chiwawa import baking, crashes, restoring, running
from chiwawa.execution import Runnable, Source
from chiwawa.files import replacing, write_bytes
from chiwawa.kinds import is_native
from chiwawa.module import Module
from chiwawa.native_file import NativeFile, read_native, write_native
from chiwawa_runtime import checkpoint
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.engine.translation import Bundle, bundle_of
from chiwawa_runtime.errors import BadInput, CheckpointError
from chiwawa_runtime.run.flight import FlightRecorder
from chiwawa_runtime.run.host_calls import HostCalls
from chiwawa_runtime.run.imports import Wasi
from chiwawa_runtime.run.instance import Instance, Run
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.run.stubs import stubbed
from chiwawa_runtime.state.host_limits import UNLIMITED, Limits
from chiwawa_runtime.state.snapshot import Snapshot

if TYPE_CHECKING:
    from chiwawa.instrument import Instruments


def load_generated(path: str | Path) -> Bundle:
    """The bundle of a generated file. This runs the file. Raises BadInput for any other.

    >>> module = chiwawa.load('(module (func (export "one") (result i32) (i32.const 1)))')
    >>> chiwawa.compile_file(module, "one.py")
    >>> chiwawa.instantiate(chiwawa.load_generated("one.py")).invoke("one")
    [1]
    """
    return bundle_of(Path(path).read_text(encoding="utf-8"), str(path))


def compile_file(
    module: Module,
    path: str | Path | TextIO,
    *,
    granularity: str = "safepoint",
    canonical_nans: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Translate ``module`` to the Python file ``path``, which appears whole or not at all, or into
    a text file that is open. With ``canonical_nans`` every NaN that its arithmetic makes is the
    canonical one. ``progress`` is told how many functions are done, and of how many.

    >>> module = chiwawa.load('(module (func (export "one") (result i32) (i32.const 1)))')
    >>> chiwawa.compile_file(module, "one.py", granularity="instruction")
    """
    from chiwawa import aot

    writing = replacing(path) if isinstance(path, str | Path) else contextlib.nullcontext(path)
    with writing as out:
        aot.translate(
            module,
            out,
            granularity=granularity,
            canonical_nans=canonical_nans,
            progress=progress,
        )


def load_native(path: str | Path) -> NativeFile:
    """What ``compile_native`` wrote; it can be run on every path. Raises BadInput for any other
    file.

    >>> import pathlib
    >>> module = chiwawa.load('(module (func (export "one") (result i32) (i32.const 1)))')
    >>> chiwawa.compile_native(module, "one_native.wasm")
    >>> chiwawa.instantiate(chiwawa.load_native("one_native.wasm"), path="interp").invoke("one")
    [1]
    """
    data = Path(path).read_bytes()
    if not is_native(data):
        raise BadInput(f"{path} is no module that chiwawa rewrote")
    return read_native(data)


def compile_native(
    module: Module,
    path: str | Path,
    *,
    counting: bool = False,
    canonical_nans: bool = False,
    original: bool = True,
) -> None:
    """Rewrite ``module`` for the native path, to the file ``path``, which appears whole or not at
    all. It is a module that any engine runs, and any host can stop. Where ``counting``, it counts
    safepoints. Without its ``original`` it is smaller, and for other hosts alone. Raises
    UnsupportedError.

    >>> import pathlib
    >>> module = chiwawa.load('(module (func (export "one") (result i32) (i32.const 1)))')
    >>> chiwawa.compile_native(module, "one_native.wasm")
    >>> pathlib.Path("one_native.wasm").read_bytes()[:4]
    b'\\x00asm'
    """
    from chiwawa.native.module import rewrite

    rewritten = rewrite(module, counting)
    write_bytes(
        path,
        write_native(
            rewritten.binary,
            rewritten.tables.data,
            module.binary if original else None,
            canonical_nans=canonical_nans,
        ),
    )


def instantiate(
    source: Runnable,
    imports: Imports | None = None,
    *,
    path: str = "aot",
    granularity: str = "safepoint",
    canonical_nans: bool | None = None,
    wasi: Wasi | None = None,
    carry: Mapping[str, object] | None = None,
    limits: Limits = UNLIMITED,
    calls: HostCalls | None = None,
    instruments: Instruments | None = None,
) -> Instance:
    """An instance of ``source`` whose start function has run.

    ``imports`` maps module names to names to a Python callable, ``HostFunction``, ``Function``,
    ``Memory``, ``Table`` or ``Global``; for what is not among them, ``wasi`` gives its functions.
    Raises UnlinkableError where they do not fit, and Trap.
    With ``canonical_nans`` every NaN that its arithmetic makes is the canonical one; None: as a
    generated file was compiled. ``carry`` is Python state that travels in its checkpoints.
    ``limits`` are what it may take. ``calls`` keeps the calls of host functions
    (``chiwawa.record_calls``) or gives them back (``chiwawa.replay_calls``): those that the program
    makes in all calls of its exports, which are to be made again as they were. Instances that are
    linked take the same ``calls``, and are made again in the same order. ``instruments`` trace and
    count what it does.

    >>> module = chiwawa.load('''(module
    ...   (import "host" "twice" (func $twice (param i32) (result i32)))
    ...   (func (export "f") (param i32) (result i32)
    ...     (i32.add (i32.const 1) (call $twice (local.get 0)))))''')
    >>> chiwawa.instantiate(module, {"host": {"twice": lambda n: 2 * n}}).invoke("f", [20])
    [41]
    """
    setup = Setup(
        imports=imports or {},
        wasi=wasi,
        carry=carry or {},
        path=path,
        granularity=granularity,
        canonical_nans=canonical_nans,
        limits=limits,
        calls=calls,
    )
    return running.instantiate(Source(source), setup, instruments)


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
    limits: Limits = UNLIMITED,
    calls: HostCalls | None = None,
    recorder: FlightRecorder | None = None,
    instruments: Instruments | None = None,
) -> Run:
    """A run, not begun, of the start function and then the exported function ``name`` (None: of the
    start function alone). ``count`` stops it at that safepoint, counted from 1. ``carry`` is Python
    state that travels in its checkpoints. ``wasi`` gives its functions for what is not among
    ``imports``, and its state travels too, also where only its functions are given. With
    ``canonical_nans`` every NaN that its arithmetic makes is the canonical one, also when it has
    been restored; None: as a generated file was compiled. ``limits`` are what it may take.
    ``calls`` keeps the calls of host functions (``chiwawa.record_calls``) or gives them back
    (``chiwawa.replay_calls``). ``recorder`` keeps checkpoints on the way, for the state before a
    trap. ``instruments`` trace and count what it does.

    Raises KeyError, TypeError and ValueError as ``Instance.invoke`` does.

    >>> module = chiwawa.load('(module (func (export "forever") (loop $on (br $on))))')
    >>> run = chiwawa.start(module, "forever", count=1000)
    >>> run.go()
    False
    """
    setup = Setup(
        imports=imports or {},
        wasi=wasi,
        carry=carry or {},
        path=path,
        granularity=granularity,
        canonical_nans=canonical_nans,
        count=count,
        limits=limits,
        calls=calls if recorder is None else recorder.through(calls),
        watched=recorder is not None,
    )
    run = running.start(Source(source), name, args, setup, instruments)
    if recorder is not None:
        recorder.attend(run, setup, partial(crashes.before_end, sources_of(run)), new=True)
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
    modules: Sequence[Runnable] = (),
    limits: Limits = UNLIMITED,
    calls: HostCalls | None = None,
    recorder: FlightRecorder | None = None,
    instruments: Instruments | None = None,
) -> Run:
    """The run that a checkpoint is of, not yet going on, on any path whichever wrote it. One that
    an instance wrote between calls has nothing to go on with: what it holds is ``run.instance``,
    which ``restore_instance`` gives at once.

    ``granularity`` and ``canonical_nans`` None keep the checkpoint's. ``wasi`` is what
    ``Wasi.load`` made of the checkpoint, where it has such state; it gives its functions as in
    ``start``. With ``trust_host_state`` the Python state that it carries is read, which runs code
    that the file names; otherwise it travels on unread. ``max_memory`` is how many bytes its
    memories may take together; None: 1 GiB more than the module declares. ``modules`` are those of
    the instances that are linked with the run's, in any order: all are made anew (``Run.beside``),
    and linked with each other as they were. ``limits`` are what each of them may take, whatever it
    was allowed before. ``calls`` is as in ``start``: what ``chiwawa.replay_calls`` makes goes on
    from any checkpoint that was written while its record was made, and needs no ``wasi``; and so is
    ``recorder``.

    Raises CheckpointError where the file is damaged, or is of another module, or where WASI state
    would be lost, and UnlinkableError.

    >>> module = chiwawa.load('(module (func (export "forever") (loop $on (br $on))))')
    >>> run = chiwawa.start(module, "forever", path="aot", count=1000)
    >>> run.go()
    False
    >>> again = chiwawa.restore(module, run.checkpoint(), path="interp")
    >>> again.snapshot() == run.snapshot()
    True
    """
    setup = Setup(
        imports=imports or {},
        wasi=wasi,
        path=path,
        granularity=granularity,
        canonical_nans=canonical_nans,
        trust_host_state=trust_host_state,
        limits=limits,
        calls=calls if recorder is None else recorder.through(calls),
        watched=recorder is not None,
    )
    snapshot = checkpoint.decode(data) if isinstance(data, bytes) else data
    linked = [Source(each) for each in modules]
    run = restoring.restore(Source(source), snapshot, setup, instruments, linked)
    if recorder is not None:
        recorder.attend(run, setup, partial(crashes.before_end, sources_of(run)), new=False)
    return run


def sources_of(run: Run) -> list[Source]:
    """What its instances are of, its own first."""
    sources = (each.source for each in run.instances())
    return [each for each in sources if isinstance(each, Source)]


def bake(source: Runnable, data: bytes | Snapshot) -> bytes:
    """The binary of an ordinary module whose initial state is that of a checkpoint which an
    instance of ``source`` wrote between calls: its memories, globals, tables and segments. Any
    engine runs it. It has no start function, which has run, and no export ``_initialize`` unless
    the state is still the one that an instance begins with, which wants that to be called. Raises
    CheckpointError where the checkpoint is of another module or of a run, and UnsupportedError for
    what no module holds: state that is imported, open files, values of the host, objects.

    >>> module = chiwawa.load('''(module (global $n (mut i32) (i32.const 0))
    ...   (func (export "next") (result i32)
    ...     (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))''')
    >>> instance = chiwawa.instantiate(module)
    >>> instance.invoke("next")
    [1]
    >>> baked = chiwawa.load(chiwawa.bake(module, instance.checkpoint()))
    >>> chiwawa.instantiate(baked).invoke("next")
    [2]
    """
    snapshot = checkpoint.decode(data) if isinstance(data, bytes) else data
    return baking.bake(Source(source).module, snapshot)


def stubs(source: Runnable, *patterns: str) -> Imports:
    """Functions for what ``source`` imports, each of which traps with its name when it is called.
    A pattern is ``MODULE.NAME``, ``MODULE.*``, or ``*``, which is all. Raises BadInput for any
    other.

    >>> module = chiwawa.load('''(module (import "env" "log" (func $log))
    ...   (func (export "one") (result i32) (i32.const 1)))''')
    >>> chiwawa.instantiate(module, chiwawa.stubs(module, "env.*")).invoke("one")
    [1]
    """
    return stubbed(Source(source).program, patterns)


def restore_instance(
    source: Runnable,
    data: bytes | Snapshot,
    imports: Imports | None = None,
    *,
    path: str = "aot",
    granularity: str | None = None,
    canonical_nans: bool | None = None,
    wasi: Wasi | None = None,
    trust_host_state: bool = False,
    modules: Sequence[Runnable] = (),
    limits: Limits = UNLIMITED,
    calls: HostCalls | None = None,
    instruments: Instruments | None = None,
) -> Instance:
    """The instance that wrote a checkpoint between calls (``Instance.checkpoint``), as it was, on
    any path whichever wrote it; everything is as in ``restore``. Its start function does not run
    again. It can be made as often as one likes. Raises CheckpointError also where the checkpoint is
    of a run, which ``restore`` gives.

    >>> module = chiwawa.load('''(module (memory (export "memory") 1)
    ...   (func (export "at") (param i32) (result i32) (i32.load8_u (local.get 0))))''')
    >>> instance = chiwawa.instantiate(module)
    >>> instance.exports["memory"].write(16, b"a")
    >>> data = instance.checkpoint()
    >>> children = [chiwawa.restore_instance(module, data, path="interp") for _ in range(2)]
    >>> [child.invoke("at", [16]) for child in children]
    [[97], [97]]
    """
    snapshot = checkpoint.decode(data) if isinstance(data, bytes) else data
    if not snapshot.idle:
        raise CheckpointError(
            "this checkpoint is of a run, whose calls have not all returned: "
            "chiwawa.restore gives that"
        )
    run = restore(
        source,
        snapshot,
        imports,
        path=path,
        granularity=granularity,
        canonical_nans=canonical_nans,
        wasi=wasi,
        trust_host_state=trust_host_state,
        modules=modules,
        limits=limits,
        calls=calls,
        instruments=instruments,
    )
    return run.instance
