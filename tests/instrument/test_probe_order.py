"""Probes: in which order they fire, and from when and until when."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from chiwawa import At, Match, Module, Probe, instantiate
from chiwawa.source import load
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.state.store import HostFunction
from chiwawa_runtime.state.types import I32, FuncType
from tests.instrument.probe_helpers import (
    TEXT,
    both_granularities,
    ended,
    logging,
    offsets,
    place,
    start,
)
from tests.path_helpers import PATHS, each_path, each_path_and_granularity, stopping_at

PLAIN, SUM = 0, 1


@cache
def module() -> Module:
    return load(TEXT)


@each_path_and_granularity
def test_probes_at_one_boundary_fire_in_the_order_in_which_they_were_added(
    path: str, granularity: str
) -> None:
    instance = instantiate(module(), path=path, granularity=granularity)
    log: list[Any] = []
    add = PLAIN, offsets(module(), PLAIN, "i32.add")[0]
    matches = [
        Match(op="i32.add"),
        Match(),
        Match(at=add),
        Match(function="pl*", group="arithmetic"),
        Match(op="i32.add"),
        Match(function=PLAIN, where=lambda at: True),
        Match(op="local.get"),
    ]
    for number, match in enumerate(matches):
        instance.probe(match, lambda at, n=number: log.append((at.op, n)), writes=number % 2 == 0)  # type: ignore[misc]
    instance.invoke("plain", (1, 2))
    assert [n for op, n in log if op == "i32.add"] == [0, 1, 2, 3, 4, 5]
    assert [n for op, n in log if op == "i32.store"] == [1, 5]
    assert [n for op, n in log if op == "local.get"] == [1, 5, 6] * 3


@each_path
def test_many_probes_fire(path: str) -> None:
    instance = instantiate(module(), path=path)
    log: list[int] = []
    probes = [
        instance.probe(Match(op="i32.add"), lambda at, n=n: log.append(n))  # type: ignore[misc]
        for n in range(300)
    ]
    instance.invoke("plain", (1, 2))
    assert log == list(range(300))
    log.clear()
    for probe in probes[::2]:
        probe.remove()
    instance.invoke("plain", (1, 2))
    assert log == list(range(1, 300, 2))


@each_path
def test_a_probe_removed_twice_or_before_anything_runs_is_gone(path: str) -> None:
    instance = instantiate(module(), path=path)
    log: list[str] = []
    first = instance.probe(Match(op="i32.add"), lambda at: log.append("first"))
    second = instance.probe(Match(op="i32.add"), lambda at: log.append("second"))
    first.remove()
    first.remove()
    instance.invoke("plain", (1, 2))
    assert log == ["second"]
    second.remove()
    first.remove()
    second.remove()
    assert instance.invoke("plain", (1, 2)) == [3]
    assert log == ["second"]


def adds_once(
    path: str, granularity: str, when: Match, added: Match, name: str = "sum", n: int = 6
) -> tuple[list[Any], list[Any], tuple[Any, ...]]:
    """What two probes see, the second of which the first one adds when it first fires."""
    run = start(module(), name, (n,), path, granularity)
    log: list[Any] = []
    later: list[Probe] = []

    def action(at: At) -> None:
        log.append(("first", *place(at), at.locals))
        if not later:
            later.append(logging(run, added, log, lambda at: ("second", *place(at), at.locals)))

    run.instance.probe(when, action)
    ending = ended(run)
    return [e for e in log if e[0] == "first"], [e for e in log if e[0] == "second"], ending


@both_granularities
@pytest.mark.parametrize("op", ["loop", "i32.sub", "i32.add", "block", "i32.eqz"])
def test_a_probe_added_while_firing_fires_from_the_next_safepoint_on(
    op: str, granularity: str
) -> None:
    when = Match(op=op, function=SUM)
    results = [adds_once(path, granularity, when, when) for path in stopping_at(granularity)]
    assert results.count(results[0]) == len(results)
    first, second, ending = results[0]
    assert ending == ("returned", 9)
    assert [e[1:] for e in first[1:]] == [e[1:] for e in second]


@both_granularities
def test_a_probe_added_in_a_function_without_safepoints_waits_for_one(granularity: str) -> None:
    # It is added in $plain, before the call of which the loop was its caller's last safepoint.
    when = Match(op="i32.const", function=PLAIN)
    results = [adds_once(path, granularity, when, Match()) for path in stopping_at(granularity)]
    assert results.count(results[0]) == len(results)
    _, second, _ = results[0]
    if granularity == "instruction":
        assert second[0][1:3] == (PLAIN, offsets(module(), PLAIN, "local.get")[0])
    else:
        assert second[0][1:3] == (SUM, offsets(module(), SUM, "loop")[0])


LEAF = """(module
  (import "env" "add" (func $add))
  (func $leaf (result i32) (i32.const 1))
  (func (export "run") (param $warm i32) (result i32)
    (if (local.get $warm) (then (drop (call $leaf))))
    (call $add)
    (drop (call $leaf))
    (loop)
    (drop (call $leaf))
    (call $leaf))
)"""


@pytest.mark.parametrize("had", [False, True], ids=["its first probe", "not its first"])
@pytest.mark.parametrize("warm", [0, 1])
@each_path
def test_functions_that_have_not_run_yet_get_a_new_probe_no_sooner(
    path: str, warm: int, had: bool
) -> None:
    """What a host function adds fires from the loop on, whether $leaf was prepared before or
    not."""
    log: list[Any] = []

    def add() -> None:
        instance.probe(Match(function="leaf"), lambda at: log.append(place(at)))

    instance = instantiate(load(LEAF), {"env": {"add": add}}, path=path)
    if had:
        instance.probe(Match(op="f64.add"), print)
    assert instance.invoke("run", (warm,)) == [1]
    assert log == [(1, 1)] * 2


@pytest.mark.parametrize("warm", [0, 1])
@each_path
def test_a_probe_added_when_no_safepoint_comes_any_more_is_there_for_the_next_call(
    path: str, warm: int
) -> None:
    text = LEAF.replace("(loop)", "")
    log: list[Any] = []
    added: list[Probe] = []

    def add() -> None:
        if not added:
            added.append(run.instance.probe(Match(function="leaf"), lambda at: log.append(at.op)))

    module = load(text)
    run = start(module, "run", (warm,), path, imports={"env": {"add": add}})
    assert run.go()
    assert log == []
    # What asks for it is the instruments' own affair.
    assert run.requests.take() == []
    run.instance.invoke("run", (0,))
    assert log == ["i32.const"] * 3


@each_path_and_granularity
def test_a_probe_that_removes_itself_fires_no_more(path: str, granularity: str) -> None:
    run = start(module(), "sum", (6,), path, granularity)
    log: list[Any] = []

    def once(at: At) -> None:
        log.append("once")
        probe.remove()

    def look(at: At) -> None:
        log.append("always")

    probe = run.instance.probe(Match(op="i32.sub"), once)
    run.instance.probe(Match(op="i32.sub"), look)
    assert ended(run) == ("returned", 9)
    assert log == ["once"] + ["always"] * 6


@each_path_and_granularity
def test_a_probe_removed_while_firing_fires_no_more_there_either(
    path: str, granularity: str
) -> None:
    run = start(module(), "sum", (6,), path, granularity)
    log: list[Any] = []
    match = Match(op="i32.sub")
    probes: list[Probe] = []

    def remove(at: At) -> None:
        log.append("remove")
        for probe in probes:
            probe.remove()

    probes.append(run.instance.probe(match, lambda at: log.append("before")))
    run.instance.probe(match, remove)
    probes.append(run.instance.probe(match, lambda at: log.append("after")))
    assert ended(run) == ("returned", 9)
    assert log == ["before"] + ["remove"] * 6


@both_granularities
def test_probes_that_add_and_remove_each_other_do_so_alike_on_both_paths(granularity: str) -> None:
    logs = []
    for path in stopping_at(granularity):
        run = start(module(), "sum", (9,), path, granularity)
        log: list[Any] = []
        live: list[Probe] = []

        def action(at: At, log: list[Any] = log, live: list[Probe] = live, run: Any = run) -> None:
            log.append((place(at), at.operands, at.locals, len(live)))
            if len(live) > 3:
                live.pop(0).remove()
            elif len(log) % 2:
                ops = ("i32.add", "loop", "i32.store", "br_if", "call")
                match = Match(op=ops[len(log) % len(ops)])
                live.append(run.instance.probe(match, action))

        run.instance.probe(Match(op="local.get"), action)
        assert ended(run) == ("returned", 25)
        logs.append(log)
    assert logs.count(logs[0]) == len(logs)
    assert len({entry[0] for entry in logs[0]}) > 4


# While the run stands still.


@each_path_and_granularity
def test_probes_change_while_a_run_is_stopped(path: str, granularity: str) -> None:
    run = start(module(), "sum", (8,), path, granularity)
    log: list[Any] = []
    one = logging(run, Match(op="i32.sub"), log, lambda at: ("one", at.locals[0]))
    stop = stop_at_loop(run, 6)
    assert not run.go()
    assert run.requests.take() == ["stop"]
    assert log == [("one", 8), ("one", 7)]
    log.clear()
    stop.remove()
    one.remove()
    two = logging(run, Match(op="i32.sub"), log, lambda at: ("two", at.locals[0]))
    three = logging(run, Match(op="i32.eqz"), log, lambda at: ("three", at.locals[0]))
    stop_at_loop(run, 5)
    assert not run.go()
    assert run.requests.take() == ["stop"]
    assert log == [("three", 6), ("two", 6)]
    log.clear()
    two.remove()
    three.remove()
    assert run.go()
    assert log == []
    assert run.results == [16]


def stop_at_loop(run: Run, n: int) -> Probe:
    match = Match(op="loop", where=lambda at: at.locals[0] == n)
    probe = run.instance.probe(match, At.stop)
    assert isinstance(probe, Probe)
    return probe


@each_path_and_granularity
def test_a_probe_added_before_the_first_step_fires_at_the_first_boundary(
    path: str, granularity: str
) -> None:
    run = start(module(), "sum", (1,), path, granularity)
    log: list[Any] = []
    logging(run, Match(), log, lambda at: at.op)
    ended(run)
    assert log[:2] == ["block", "loop"]


@each_path_and_granularity
def test_probes_on_a_restored_run_fire_where_it_stands(path: str, granularity: str) -> None:
    from chiwawa import restore

    run = start(module(), "sum", (4,), path, granularity)
    run.requests.count_from(0, 2)
    assert not run.go()
    again = restore(module(), run.checkpoint(), path=path)
    log: list[Any] = []
    logging(again, Match(), log, lambda at: at.op)
    assert ended(again) == ("returned", 4)
    assert log[:2] == ["loop", "local.get"]


def test_the_same_probes_are_on_functions_of_all_kinds() -> None:
    """A host function passed through, and what it calls back."""
    text = """(module
      (import "env" "back" (func $back (param i32) (result i32)))
      (func $twice (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
      (func (export "run") (param i32) (result i32) (call $back (local.get 0))))"""
    logs = []
    for path in PATHS:
        log: list[Any] = []
        back = HostFunction(
            FuncType((I32,), (I32,)),
            lambda instance, n: instance.invoke("twice", (n,))[0],
            with_instance=True,
        )
        instance = instantiate(load(text), {"env": {"back": back}}, path=path)
        instance.probe(Match(), lambda at, log=log: log.append(place(at)))  # type: ignore[misc]
        assert instance.invoke("run", (4,)) == [8]
        logs.append(log)
    assert logs == [[(2, 1), (2, 3), (1, 1), (1, 3), (1, 5)]] * len(logs)
