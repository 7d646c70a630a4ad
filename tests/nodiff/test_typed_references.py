"""References whose types matter, in every place that a frame has for them, stopped at every
safepoint on all paths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chiwawa import api
from chiwawa.source import load
from chiwawa_runtime import checkpoint
from chiwawa_runtime.errors import CheckpointError, Trap, UnsupportedError
from chiwawa_runtime.state.snapshot import FuncIdx
from chiwawa_runtime.state.store import Function
from tests.nodiff.harness_helpers import Call, Log, both, check, compare_bytes, cross, walk
from tests.path_helpers import PATHS, each_path

#: Parameters, results, locals and operands that cannot be null, over calls that recur.
NON_NULL = """
(elem declare func $inc $slow)
(type $un (func (param i32) (result i32)))
(type $choose (func (param i32 (ref $un)) (result (ref $un) i64)))
(func $inc (type $un) (i32.add (local.get 0) (i32.const 1)))
(func $slow (type $un) (local $n i32)
  (local.set $n (i32.and (local.get 0) (i32.const 3)))
  (loop $again
    (local.set 0 (i32.xor (i32.mul (local.get 0) (i32.const 5)) (local.get $n)))
    (br_if $again (i32.gt_s (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 0))))
  (local.get 0))
(func $choose (type $choose) (local $f (ref $un)) (local $g (ref null $un))
  (local.set $f (if (result (ref $un)) (i32.and (local.get 0) (i32.const 1))
    (then (ref.func $inc)) (else (ref.func $slow))))
  (local.set $g (local.tee $f (local.get $f)))
  (if (i32.le_s (local.get 0) (i32.const 0))
    (then (return (local.get 1) (i64.extend_i32_u
      (call_ref $un (local.get 0) (ref.as_non_null (local.get $g)))))))
  (local.get $f)
  (call $choose (i32.sub (local.get 0) (i32.const 2)) (local.get $f))
  (i64.add (i64.extend_i32_u (call_ref $un (i32.const 6) (local.get 1))))
  (local.set 0 (i32.wrap_i64))
  (local.set $g)
  (i64.extend_i32_u (call_ref $un (local.get 0) (local.get $g))))
(func (export "f") (param $n i32) (result i32) (local $sum i32) (local $f (ref $un))
  (loop $more
    (call $choose (local.get $n) (ref.func $slow))
    (i32.wrap_i64)
    (local.set $sum (i32.add (local.get $sum)))
    (local.set $f)
    (local.set $sum (i32.xor (local.get $sum) (call_ref $un (local.get $n) (local.get $f))))
    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $sum))
"""
#: Types that are below others, in a group: operands that become of other types at the labels and
#: constructs that they come to, and branches on what they are.
BELOW = """
(elem declare func $inc $dec $neg)
(rec
  (type $top (sub (func (param i32) (result i32))))
  (type $mid (sub $top (func (param i32) (result i32))))
  (type $low (sub final $mid (func (param i32) (result i32)))))
(func $inc (type $low) (i32.add (local.get 0) (i32.const 1)))
(func $dec (type $mid) (loop) (i32.sub (local.get 0) (i32.const 1)))
(func $neg (type $top) (i32.sub (i32.const 0) (local.get 0)))
(func $pick (param i32) (result (ref null $mid))
  (block $low (result (ref $low))
    (block $two (block $one (block $zero
      (br_table $zero $one $two (i32.and (local.get 0) (i32.const 3))))
      (return (ref.func $dec)))
      (return (ref.null $low)))
    (ref.func $inc)))
(func $pass (param i32 (ref $top)) (result i32 (ref $top)) (loop) (local.get 0) (local.get 1))
(func $run (param $n i32) (result i32)
  (local.get $n)
  (call $pick (local.get $n))
  (block $is (param i32 (ref null $mid)) (result i32 (ref $top))
    (block $none (param i32 (ref null $mid)) (result i32)
      (br_on_null $none)
      (loop $again (param i32 (ref null $top)) (result i32 (ref $top))
        (if (param i32 (ref null $top)) (result i32 (ref null $top))
          (i32.gt_s (local.tee $n (i32.sub (local.get $n) (i32.const 3))) (i32.const 0))
          (then (drop) (call $pick (local.get $n)) (br $again)))
        (br_on_non_null $is)
        (ref.func $dec))
      (br $is))
    (ref.func $neg) (br_if $is (i32.eqz (local.get $n)))
    (drop)
    (ref.func $dec))
  (call $pass)
  (call_ref $top))
