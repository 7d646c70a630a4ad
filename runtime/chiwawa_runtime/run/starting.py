"""How runs come to be: new, or from a snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chiwawa_runtime.engine.contract import Engine
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.engine.observer import Observer, uncounted
from chiwawa_runtime.run import capture, hoststate
from chiwawa_runtime.run.driver import Instance, Run, call
from chiwawa_runtime.run.imports import Wasi, check_state, complete
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import Snapshot


def start(
    program: Program,
    imports: Imports,
    engine: Engine,
    name: str | None,
    args: Sequence[Any] = (),
    *,
    wasi: Wasi | None = None,
    carry: Mapping[str, object] | None = None,
    count: int | None = None,
    observer: Observer | None = None,
) -> Run:
    """A run, not begun, of the start function and then the exported function ``name`` (None: of the
    start function alone), in a new instance. ``count`` stops it at that safepoint, from 1. What is
    not among ``imports`` may be a function of ``wasi``.

    Raises UnlinkableError, Trap, and what ``Instance.prepared`` raises.
    """
    imports, wasi = complete(program, imports, wasi)
    instance = Instance(program, imports, engine)
    if observer is not None:
        instance.observe(observer)
    plan: list[tuple[int, Sequence[Any]]] = []
    if program.start is not None:
        plan.append((program.start, ()))
    if name is not None:
        plan.append(instance.prepared(name, args))
    instance.initialise()
    if count is not None:
        instance.requests.count_from(0, count)
    return Run(instance, plan, wasi=wasi, carry=carry)


def carried_state(snapshot: Snapshot, trusted: bool) -> dict[str, object]:
    """The host state of a snapshot, if it is trusted; reading it runs the code that it names."""
    if snapshot.host is None or not trusted:
        return {}
    return hoststate.load(snapshot.host)


def restore(
    program: Program,
    snapshot: Snapshot,
    imports: Imports,
    engine: Engine,
    *,
    wasi: Wasi | None = None,
    carry: Mapping[str, object] | None = None,
    observer: Observer | None = None,
    max_memory: int | None = None,
) -> Run:
    """The run that ``snapshot`` is of, in a new instance of ``program`` on ``engine``. ``carry`` is
    its host state, where that was trusted. ``max_memory`` is what its memories may take together
    (see ``capture.check_sizes``). Raises CheckpointError, UnlinkableError, ResourceError."""
    capture.check_module(snapshot, program.hash)
    capture.check_sizes(program, snapshot, max_memory)
    imports, wasi = complete(program, imports, wasi)
    check_state(snapshot, wasi)
    instance = Instance(program, imports, engine)
    frames, plan = capture.apply(instance, snapshot, carry or {})
    run = Run(
        instance,
        plan,
        wasi=wasi,
        carry=carry,
        host=None if carry else snapshot.host,
        monitors=uncounted(snapshot.monitors),
    )
    if observer is not None:
        instance.observe(observer)
        run.context = observer.mark()
        observer.restore(frames)
    if snapshot.safepoints is not None and snapshot.granularity == engine.granularity:
        instance.requests.count_from(snapshot.safepoints, None)
    if frames:
        run.function = frames[-1].function
        run.activation = engine.restore(frames)
    return run


def instantiate(
    program: Program,
    imports: Imports,
    engine: Engine,
    observer: Observer | None = None,
    *,
    wasi: Wasi | None = None,
) -> Instance:
    """An instance whose segments have been placed and whose start function has run."""
    imports, _ = complete(program, imports, wasi)
    instance = Instance(program, imports, engine)
    if observer is not None:
        instance.observe(observer)
    instance.initialise()
    if program.start is not None:
        call(instance, program.start, ())
    return instance
