"""Tail calls, stopped at every safepoint on all paths: chains that take the room of one call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chiwawa import api
from chiwawa.source import load
from chiwawa_runtime import checkpoint
from chiwawa_runtime.checkpoint.layout import DIGEST_SIZE
from chiwawa_runtime.errors import Abrupt, CheckpointError
from chiwawa_runtime.state.store import HostFunction
from chiwawa_runtime.state.types import I32, FuncType
from tests.nodiff.harness_helpers import (
    Call,
    Log,
    both,
    check,
    compare_bytes,
    cross,
    paths_of,
    walk,
)
from tests.path_helpers import PATHS, each_path
from tests.unit.checkpoint.snapshot_helpers import with_digest

#: Even and odd by each other, each with parameters of its own, above a caller with operands.
EVEN_ODD = """
(func $even (param $n i32) (result i64) (local $x f64)
  (local.set $x (f64.const 2.5))
  (if (i32.eqz (local.get $n)) (then (return (i64.const 44))))
  (i64.const 7) (local.get $x)
  (return_call $odd (f64.const 0.5) (i32.sub (local.get $n) (i32.const 1))))
(func $odd (param f64) (param $n i32) (result i64)
  (if (i32.eqz (local.get $n)) (then (return (i64.const 99))))
  (return_call $even (i32.sub (local.get $n) (i32.const 1))))
(func $twice (param $n i32) (result i64)
  (i64.add (i64.mul (i64.const 3) (call $even (local.get $n)))
    (call $odd (f64.const 1) (local.get $n))))
(func (export "f") (param $n i32) (result i64) (return_call $twice (local.get $n)))
"""
#: The same through a table, with loops, results that are several, and recursion that is none.
TABLE = """
(type $step (func (param i32 i64) (result i64 i32)))
(table funcref (elem $add $mul $rec $add))
(func $add (type $step)
  (if (i32.eqz (local.get 0)) (then (return (local.get 1) (i32.const 7))))
  (return_call_indirect (type $step) (i32.sub (local.get 0) (i32.const 1))
    (i64.add (local.get 1) (i64.const 3)) (i32.and (local.get 0) (i32.const 3))))
(func $mul (type $step) (local $i i32)
  (local.set $i (i32.const 2))
  (loop $again
    (local.set 1 (i64.mul (local.get 1) (i64.const 5)))
    (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
  (return_call $add (local.get 0) (local.get 1)))
(func $rec (type $step)
  (call $add (i32.shr_u (local.get 0) (i32.const 1)) (local.get 1))
  (i32.add (local.get 0))
  (local.set 0) (local.set 1)
  (return_call $plain (local.get 0) (local.get 1)))
(func $plain (type $step) (i64.xor (local.get 1) (i64.const 1)) (local.get 0))
(func (export "f") (param i32) (result i64 i32)
  (call_indirect (type $step) (local.get 0) (i64.const 1) (i32.const 0)))
"""
#: The host's functions, called last of all, directly and through a table.
HOSTS = """
(type $t (func (param i32) (result i32)))
(import "env" "twice" (func $twice (type $t)))
(table funcref (elem $twice $down))
(func $down (type $t)
  (if (result i32) (local.get 0)
    (then (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1))
      (i32.and (local.get 0) (i32.const 1))))
    (else (return_call $twice (i32.const 21)))))
(func (export "f") (param i32) (result i32)
  (i32.add (call $down (local.get 0)) (call $down (i32.add (local.get 0) (i32.const 1)))))
"""

HOSTS_BY_REFERENCE = """
(type $t (func (param i32) (result i32)))
(import "env" "twice" (func $twice (type $t)))
(elem declare func $twice $down)
(func $down (type $t)
  (return_call_ref $t (i32.sub (local.get 0) (i32.const 1))
    (if (result (ref $t)) (i32.and (local.get 0) (i32.const 1))
      (then (ref.func $down)) (else (ref.func $twice)))))
(func (export "f") (param i32) (result i32)
  (i32.add (call $down (local.get 0)) (call $down (i32.add (local.get 0) (i32.const 1)))))