(func $both (param $n i32) (param $f (ref null $low)) (result i32)
  (i32.const 4)
  (block $l (param i32) (result i32 (ref $mid))
    (br_on_non_null $l (local.get $f))
    (i32.add (loop (result i32) (call $run (local.get $n))))
    (br_on_non_null $l (call $pick (local.get $n)))
    (ref.func $dec))
  (call_ref $mid))
(func (export "f") (param $n i32) (result i32) (local $sum i32)
  (loop $more
    (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 3)) (call $run (local.get $n))))
    (local.set $sum (i32.add (local.get $sum) (call $both (local.get $n)
      (if (result (ref null $low)) (i32.and (local.get $n) (i32.const 4))
        (then (ref.func $inc)) (else (ref.null $low))))))
    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $sum))
"""
#: Tail calls of functions that give what is below what their callers give, through references and
#: tables; frames that are entered again by what takes no arguments.
TAILS = """
(elem declare func $a $b $c)
(rec (type $give (sub (func (param i32) (result (ref null func) i32))))
     (type $exact (sub $give (func (param i32) (result (ref $give) i32)))))
(type $hop (func (param i32 (ref $give)) (result (ref null func) i32)))
(table $gives 3 (ref null $give))
(elem (table $gives) (i32.const 0) (ref null $give) (ref.func $a) (ref.func $b) (ref.func $c))
(func $a (type $exact) (loop) (ref.func $b) (i32.mul (local.get 0) (i32.const 7)))
(func $b (type $give)
  (if (i32.eqz (local.get 0)) (then (return (ref.null nofunc) (i32.const 1))))
  (return_call_ref $give (i32.sub (local.get 0) (i32.const 1))
    (table.get $gives (i32.and (local.get 0) (i32.const 1)))))
(func $c (type $exact) (local $g (ref $give))
  (local.set $g (ref.func $a))
  (call_ref $give (i32.sub (local.get 0) (i32.const 1)) (local.get $g))
  (local.set 0)
  (drop)
  (return_call_ref $exact (local.get 0) (ref.func $a)))
(func $hop (type $hop)
  (if (i32.lt_s (local.get 0) (i32.const 2))
    (then (return_call_ref $give (local.get 0) (local.get 1))))
  (return_call $hop (i32.sub (local.get 0) (i32.const 1))
    (table.get $gives (i32.rem_u (local.get 0) (i32.const 3))) (ref.as_non_null)))
(func (export "f") (param $n i32) (result i32)
  (if (result i32) (i32.eqz (local.get $n)) (then (i32.const 0))
    (else
      (call $hop (local.get $n) (ref.func $c))
      (local.set $n) (drop)
      (call_indirect $gives (type $give) (i32.and (local.get $n) (i32.const 7)) (i32.const 2))
      (i32.add (local.get $n)) (local.set $n)
      (ref.is_null)
      (i32.add (local.get $n)))))
"""
#: Tables, globals and functions of typed references: defined, imported and exported.
PLACES = """
(rec (type $s (sub (func (param i32) (result i32))))
     (type $t (sub $s (func (param i32) (result i32)))))
(import "env" "give" (func $give (param (ref null $s)) (result (ref null $s))))
(type $plain (func (param i32) (result i32)))
(import "env" "twice" (func $twice (type $plain)))
(global $g (mut (ref $s)) (ref.func $one))
(global $first (ref $t) (ref.func $one))
(global $constant (ref null $t) (global.get $first))
(table $t (export "t") 3 5 (ref $s) (ref.func $one))
(table $h 1 (ref $plain) (ref.func $twice))
(table $n 2 (ref null $t) (ref.func $one))
(elem $e (ref $t) (ref.func $one) (ref.func $two))
(func $one (export "one") (type $t) (loop) (i32.add (local.get 0) (i32.const 1)))
(func $two (type $t) (local $f (ref null $s))
  (local.set $f (call $give (ref.func $one)))
  (call_ref $s (local.get 0) (local.get $f)))
