"""Probes and host functions: calls back, interrupted calls, other instances, deep recursion; and
probes beside monitors and a trace."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from chiwawa import (
    At,
    HostFunction,
    Instance,
    Instruments,
    Interrupted,
    Match,
    Module,
    Probe,
    Tracer,
    Trap,
    api,
    instantiate,
)
from chiwawa.instrument.monitors.monitors import MONITORS
from chiwawa.instrument.tracing.tracer import Tracing
from chiwawa.source import load
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.state.types import I32, FuncType
from tests.instrument.probe_helpers import (
    TEXT,
    both_granularities,
    ended,
    logging,
    offsets,
    place,
    start,
    through,
)
from tests.instrument.watching_helpers import raw, same_text
from tests.path_helpers import each_path, each_path_and_granularity, stopping_at

BACK = """(module
  (import "env" "back" (func $back (param i32) (result i32)))
  (func $twice (export "twice") (param i32) (result i32)
    (i32.mul (local.get 0) (i32.const 2)))
  (func $run (export "run") (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (call $back (local.get $n))))
      (nop)
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
)"""
TWICE = 1


@cache
def module() -> Module:
    return load(BACK)


def calling_back(function: Callable[[Instance, int], int]) -> Imports:
    return {"env": {"back": HostFunction(FuncType((I32,), (I32,)), function, "back", True)}}


def twice(instance: Instance, n: int) -> int:
    (result,) = instance.invoke("twice", (n,))
    assert isinstance(result, int)
    return result


@both_granularities
def test_probes_fire_in_what_a_host_function_calls_back(granularity: str) -> None:
    logs = []
    for path in stopping_at(granularity):
        run = start(module(), "run", (3,), path, granularity, calling_back(twice))
        log: list[Any] = []
        logging(run, Match(), log)
        assert ended(run) == ("returned", 12)
        logs.append(log)
    assert logs.count(logs[0]) == len(logs)
    assert [e[0] for e in logs[0]].count(TWICE) == 9


@each_path_and_granularity
def test_a_stop_in_a_call_back_is_met_when_the_host_function_has_returned(
    path: str, granularity: str
) -> None:
    log: list[int] = []

    def back(instance: Instance, n: int) -> int:
        log.append(n)
        if n == 2:
            return int(instance.invoke("run", (1,))[0])
        return twice(instance, n)

    run = start(module(), "run", (2,), path, granularity, calling_back(back))
    probe = run.instance.probe(Match(op="loop", where=lambda at: at.locals[0] == 1), At.stop)
    assert not run.go()
    assert run.requests.take() == ["stop"]
    assert log == [2, 1]
    assert run.activation is not None
    assert len(run.activation.frames()) == 1
    probe.remove()
    assert ended(run) == ("returned", 4)
    assert log == [2, 1, 1]


@both_granularities
def test_a_trap_in_a_call_back_is_the_programs(granularity: str) -> None:
    traces = []
    for path in stopping_at(granularity):
        run = start(module(), "run", (3,), path, granularity, calling_back(twice))
        run.instance.probe(Match(function="twice", op="i32.mul"), lambda at: at.trap("back"))
        with pytest.raises(Trap, match="back") as raised:
            run.go()
        traces.append([(f.function, f.offset) for f in raised.value.backtrace])
    assert traces.count(traces[0]) == len(traces)
    assert traces[0][0] == (TWICE, offsets(module(), TWICE, "i32.mul")[0])


@both_granularities
def test_a_host_function_can_take_a_trap_for_an_answer(granularity: str) -> None:
    def back(instance: Instance, n: int) -> int:
        try:
            return twice(instance, n)
        except Trap:
            return 100

    for path in stopping_at(granularity):
        run = start(module(), "run", (3,), path, granularity, calling_back(back))
        match = Match(function="twice", where=lambda at: at.locals[0] == 2)
        run.instance.probe(match, lambda at: at.trap("no"))
        log: list[Any] = []
        logging(run, Match(op="nop"), log, place)
        assert ended(run) == ("returned", 6 + 100 + 2)
        assert len(log) == 3


NESTED = """(module
  (import "env" "back" (func $back (param i32) (result i32)))
  (func $f (export "f") (param $n i32) (result i32)
    (nop)
    (drop (call $back (local.get $n)))
    (nop)
    (loop (nop))
    (nop)
    (local.get $n))
)"""


@pytest.mark.parametrize("before", [False, True], ids=["the first there", "with one there"])
@both_granularities
def test_a_probe_added_in_a_call_back_fires_in_outer_frames_from_their_next_safepoint(
    granularity: str, before: bool
) -> None:
    """Although the same function has been prepared anew for the inner calls."""
    logs = []
    for path in stopping_at(granularity):
        log: list[Any] = []
        depth = [0]

        def back(instance: Instance, n: int, log: list[Any] = log, depth: list[int] = depth) -> int:
            depth[0] += 1
            if n == 1:
                instance.probe(Match(op="nop"), lambda at: log.append((place(at), at.locals)))
            if n:
                instance.invoke("f", (n - 1,))
            log.append(f"back {n}")
            return 0

        run = start(load(NESTED), "f", (2,), path, granularity, calling_back(back))
        if before:
            run.instance.probe(Match(op="nop"), lambda at: None)
        assert ended(run) == ("returned", 2)
        logs.append(log)
    assert logs.count(logs[0]) == len(logs)
    first, second, third, last = ((1, o) for o in offsets(load(NESTED), 1, "nop"))
    assert logs[0] == [
        (first, (0,)),
        "back 0",
        (second, (0,)),
        (third, (0,)),
        (last, (0,)),
        "back 1",
        # Where every boundary is a safepoint, the one after the call is the next.
        *([(second, (1,))] if granularity == "instruction" else []),
        (third, (1,)),
        (last, (1,)),
        "back 2",
        *([(second, (2,))] if granularity == "instruction" else []),
        (third, (2,)),
        (last, (2,)),
    ]


@each_path_and_granularity
def test_a_call_that_was_interrupted_fires_its_probes_once(path: str, granularity: str) -> None:
    answers = iter([False, True, False, False, True, True])

    def back(instance: Instance, n: int) -> int:
        if not next(answers):
            instance.requests.ask("wait")
            raise Interrupted
        return twice(instance, n)

    run = start(module(), "run", (3,), path, granularity, calling_back(back))
    log: list[Any] = []
    logging(run, Match(op="call"), log, lambda at: ("call", at.locals))
    added: list[Any] = []
    stops = 0
    while not run.go():
        assert run.requests.take() == ["wait"]
        stops += 1
        if stops == 2:
            # What is added while the run stands there fires there.
            logging(run, Match(op="call"), added, lambda at: at.locals)
    assert stops == 3
    assert log == [("call", (3, 0)), ("call", (2, 6)), ("call", (1, 10))]
    assert added == [(2, 6), (1, 10)]
    assert run.results == [12]


@each_path_and_granularity
def test_a_stop_where_the_call_is_then_interrupted_stops_twice_and_fires_once(
    path: str, granularity: str
) -> None:
    answers = iter([False, True, True])

    def back(instance: Instance, n: int) -> int:
        if not next(answers):
            instance.requests.ask("wait")
            raise Interrupted
        return n

    run = start(module(), "run", (2,), path, granularity, calling_back(back))
    log: list[int] = []
    match = Match(op="call", where=lambda at: at.locals[0] == 2)
    logging(run, match, log, lambda at: (at.stop(), at.locals[0])[1])
    assert not run.go()
    assert run.requests.take() == ["stop"]
    assert not run.go()
    assert run.requests.take() == ["wait"]
    assert run.go()
    assert log == [2]
    assert run.results == [3]


@each_path
def test_an_action_may_call_the_program(path: str) -> None:
    instance = instantiate(load(TEXT), path=path)
    log: list[Any] = []

    def action(at: At) -> None:
        if not log:
            log.append(None)
            log.extend(at.instance.invoke("sum", (5,)))

    instance.probe(Match(op="i32.sub"), action)
    assert instance.invoke("sum", (3,)) == [4]
    assert log == [None, 9]


# Deep recursion.

DEEP = """(module
  (func $deep (export "deep") (param $n i32) (result i32)
    (if (result i32) (local.get $n)
      (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get $n) (i32.const 1)))))
      (else (nop) (i32.const 0)))))"""


@each_path_and_granularity
def test_a_probe_added_under_deep_recursion_fires_in_all_its_frames(
    path: str, granularity: str
) -> None:
    frames = 20_000
    run = start(load(DEEP), "deep", (frames,), path, granularity)
    log: list[int] = []
    added: list[Probe] = []
    threads: set[int] = set()

    def action(at: At) -> None:
        threads.add(threading.get_ident())
        probe.remove()
        added.append(run.instance.probe(Match(op="i32.add"), lambda at: log.append(at.locals[0])))

    half = Match(op="if", where=lambda at: at.locals[0] == frames // 2)
    probe = run.instance.probe(half, action)
    assert run.go()
    assert run.results == [frames]
    assert log == list(range(1, frames + 1))
    assert len(threads) == 1


# Other instances.

INNER = """(module
  (import "env" "tick" (func $tick))
  (global $n (export "n") (mut i32) (i32.const 0))
  (func (export "inner") (result i32)
    (loop
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (call $tick))
    (nop)
    (global.get $n)))"""
OUTER = """(module
  (import "m" "inner" (func $inner (result i32)))
  (func (export "outer") (result i32) (loop (nop)) (i32.add (call $inner) (i32.const 100)))
  (func (export "tick") (loop (nop))))"""
#: It imports a function, and then an instance that calls it.
AROUND = """(module
  (import "m" "middle" (func $middle (param i32) (result i32)))
  (table (export "t") 1 funcref)
  (func $tick (export "tick") (param i32) (result i32) (loop (nop))
    (i32.add (local.get 0) (i32.const 1)))
  (elem (i32.const 0) $tick)
  (func (export "around") (result i32)
    (loop (nop)) (nop) (i32.add (call $middle (i32.const 5)) (i32.const 100)) (nop)))"""
MIDDLE = """(module
  (table (export "t") 1 funcref)
  (func (export "middle") (param i32) (result i32)
    (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0))
    (i32.mul (i32.const 2))))"""


def two_instances(path: str, granularity: str) -> tuple[Instance, Instance]:
    """One that imports a function of the other, which calls it back through the host."""
    known: list[Instance] = []

    def tick() -> None:
        if known:
            known[0].invoke("tick")

    inner = instantiate(load(INNER), {"env": {"tick": tick}}, path=path, granularity=granularity)
    outer = instantiate(
        load(OUTER),
        {"m": {"inner": inner.exports["inner"]}},  # type: ignore[dict-item]
        path=path,
        granularity=granularity,
    )
    known.append(outer)
    return inner, outer


def done(function: Callable[[], Any]) -> Any:
    """What the function returns; an error where it never does."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(300)
    assert results, "it failed, or hangs"
    return results[0]