"""


def host(log: Log) -> api.Imports:
    def twice(x: int) -> int:
        log.append(("twice", x))
        return 2 * x

    return {"env": {"twice": HostFunction(FuncType((I32,), (I32,)), twice, "twice")}}


def no_host(log: Log) -> api.Imports:
    return {}


@pytest.mark.parametrize(
    ("source", "imports", "args"),
    [
        (EVEN_ODD, no_host, (6,)),
        (TABLE, no_host, (9,)),
        (HOSTS, host, (5,)),
        (HOSTS, host, (4,)),
        (HOSTS_BY_REFERENCE, host, (5,)),
    ],
)
def test_a_chain_of_tail_calls_is_the_same_at_every_safepoint(
    source: str, imports: Any, args: tuple[int, ...]
) -> None:
    call = Call(load(source), "f", args, imports)
    expected = both(call)
    assert expected.kind == "returned"
    for stop in compare_bytes(call, range(1, (expected.safepoints or 0) + 1)):
        cross(call, stop, expected)
    check(call)


LONG = """
(memory (export "mem") 1)
(type $t (func (param i32) (result i32)))
(table funcref (elem $even $odd $count))
(func $even (type $t)
  (if (i32.eqz (local.get 0)) (then (return (i32.const 44))))
  (return_call $odd (i32.sub (local.get 0) (i32.const 1))))
(func $odd (type $t)
  (if (i32.eqz (local.get 0)) (then (return (i32.const 99))))
  (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))
(func $count (type $t)
  (if (i32.eqz (local.get 0)) (then (return (i32.const 7))))
  (return_call $count (i32.sub (local.get 0) (i32.const 1))))
(func (export "count") (type $t) (i32.add (i32.const 1) (call $count (local.get 0))))
(func (export "even") (type $t) (i32.add (i32.const 1) (call $even (local.get 0))))
"""
#: More than the call stack has room for.
TIMES = 200_000


@pytest.mark.parametrize("name", ["count", "even"])
@each_path
def test_a_long_chain_exhausts_nothing(path: str, name: str) -> None:
    (result,) = api.instantiate(load(LONG), path=path).invoke(name, [TIMES])
    assert result == {"count": 8, "even": 45}[name]


@each_path
def test_nor_does_it_after_a_restore(path: str) -> None:
    module = load(LONG)
    (stop,) = walk(Call(module, "even", (TIMES,)), path, [50])
    assert len(checkpoint.decode(stop.data).frames) == 2
    for to in PATHS:
        run = api.restore(module, stop.data, path=to)
        assert run.go()
        assert run.results == [45]


#: What is called cannot be suspended, so that its translation is a plain function.
LEAVES = """
(tag $e)
(func $traps (result i32) unreachable)
(func $throws (result i32) (throw $e))
(func $once (export "trap") (result i32) (return_call $traps))
(func (export "throw") (result i32)
  (block $h (drop (try_table (result i32) (catch $e $h) (return_call $throws))))
  (i32.const 7))
(func (export "beneath") (result i32) (i32.add (call $once) (i32.const 1)))
"""


@pytest.mark.parametrize(
    ("name", "message", "frames"),
    [
        ("trap", "unreachable", ["$traps"]),
        ("throw", "uncaught exception", ["$throws"]),
        ("beneath", "unreachable", ["$traps", "$beneath"]),
    ],
)
def test_a_backtrace_has_the_frames_that_are_left(
    name: str, message: str, frames: list[str]
) -> None:
    call = Call(load(LEAVES), name)
    both(call)
    for path in paths_of(call):
        with pytest.raises(Abrupt, match=message) as caught:
            api.instantiate(call.module, path=path).invoke(name)
        assert [str(place).split()[0] for place in caught.value.backtrace] == frames


def test_frames_are_those_that_are_left() -> None:
    """The caller's names another function than the one whose frame is on top of it."""
    module = load(EVEN_ODD)
    (stop,) = walk(Call(module, "f", (6,)), PATHS[0], [4])
    frames = checkpoint.decode(stop.data).frames
    assert [frame.function for frame in frames] == [1, 2]