(func (export "f") (param $n i32) (result i32) (local $sum i32)
  (table.init $t $e (i32.const 1) (i32.const 0) (i32.const 2))
  (drop (table.grow $t (ref.func $two) (i32.const 1)))
  (loop $more
    (global.set $g (table.get $t (i32.and (local.get $n) (i32.const 3))))
    (local.set $sum (i32.add (local.get $sum)
      (call_ref $s (local.get $n) (select (result (ref null $s))
        (global.get $g) (table.get $n (i32.const 1)) (i32.and (local.get $n) (i32.const 1))))))
    (local.set $sum (call_ref $plain (local.get $sum) (table.get $h (i32.const 0))))
    (table.set $n (i32.const 1) (ref.null $t))
    (table.set $n (i32.const 1) (global.get $constant))
    (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $sum))
"""


def host(log: Log) -> api.Imports:
    def twice(x: int) -> int:
        log.append(("twice", x))
        return 2 * x

    def give(function: Function | None) -> Function | None:
        log.append(("give", function is None))
        return function

    return {"env": {"twice": twice, "give": give}}


def no_host(log: Log) -> api.Imports:
    return {}


@pytest.mark.parametrize(
    ("source", "imports", "n"),
    [(NON_NULL, no_host, 4), (BELOW, no_host, 5), (TAILS, no_host, 6), (PLACES, host, 5)],
)
def test_a_program_with_them_is_the_same_at_every_safepoint(
    source: str, imports: Any, n: int
) -> None:
    call = Call(load(source), "f", (n,), imports)
    expected = both(call)
    assert expected.kind == "returned"
    for stop in compare_bytes(call, range(1, (expected.safepoints or 0) + 1)):
        cross(call, stop, expected)
    check(call)


TRAPS = """
(rec (type $a (sub (func (result i32)))) (type $b (sub final $a (func (result i32)))))
(table $t 4 funcref) (elem (table $t) (i32.const 0) func $a $b)
(func $a (type $a) (i32.const 7))
(func $b (type $b) (i32.const 8))
(func $null (result (ref null $a)) (ref.null $a))
(func $inside (param i32) (result i32)
  (block $three (block $two (block $one (block $zero
    (br_table $zero $one $two $three (local.get 0)))
    (return (call_ref $a (call $null))))
    (return (i32.add (i32.const 1) (call_ref $a (ref.as_non_null (call $null))))))
    (return_call_ref $a (call $null)))
  (call_indirect $t (type $b) (i32.sub (local.get 0) (i32.const 3))))
(func (export "f") (param i32) (result i32) (i32.add (call $inside (local.get 0)) (i32.const 1)))
"""


@pytest.mark.parametrize(
    ("n", "message"),
    [
        (0, "null function reference"),
        (1, "null reference"),
        (2, "null function reference"),
        (3, "indirect call type mismatch"),
        (5, "uninitialized element 2"),
    ],
)
def test_a_trap_is_the_same_in_kind_and_place(n: int, message: str) -> None:
    ending = both(Call(load(TRAPS), "f", (n,)))
    assert ending.kind == "trap"
    assert ending.detail[0] == message
    assert both(Call(load(TRAPS), "f", (4,))).kind == "returned"


@each_path
def test_a_value_of_another_type_is_refused(path: str) -> None:
    """A function, as it should be, but one that takes more."""
    module = load(NON_NULL)
    (stop,) = walk(Call(module, "f", (4,)), path, [3])
    snapshot = checkpoint.decode(stop.data)
    oldest = snapshot.frames[-1]
    assert oldest.function == 3
    frames = []
    for frame in snapshot.frames:
        locals_ = tuple((t, FuncIdx(2) if type(v) is FuncIdx else v) for t, v in frame.locals)
        frames.append(frame._replace(locals=locals_))
    assert frames != list(snapshot.frames)
    with pytest.raises(CheckpointError, match="holds a value that is no") as caught:
        api.restore(module, replace(snapshot, frames=tuple(frames)), path=path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif("native" not in PATHS, reason="the native path cannot run here")
def test_what_returns_what_there_is_nothing_of_is_refused_natively() -> None:
    source = '(func (export "f") (result (ref nofunc)) (loop $on (br $on)) (unreachable))'
    with pytest.raises(UnsupportedError, match="function 0 returns what there is no value of"):
        api.instantiate(load(source), path="native")
    # What is never suspended has no frame.
    source = '(func (export "f") (result (ref nofunc)) (unreachable))'
    with pytest.raises(Trap, match="unreachable"):
        api.instantiate(load(source), path="native").invoke("f", [])