@pytest.mark.parametrize("op", ["loop", "nop", "call", "global.get"])
@each_path_and_granularity
def test_probes_fire_in_the_functions_of_another_instance(
    path: str, granularity: str, op: str
) -> None:
    inner, outer = two_instances(path, granularity)
    log: list[Any] = []

    def action(at: At) -> None:
        log.append(at.op)
        at.stop()

    inner.probe(Match(op=op), action, writes=True)
    assert done(lambda: through(outer, "outer")) == [101]
    assert log == [op] * (2 if op == "global.get" else 1)
    assert inner.exports["n"].value == 1  # type: ignore[union-attr]


@each_path_and_granularity
def test_a_probe_that_stops_a_run_beneath_another_instance_changes_nothing(
    path: str, granularity: str
) -> None:
    inner, outer = two_instances(path, granularity)
    log: list[Any] = []

    def action(at: At) -> None:
        log.append((at.name, at.op))
        at.stop()
        # Frames of the other instance are on the stack, which nobody can restore.
        outer.probe(Match(op="i32.const"), lambda at: log.append("const"))

    outer.probe(Match(op="nop"), action)
    assert done(lambda: through(outer, "outer")) == [101]
    assert log[:2] == [("outer", "nop"), ("tick", "nop")]
    assert inner.exports["n"].value == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("what", ["stop", "add", "both"])