@each_path
@pytest.mark.parametrize("function", [2, 3])
def test_a_frame_that_no_tail_call_leads_to_is_refused(path: str, function: int) -> None:
    module = load("(func $other (param f64 i32) (result i64) (loop) (i64.const 1))" + EVEN_ODD)
    (stop,) = walk(Call(module, "f", (6,)), path, [4])
    snapshot = checkpoint.decode(stop.data)
    assert [frame.function for frame in snapshot.frames] == [2, 3]
    youngest = snapshot.frames[0]
    # As if it were of a function that has the same locals, and a safepoint at the same place.
    data = stop.data[:-DIGEST_SIZE]
    head = bytes((0, 0, youngest.function, youngest.offset))
    assert data.count(head) == 1
    changed = data.replace(head, bytes((0, 0, 0 if function == 2 else 4, youngest.offset)))
    with pytest.raises(CheckpointError) as caught:
        api.restore(module, with_digest(changed), path=path)
    assert "\n" not in str(caught.value)


#: Another instance's function, which can be stopped, and what ends in it by a tail call when it has
#: counted that it was called.
OTHER = """(module
  (func $inner (param i32 f32) (result i32)
    (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (i32.const 5))
  (func (export "count") (param i32) (result i32)
    (return_call $inner (local.get 0) (f32.const 1))))"""
LEAVING = """(module (type $f (func (param i32) (result i32)))
  (import "other" "count" (func $count (type $f)))
  (global $calls (mut i32) (i32.const 0)) (table 1 funcref) (elem (i32.const 0) $count)
  (func $by_name (export "by_name") (type $f)
    (global.set $calls (i32.add (global.get $calls) (i32.const 10)))
    (return_call $count (local.get 0)))
  (func $by_table (export "by_table") (type $f)
    (global.set $calls (i32.add (global.get $calls) (i32.const 10)))
    (return_call_indirect (type $f) (local.get 0) (i32.const 0)))
  (func (export "beneath_name") (type $f)
    (i32.add (call $by_name (local.get 0)) (global.get $calls)))
  (func (export "beneath_table") (type $f)
    (i32.add (call $by_table (local.get 0)) (global.get $calls))))"""
LEFT = {"by_name": 5, "by_table": 5, "beneath_name": 15, "beneath_table": 15}


def leaving(path: str, name: str) -> api.Run:
    other = api.instantiate(load(OTHER), path=path)
    return api.start(load(LEAVING), name, [4], imports={"other": other.exports}, path=path)


def restored(data: bytes, path: str) -> api.Run:
    return api.restore(load(LEAVING), data, path=path, modules=[load(OTHER)])


@each_path
@pytest.mark.parametrize("name", list(LEFT))
def test_a_tail_call_that_leaves_the_instance_goes_on_where_it_was_stopped(
    path: str, name: str
) -> None:
    run = leaving(path, name)
    run.requests.ask()
    while not run.go():
        run.requests.take()
        data = run.checkpoint()
        for to in PATHS:
            again = restored(data, to)
            assert again.go()
            assert again.results == [LEFT[name]]
        run.requests.ask()
    assert run.results == [LEFT[name]]


def test_a_run_is_in_no_function_that_it_does_not_lead_to() -> None:
    run = leaving(PATHS[0], "by_name")
    inside = None
    while inside != (1, 0):
        run.requests.ask()
        assert not run.go()
        run.requests.take()
        snapshot = run.snapshot()
        inside = snapshot.frames[0].instance, snapshot.frames[0].function
    calling = load(OTHER.replace("return_call", "call"))
    other = replace(snapshot.others[0], module_hash=calling.hash)
    data = checkpoint.encode(replace(snapshot, others=(other,)))
    with pytest.raises(CheckpointError, match="is of no function that the run could call"):
        api.restore(load(LEAVING), data, modules=[calling])
