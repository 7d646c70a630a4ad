"""Native instances that have state of each other: they share a store of wasmtime's, in which a
function in another's table is called without its instance being asked
(``tests/nodiff/test_calls_through_tables.py`` has more of that)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chiwawa import HostError, Instance, Run, instantiate, load, paths, start
from chiwawa_runtime.errors import UnsupportedError
from tests.path_helpers import PATHS

pytestmark = pytest.mark.skipif("native" not in PATHS, reason="needs wasmtime")

LIBRARY = load("""(module
  (import "h" "f" (func $f (param i32) (result i32)))
  (table (export "table") 1 funcref) (elem (i32.const 0) $sum)
  (memory (export "memory") 1)
  (global $calls (export "calls") (mut i32) (i32.const 0))
  (func $sum (export "sum") (param i32) (result i32) (local $sum i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (loop $on
      (local.set $sum (i32.add (local.get $sum) (local.get 0)))
      (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (call $f (local.get $sum))))""")
USER = load("""(module
  (import "l" "table" (table 1 funcref))
  (func (export "twice") (param i32) (result i32)
    (i32.add
      (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0))
      (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0)))))""")


def library(f: Callable[[int], int]) -> Instance:
    return instantiate(LIBRARY, {"h": {"f": f}}, path="native")


def user(of: Instance, number: int) -> Run:
    return start(USER, "twice", [number], {"l": of.exports}, path="native")


def calls(of: Instance) -> Any:
    return of.exports["calls"].value  # type: ignore[union-attr]


def test_a_request_stops_the_caller_as_well_as_what_it_has_called() -> None:
    def f(number: int) -> int:
        run.requests.ask("user")
        below.requests.ask("library")
        return number

    below = library(f)
    run = user(below, 4)
    stops = 0
    while not run.go():
        stops += 1
        assert "user" in run.requests.take()
    assert stops
    assert run.results == [20]
    assert calls(below) == 2
    below.requests.take()
    assert below.invoke("sum", [3]) == [6]


def test_what_the_host_raises_ends_the_run_as_it_does_elsewhere() -> None:
    def f(number: int) -> int:
        raise ValueError(number)

    below = library(f)
    with pytest.raises(HostError, match="ValueError: 10"):
        user(below, 4).go()
    with pytest.raises(HostError, match="ValueError: 3"):
        below.invoke("sum", [2])


def test_state_of_two_instances_takes_that_they_are_made_together() -> None:
    both = load("""(module (import "a" "memory" (memory 1)) (import "b" "memory" (memory 1))
      (func (export "read") (result i32)
        (i32.add (i32.load8_u 0 (i32.const 0)) (i32.load8_u 1 (i32.const 0)))))""")

    def made() -> int:
        a, b = library(abs), library(abs)
        a.memory().write(0, b"\1")
        b.memory().write(0, b"\2")
        instance = instantiate(both, {"a": a.exports, "b": b.exports}, path="native")
        return int(instance.invoke("read")[0])

    with pytest.raises(UnsupportedError, match='"b" "memory": a memory'):
        made()
    with paths.path("native").together():
        assert made() == 3