@each_path_and_granularity
def test_frames_of_another_instance_in_between_stay_as_they_are(
    path: str, granularity: str, what: str
) -> None:
    middle = instantiate(load(MIDDLE), path=path, granularity=granularity)
    run = api.start(
        load(AROUND),
        "around",
        (),
        {"m": {"middle": middle.exports["middle"]}},  # type: ignore[dict-item]
        path=path,
        granularity=granularity,
    )
    middle.tables[0].set(0, run.instance.tables[0].get(0))
    log: list[Any] = []

    def action(at: At) -> None:
        log.append(at.name)
        if what != "add":
            at.stop()
        if what != "stop":
            logging(run, Match(op="nop", function="around"), log, lambda at: "added")

    run.instance.probe(Match(op="nop", function="tick"), action)
    assert done(lambda: ended(run)) == ("returned", 112)
    assert log == ["tick"] + ["added"] * (what != "stop" and granularity == "instruction")


# Beside monitors and a trace.


@each_path_and_granularity
@pytest.mark.parametrize("op", ["loop", "call", "i32.sub", "i32.store"])
def test_stops_leave_counts_and_trace_exact(path: str, granularity: str, op: str) -> None:
    found = []
    for probed in (False, True):
        out = io.StringIO()
        traced = load(TEXT)
        tracer = Tracer(traced, Tracing(), out)
        instruments = Instruments(traced, monitors=MONITORS, tracer=tracer)
        run = api.start(
            traced, "sum", (9,), path=path, granularity=granularity, instruments=instruments
        )
        stops = 0
        if probed:
            run.instance.probe(Match(op=op), At.stop)
            run.instance.probe(Match(op="i32.eqz"), lambda at, run=run: change_probes(run.instance))  # type: ignore[misc]
        while not run.go():
            assert set(run.requests.take()) == {"stop"}
            stops += 1
        instruments.finish()
        assert run.results == [25]
        assert (stops > 3) == probed
        found.append((out.getvalue(), raw(instruments.observed())))
    same_text(found[0][0], found[1][0], "the trace")
    assert found[0][1] == found[1][1]


def change_probes(instance: Instance) -> None:
    instance.probe(Match(op="nop"), print).remove()


@each_path_and_granularity
def test_a_trap_leaves_counts_exact(path: str, granularity: str) -> None:
    """The instruction at which a probe traps was begun."""
    traced = load(TEXT)
    instruments = Instruments(traced, monitors=("icount",))
    run = api.start(
        traced, "plain", (1, 2), path=path, granularity=granularity, instruments=instruments
    )
    run.instance.probe(Match(op="i32.store"), lambda at: at.trap("there"))
    assert ended(run)[:2] == ("trap", "there")
    assert sum(map(sum, instruments.observed().counts.values())) == 3
