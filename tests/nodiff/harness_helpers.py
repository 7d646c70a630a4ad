"""Runs a call on all paths and compares everything that can be seen of it.

What can be seen: results by their bits, traps with their backtraces, what host functions were
called with, the final memories, globals, tables and dropped segments, how many safepoints were
passed, and the bytes of a checkpoint at any of them. A difference is an AssertionError that says
where.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chiwawa import api, paths
from chiwawa.execution import Source
from chiwawa.module import Module
from chiwawa_runtime import checkpoint
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.engine.translation import Bundle
from chiwawa_runtime.errors import (
    CheckpointError,
    ChiwawaError,
    Exhaustion,
    HostError,
    Trap,
    WasiExit,
)
from chiwawa_runtime.run.instance import Instance, Run
from chiwawa_runtime.state.throwing import Thrown
from chiwawa_runtime.state.types import ValType
from tests.nodiff.value_graph_helpers import ValueGraph
from tests.path_helpers import PATHS, next_path, stopping_at

GRANULARITIES = ("safepoint", "instruction")

#: What a host function was called with, in turn.
Log = list[tuple[Any, ...]]
#: Imports anew, for one instance, whose functions write to the log given.
MakeImports = Callable[[Log], Imports]


def no_imports(log: Log) -> Imports:
    return {}


@dataclass(frozen=True)
class Call:
    """What is run: the start function, then the export ``name`` (None: nothing more)."""

    module: Module | Bundle
    name: str | None
    args: tuple[Any, ...] = ()
    make_imports: MakeImports = no_imports
    #: Where the run is broken off: at that safepoint, of either granularity.
    limit: int | None = None
    #: None: as a generated file was compiled.
    canonical_nans: bool | None = None


@dataclass(frozen=True)
class Ending:
    """How a run ended. ``kind`` is returned, trap, thrown, exit, host error, stopped or refused;
    ``detail`` what belongs to it; ``state`` what the instance holds."""

    kind: str
    detail: Any
    state: Any = None
    safepoints: int | None = None
    log: tuple[Any, ...] = field(default=())


def bits(value: Any, valtype: ValType | None) -> Any:
    """A value alone, comparable."""
    return ValueGraph().show(value, valtype)


def state_of(instance: Instance, graph: ValueGraph | None = None) -> tuple[Any, ...]:
    """Memories (size and hash), globals, tables, dropped segments, and the objects that these, and
    what is in ``graph`` already, lead to."""
    graph = graph or ValueGraph(instance)
    return (
        tuple((len(m.raw), hashlib.sha256(m.raw).hexdigest()) for m in instance.memories),
        tuple(graph.show(plain(g.value), g.type.type) for g in instance.globals),
        tuple(tuple(graph.show(e, None) for e in t.elements) for t in instance.tables),
        tuple(e.dropped for e in instance.elems),
        tuple(d.dropped for d in instance.datas),
        graph.contents(),
    )


#: The frames of a trap that every path has.
KNOWN_FRAMES = 20


def plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


@dataclass(frozen=True)
class Session:
    """A run, and what its host functions have logged."""

    run: Run
    log: Log


def begin(
    call: Call, path: str, granularity: str = "safepoint", count: int | None = None
) -> Session:
    """A run, not begun, whose safepoints are counted."""
    log: Log = []
    run = api.start(
        call.module,
        call.name,
        call.args,
        call.make_imports(log),
        path=path,
        granularity=granularity,
        canonical_nans=call.canonical_nans,
    )
    run.requests.count_from(0, count)
    return Session(run, log)


def again(
    call: Call, data: bytes, path: str, granularity: str | None = None, log: Sequence[Any] = ()
) -> Session:
    """The run that a checkpoint is of; ``log`` is what was logged until then."""
    own: Log = list(log)
    run = api.restore(call.module, data, call.make_imports(own), path=path, granularity=granularity)
    return Session(run, own)


def ended(session: Session, call: Call, *, to: int | None = None) -> Ending:
    """Go on to the end, or to the safepoint ``to``."""
    run = session.run
    graph = ValueGraph(run.instance)
    if run.requests.passed is not None:
        run.requests.stop_at(to)
    kind, detail = "returned", None
    try:
        while not run.go():
            reasons = run.requests.take()
            if "count" in reasons:
                kind, detail = "stopped", hashlib.sha256(run.checkpoint()).hexdigest()
                break
        else:
            assert run.function is not None or call.name is None
            types = () if run.function is None else run.function.type.results
            detail = tuple(graph.show(v, t) for v, t in zip(run.results, types, strict=True))
    except Trap as trap:
        # A path may not have all frames, and says so.
        known = len(trap.backtrace) if isinstance(trap, Exhaustion) else KNOWN_FRAMES
        kind, detail = "trap", (trap.message, tuple(map(str, trap.backtrace[:known])))
    except Thrown as thrown:
        frames = tuple(map(str, thrown.backtrace[:KNOWN_FRAMES]))
        kind, detail = "thrown", (graph.show(thrown.exception, None), frames)
    except WasiExit as exit_:
        kind, detail = "exit", exit_.code
    except HostError as error:
        kind, detail = "host error", str(error)
    return Ending(
        kind,
        detail,
        state_of(run.instance, graph),
        run.requests.passed,
        tuple(session.log),
    )


def paths_of(call: Call, granularity: str = "safepoint") -> tuple[str, ...]:
    """The paths that can run a call and stop at such safepoints. One may refuse a module."""
    source = Source(call.module)
    possible = stopping_at(granularity)
    return tuple(p for p in possible if paths.path(p).refusal(source, granularity) is None)


def without_count(ending: Ending) -> Ending:
    """``ending``, for a comparison across granularities, which count differently."""
    return replace(ending, safepoints=None)


def whole(call: Call, path: str, granularity: str = "safepoint") -> Ending:
    """An uninterrupted run, up to the call's limit."""
    try:
        session = begin(call, path, granularity)
    except ChiwawaError as error:
        return Ending("refused", (type(error).__name__, str(error)))
    return ended(session, call, to=call.limit)


