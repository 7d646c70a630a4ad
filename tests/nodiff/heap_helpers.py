"""A program that has structures, arrays and unboxed integers wherever they can be, and its state
where it has stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest

import chiwawa
from chiwawa_runtime import checkpoint
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.state.snapshot import (
    Snapshot,
)
from tests.path_helpers import running

#: A program that keeps something of each kind in each place there is.
MODULE = chiwawa.load("""(module
  (import "env" "tick" (func $tick (param i32)))
  (type $list (struct (field (mut i32)) (field (mut (ref null $list)))))
  (type $bytes (array (mut i8)))
  (type $shorts (array i16))
  (type $mixed (struct (field i8) (field i16) (field i64) (field f32) (field anyref)
    (field externref) (field funcref) (field v128) (field exnref)))
  (type $anys (array (mut anyref)))
  (tag $e (param i32 anyref))
  (global $any (mut anyref) (ref.null any))
  (global $ring (mut (ref $list)) (struct.new $list (i32.const 1) (ref.null $list)))
  (global $out (mut externref) (ref.null extern))
  (table $t 3 eqref)
  (elem $made anyref (struct.new $list (i32.const 9) (ref.null $list)) (ref.i31 (i32.const -1))
    (ref.null any))
  (elem $functions funcref (ref.func $make) (ref.null func))
  (data $d "hello")
  (func $make (param $n i32) (result (ref null $list)) (local $l (ref null $list))
    (loop $x
      (local.set $l (struct.new $list (local.get $n) (local.get $l)))
      (br_if $x (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $l))
  (func $sum (param $l (ref null $list)) (result i32) (local $s i32)
    (block $done
      (loop $x
        (br_if $done (ref.is_null (local.get $l)))
        (local.set $s (i32.add (local.get $s) (struct.get $list 0 (local.get $l))))
        (local.set $l (struct.get $list 1 (local.get $l)))
        (br $x)))
    (local.get $s))
  (func $fill (param $a (ref $anys)) (param $first (ref $list)) (result anyref)
    (local $copy (ref $list))
    (local.get $a)
    (local.set $copy (struct.new $list (i32.const 5) (local.get $first)))
    (call $tick (i32.const 3))
    (loop $l)
    (array.set $anys (local.get $a) (i32.const 2) (local.get $copy))
    (array.get $anys (i32.const 2)))
  (func (export "run") (param $n i32) (result i32)
    (local $x (ref null $anys)) (local $a anyref)
    (local.set $x (array.new_elem $anys $made (i32.const 0) (i32.const 3)))
    (local.set $a (array.get $anys (local.get $x) (i32.const 0)))
    (global.set $any (struct.new $mixed (i32.const -3) (i32.const 70000) (i64.const -5)
      (f32.const 1.5) (local.get $x) (extern.convert_any (global.get $ring)) (ref.func $make)
      (v128.const i64x2 1 2)
      (block $b (result exnref)
        (try_table (catch_all_ref $b) (throw $e (i32.const 4) (global.get $ring)))
        (unreachable))))
    (table.set $t (i32.const 1) (array.new_data $bytes $d (i32.const 0) (i32.const 5)))
    (table.set $t (i32.const 2) (array.new $shorts (i32.const 65537) (i32.const 2)))
    (global.set $out (extern.convert_any (ref.i31 (i32.const 7))))
    (struct.set $list 1 (global.get $ring) (global.get $ring))
    (array.set $anys (local.get $x) (i32.const 2) (global.get $any))
    (struct.set $list 0 (ref.cast (ref $list) (local.get $a)) (i32.const 77))
    (call $tick (i32.const 1))
    (drop (call $fill (ref.as_non_null (local.get $x)) (global.get $ring)))
    (array.set $anys (local.get $x) (i32.const 2) (ref.null none))
    (global.set $ring (ref.as_non_null (call $make (local.get $n))))
    (call $tick (i32.const 2))
    (call $sum (global.get $ring))
    (struct.get $list 0 (ref.cast (ref $list)
      (array.get $anys (array.new_elem $anys $made (i32.const 0) (i32.const 1)) (i32.const 0))))
    (i32.add)))""")
HAVING = running(MODULE)
each_having = pytest.mark.parametrize("path", HAVING)
RESULT = [77 + 1 + 2 + 3]


def ticking(tick: Callable[[int], None]) -> dict[str, dict[str, Callable[..., Any]]]:
    return {"env": {"tick": tick}}


def silent(n: int) -> None:
    """Does nothing."""


def stopped_at(
    module: chiwawa.Module,
    path: str,
    tick: int,
    args: tuple[Any, ...] = (3,),
    carry: Mapping[str, object] | None = None,
) -> Run:
    """The run of ``module``, stopped after the ``tick`` that has that number."""

    def ticked(n: int) -> None:
        if n == tick:
            run.requests.ask()

    run = chiwawa.start(
        module, "run", args, imports=ticking(ticked), path=path, carry=dict(carry or {})
    )
    assert not run.go()
    run.requests.take()
    return run


@cache
def snapshot_of(path: str) -> Snapshot:
    return checkpoint.decode(stopped_at(MODULE, path, 3).checkpoint())
