"""How runs come to be: new, or from a snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chiwawa_runtime import checkpoint
from chiwawa_runtime.collector import uncollected
from chiwawa_runtime.engine.contract import Engine
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.engine.observer import Observer, uncounted
from chiwawa_runtime.run import hoststate, uptake
from chiwawa_runtime.run.call_record import Made
from chiwawa_runtime.run.host_calls import HostCalls, digest_of
from chiwawa_runtime.run.imports import Wasi, check_state, complete, state_of, the_only
from chiwawa_runtime.run.instance import Instance, Run, call
from chiwawa_runtime.run.linking import Linking, Part
from chiwawa_runtime.state.host_limits import UNLIMITED, Limits
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a run is given, and how it is to be run, from whoever asks for it down to the engine.

    ``imports`` are by module and name; for what is not among them, ``wasi`` gives its functions.
    ``carry`` is Python state that travels in checkpoints. ``path``, ``granularity`` and
    ``canonical_nans`` None: the default of what is run or, for a run that is restored, of its
    checkpoint. ``count`` is the safepoint at which a new run stops, from 1 on. Of a run that is
    restored, ``trust_host_state`` says whether to read the Python state that the checkpoint
    carries, which runs code that the file names, and ``max_memory`` how many bytes its memories may
    take together (see ``uptake.check_sizes``). Where it is ``watched``, safepoints are going to be
    counted or looked at, and an engine may prepare for it. ``limits`` are what it may take.
    ``calls`` keeps the calls of its host functions, or gives them back.
    """

    imports: Imports = field(default_factory=dict)
    wasi: Wasi | None = None
    carry: Mapping[str, object] = field(default_factory=dict)
    path: str | None = None
    granularity: str | None = None
    canonical_nans: bool | None = None
    count: int | None = None
    trust_host_state: bool = False
    watched: bool = False
    limits: Limits = UNLIMITED
    calls: HostCalls | None = None

    def carried(self, snapshot: Snapshot) -> Mapping[str, object]:
        """The Python state that a run has which is restored: what the snapshot carries, if that is
        trusted."""
        if self.carry or snapshot.host is None or not self.trust_host_state:
            return self.carry
        return hoststate.load(snapshot.host)


def start(
    program: Program,
    engine: Engine,
    name: str | None,
    args: Sequence[Any],
    setup: Setup,
    observer: Observer | None = None,
) -> Run:
    """A run, not begun, of the start function and then the exported function ``name`` (None: of the
    start function alone), in a new instance. Raises UnlinkableError, Trap, and what
    ``Instance.prepared`` raises."""
    instance, wasi = made(program, engine, setup)
    if observer is not None:
        instance.observe(observer)
    plan: list[tuple[int, Sequence[Any]]] = []
    if program.start is not None:
        plan.append((program.start, ()))
    if name is not None:
        plan.append(instance.prepared(name, args))
    # Before anything is looked at: an engine may then prepare for it.
    if setup.count is not None:
        instance.requests.count_from(0, setup.count)
    instance.initialise()
    note_state(instance, wasi, setup)
    the_only(instance.wasi_states)
    run = Run(instance, plan)
    run.calls = setup.calls
    return run


def made(program: Program, engine: Engine, setup: Setup) -> tuple[Instance, Wasi | None]:
    """A new instance, before its segments are placed, and the Wasi whose state its checkpoints
    have. Raises UnlinkableError."""
    imports, wasi = complete(program, setup.imports, setup.wasi, setup.limits)
    calls = setup.calls
    if calls is None:
        return Instance(program, imports, engine, setup.limits), wasi
    calls.begin(Made(program.hash, engine.canonical_nans))
    imports, wasi = through(calls, program, imports, wasi)
    instance = Instance(program, imports, engine, setup.limits)
    calls.added(instance)
    return instance, wasi


def through(
    calls: HostCalls, program: Program, imports: Imports, wasi: Wasi | None
) -> tuple[Imports, Wasi | None]:
    """``imports`` such that the calls of functions go through ``calls``, and the Wasi whose state
    the run's checkpoints have then: none, where functions are not called."""
    if wasi is not None and calls.live:
        calls.state = wasi
        wasi.on_output(calls.wrote)
    return calls.imports(program, imports), None if calls.keeps_state else wasi


def restore(
    program: Program,
    engine: Engine,
    snapshot: Snapshot,
    setup: Setup,
    observer: Observer | None = None,
    others: Sequence[tuple[Program, Engine]] = (),
) -> Run:
    """The run that ``snapshot`` is of, in a new instance of ``program`` on ``engine``, with those
    linked with it in instances of ``others``, in their order. Raises CheckpointError,
    UnlinkableError, ResourceError."""
    given = [(program, engine), *others]
    programs = [each for each, _ in given]
    uptake.check_modules(snapshot, programs)
    uptake.check_sizes(programs, snapshot, setup.limits)
    completed = [complete(each, setup.imports, setup.wasi, setup.limits) for each in programs]
    wasi = the_only(each for _, each in completed)
    if setup.calls is None or not setup.calls.keeps_state:
        check_state(snapshot, wasi)
    if setup.calls is not None:
        setup.calls.begin_at(
            [Made(each.hash, engine.canonical_nans) for each, engine in given],
            lambda: digest_of(checkpoint.encode(snapshot)),
        )
        completed = [
            through(setup.calls, each, imports, wasi)
            for each, (imports, _) in zip(programs, completed, strict=True)
        ]
        wasi = None if setup.calls.keeps_state else wasi
    carry = setup.carried(snapshot)
    parts = [
        Part(*part, imports, setup.limits)
        for part, (imports, _) in zip(given, completed, strict=True)
    ]
    linking = Linking(snapshot, parts, Instance)
    instances = linking.instances()
    instance = instances[0]
    if setup.calls is not None:
        setup.calls.restored(instances)
    # A deep program has a hundred thousand frames.
    with uncollected():
        frames, plan = uptake.apply(linking, instances, snapshot, carry)
    instance.wasi_states = [] if wasi is None else [wasi]
    instance.carry = dict(carry)
    instance.host = None if carry else snapshot.host
    instance.monitors = uncounted(snapshot.monitors)
    instance.beside = instances[1:]
    run = Run(instance, plan)
    if observer is not None:
        instance.observe(observer)
        run.context = observer.mark()
        observer.restore(frames)
    if frames:
        oldest = frames[-1]
        run.function = oldest.instance.functions[oldest.function]
        with uncollected():
            run.activation = engine.restore(frames, instance.most)
    run.calls = setup.calls
    return run


def note_state(instance: Instance, wasi: Wasi | None, setup: Setup) -> None:
    """Have a new instance know the state that travels with it, which is no instance's own."""
    linked = [state_of(each) for other in instance.linked[1:] for each in other.functions]
    instance.wasi_states = [each for each in (wasi, *linked) if each is not None]
    instance.carry = dict(setup.carry)


def instantiate(
    program: Program, engine: Engine, setup: Setup, observer: Observer | None = None
) -> Instance:
    """An instance whose segments have been placed and whose start function has run. Raises
    UnlinkableError and Trap."""
    instance, wasi = made(program, engine, setup)
    if observer is not None:
        instance.observe(observer)
    instance.initialise()
    note_state(instance, wasi, setup)
    if program.start is not None:
        call(instance, program.start, ())
    return instance