def roughly(ending: Ending) -> Ending:
    """``ending``, but for the place of the instruction that trapped within its function: where
    wasmtime knows that an instruction always traps, it gives the place of a branch before it."""
    if ending.kind != "trap" or not ending.detail[1]:
        return ending
    message, (youngest, *others) = ending.detail
    return replace(ending, detail=(message, (youngest.partition(",")[0], *others)))


def same(left: Ending, right: Ending, what: str) -> None:
    """An AssertionError where two endings differ."""
    if "native" in what:
        left, right = roughly(left), roughly(right)
    for name in ("kind", "detail", "safepoints", "log", "state"):
        a, b = getattr(left, name), getattr(right, name)
        assert a == b, f"{what}: {name} differs:\n  {a!r}\n  {b!r}"


def both(call: Call, granularity: str = "safepoint") -> Ending:
    """The ending of an uninterrupted run, which all paths agree on."""
    first, *others = paths_of(call, granularity)
    expected = whole(call, first, granularity)
    for path in others:
        what = f"{call.name}{call.args} {granularity}, {first} and {path}"
        same(expected, whole(call, path, granularity), what)
    return expected


@dataclass(frozen=True)
class Stop:
    """A checkpoint at the safepoint ``number``, and what had been logged by then."""

    number: int
    data: bytes
    log: tuple[Any, ...]


def walk(
    call: Call, path: str, numbers: Iterable[int], granularity: str = "safepoint"
) -> Iterator[Stop]:
    """The checkpoints at ``numbers``, which ascend, in one run."""
    session = begin(call, path, granularity)
    for number in numbers:
        yield stopped_at(session, number)


def stopped_at(session: Session, number: int) -> Stop:
    """Go on to the safepoint ``number``."""
    run = session.run
    assert run.requests.passed is not None
    run.requests.stop_at(number)
    assert not run.go(), f"it ended before safepoint {number}"
    assert run.requests.take() == ["count"]
    return Stop(number, run.checkpoint(), tuple(session.log))


def spread(total: int, count: int) -> list[int]:
    """``count`` numbers spread evenly from 1 to ``total``, or all of them."""
    if total <= count:
        return list(range(1, total + 1))
    if count == 1:
        return [(total + 1) // 2]
    return sorted({1 + i * (total - 1) // (count - 1) for i in range(count)})


def described(data: bytes) -> str:
    """A checkpoint, for people."""
    from chiwawa.inspect import describe, render

    try:
        return str(render(describe(data, None)))
    except Exception as error:  # Only for the message of a failure that is there already.
        return f"{data!r} ({error!r})"


def compare_bytes(
    call: Call, numbers: Sequence[int], granularity: str = "safepoint"
) -> Iterator[Stop]:
    """Each checkpoint of ``numbers``, once all paths have written the same bytes."""
    paths = paths_of(call, granularity)
    walks = (walk(call, path, numbers, granularity) for path in paths)
    for stops in zip(*walks, strict=True):
        first = stops[0]
        for path, stop in zip(paths[1:], stops[1:], strict=True):
            where = f"{call.name}{call.args} {granularity} {first.number}, {paths[0]} and {path}"
            assert first.data == stop.data, (
                f"checkpoints differ at {where}:\n{described(first.data)}\n{described(stop.data)}"
            )
            assert first.log == stop.log, f"logs differ at {where}"
        yield first


def cross(
    call: Call,
    stop: Stop,
    expected: Ending,
    *,
    granularity: str | None = None,
    paths: Sequence[str] = PATHS,
) -> None:
    """Restore ``stop`` on each path that can stop so, run to the end, and compare with the
    uninterrupted run. All paths wrote the same bytes, so that is each crossing."""
    possible = paths_of(call, granularity or checkpoint.decode(stop.data).granularity)
    for path in paths:
        if path not in possible:
            continue
        session = again(call, stop.data, path, granularity, stop.log)
        what = f"{call.name}{call.args} restored at {stop.number} on {path} ({granularity})"
        if granularity is None:
            assert session.run.checkpoint() == stop.data, f"{what}: written again it differs"
            same(expected, ended(session, call, to=call.limit), what)
        else:
            ending = ended(session, call)
            same(without_count(expected), without_count(ending), what)


def chain(call: Call, expected: Ending, numbers: Sequence[int], first: str = "interp") -> None:
    """Stop at each of ``numbers``, and go on from the checkpoint on the next path each time."""
    path = first
    session = begin(call, path)
    for number in numbers:
        stop = stopped_at(session, number)
        path = next_path(path, paths_of(call))
        session = again(call, stop.data, path, None, stop.log)
    ending = ended(session, call, to=call.limit)
    same(expected, ending, f"{call.name}{call.args} in a chain across paths")


def check(
    call: Call,
    *,
    stops: int = 4,
    crossings: int = 2,
    instruction_stops: int = 8,
    instruction_crossings: int = 2,
) -> Ending:
    """Everything, at a few places: endings, bytes, crossings, and the same with each boundary a
    safepoint. The ending of the uninterrupted run."""
    expected = both(call)
    if expected.kind == "refused":
        return expected
    total = expected.safepoints or 0
    numbers = spread(total - (expected.kind == "stopped"), stops)
    crossed = set(spread(len(numbers), crossings))
    for place, stop in enumerate(compare_bytes(call, numbers), 1):
        if place in crossed:
            cross(call, stop, expected)
    if not instruction_stops:
        return expected
    fine = both(call, "instruction")
    if fine.kind != "stopped":
        what = f"{call.name}{call.args}, safepoint and instruction"
        same(without_count(expected), without_count(fine), what)
    total = fine.safepoints or 0
    numbers = spread(total - (fine.kind == "stopped"), instruction_stops)
    crossed = set(spread(len(numbers), instruction_crossings))
    for place, stop in enumerate(compare_bytes(call, numbers, "instruction"), 1):
        if place in crossed:
            cross(call, stop, fine)
            if expected.kind != "stopped" and fine.kind != "stopped":
                coarse(call, stop, expected)
    return expected


def coarse(call: Call, stop: Stop, expected: Ending) -> None:
    """Restore an instruction's checkpoint where only safepoints can be entered."""
    for path in paths_of(call):
        what = f"{call.name}{call.args} restored coarsely at {stop.number} on {path}"
        try:
            session = again(call, stop.data, path, "safepoint", stop.log)
        except (Trap, Thrown):
            # Met by the interpreter on the way to the next safepoint.
            assert expected.kind in ("trap", "thrown"), what
            continue
        except CheckpointError as error:
            if "before the next safepoint" not in str(error):
                raise
            continue
        same(without_count(expected), without_count(ended(session, call)), what)
