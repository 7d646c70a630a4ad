"""Scripts of instances that share state of every kind, moved at each boundary."""

from __future__ import annotations

import pytest

from chiwawa.commands.torture import every
from chiwawa.commands.wast import run_commands
from chiwawa.wat.script import parse_script
from tests.path_helpers import IN_PYTHON, each_path

#: Exceptions thrown in one instance, caught, kept and thrown anew in another.
EXCEPTIONS = """
(module $a
  (tag $t (export "t") (param i32))
  (tag $r (export "r") (param externref))
  (global $held (export "held") (mut exnref) (ref.null exn))
  (table $tab (export "tab") 3 exnref)
  (func (export "throw") (param i32) (throw $t (local.get 0)))
  (func (export "throw_ext") (param externref) (throw $r (local.get 0)))
  (func (export "rethrow") (throw_ref (global.get $held)))
  (func (export "rethrow_at") (param i32) (throw_ref (table.get $tab (local.get 0))))
)
(register "a" $a)
(module $b
  (import "a" "t" (tag $t (param i32)))
  (import "a" "r" (tag $r (param externref)))
  (import "a" "held" (global $held (mut exnref)))
  (import "a" "tab" (table $tab 3 exnref))
  (import "a" "throw" (func $throw (param i32)))
  (import "a" "throw_ext" (func $throw_ext (param externref)))
  (import "a" "rethrow" (func $rethrow))
  (import "a" "rethrow_at" (func $rethrow_at (param i32)))
  (tag $own (param i32 i64))
  (func (export "catch") (param i32) (result i32)
    (block $h (result i32)
      (try_table (result i32) (catch $t $h) (call $throw (local.get 0)) (i32.const -1))))
  (func (export "keep") (param i32) (result i32)
    (local $e exnref)
    (block $h (result i32 exnref)
      (try_table (catch_ref $t $h) (call $throw (local.get 0)))
      (unreachable))
    (local.set $e)
    (global.set $held (local.get $e))
    (table.set $tab (i32.const 1) (local.get $e))
    (nop))
  (func (export "again") (result i32)
    (block $h (result i32) (try_table (result i32) (catch $t $h) (call $rethrow) (i32.const -1))))
  (func (export "again_at") (result i32)
    (block $h (result i32) (try_table (result i32) (catch $t $h) (call $rethrow_at
      (i32.const 1)) (i32.const -1))))
  (func (export "ext") (param externref) (result externref)
    (block $h (result externref) (try_table (result externref) (catch $r $h) (call $throw_ext
      (local.get 0)) (ref.null extern))))
  (func (export "nest") (param i32) (result i32)
    (local $s i32)
    (block $done
     (block $h (result i32)
      (try_table (catch $t $h)
        (block $i (result i32 i64)
          (try_table (catch $own $i)
            (block $all (result exnref)
              (try_table (catch_all_ref $all)
                 (if (i32.and (local.get 0) (i32.const 1)) (then (throw $own (i32.const 5)
                   (i64.const 7))))
                 (call $throw (local.get 0)))
              (unreachable))
            (local.set $s (i32.const 100))
            (throw_ref))
          (unreachable))
        (drop) (local.set $s (i32.add (local.get $s)))
        (br $done))
      (unreachable))
     (local.set $s (i32.add (local.get $s))))
    (local.get $s))
  (func $deep (export "deep") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (call $throw (i32.const 42))))
    (block $h (result i32)
      (try_table (result i32) (catch $t $h)
        (return (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1))))))
    )
    (call $throw (i32.add (i32.const 1)))
    (i32.const 0))
  (func (export "escape") (call $throw (i32.const 1)))
)
(assert_return (invoke $b "catch" (i32.const 3)) (i32.const 3))
(assert_return (invoke $b "keep" (i32.const 9)) (i32.const 9))
(assert_return (invoke $b "again") (i32.const 9))
(assert_return (invoke $b "again_at") (i32.const 9))
(assert_return (invoke $b "ext" (ref.extern 4)) (ref.extern 4))
(assert_return (invoke $b "nest" (i32.const 2)) (i32.const 102))
(assert_return (invoke $b "nest" (i32.const 3)) (i32.const 105))
(assert_exception (invoke $b "deep" (i32.const 4)))
(assert_exception (invoke $b "escape"))
(assert_return (invoke $b "again") (i32.const 9))
"""

#: A list, a structure that refers to itself, arrays and a host value that instances share.
OBJECTS = """
(module $a
  (rec
    (type $node (sub (struct (field $v (mut i32)) (field $next (mut (ref null $node))))))
    (type $leaf
      (sub $node (struct (field (mut i32)) (field (mut (ref null $node))) (field f64)))))
  (type $bytes (array (mut i8)))
  (type $refs (array (mut anyref)))
  (type $fn (func (param (ref null $node)) (result i32)))
  (global $g (export "g") (mut (ref null $node)) (ref.null $node))
  (global $any (export "any") (mut anyref) (ref.i31 (i32.const 77)))
  (table $t (export "t") 4 (ref null $node))
  (table $f (export "f") 2 funcref)
  (func $len (export "len") (type $fn) (local $n i32)
    (block $out (loop $l (br_if $out (ref.is_null (local.get 0)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (local.set 0 (struct.get $node $next (local.get 0))) (br $l)))
    (local.get $n))
  (elem (table $f) (i32.const 0) func $len)
)
(register "a" $a)
(module $b
  (rec
    (type $node (sub (struct (field $v (mut i32)) (field $next (mut (ref null $node))))))
    (type $leaf
      (sub $node (struct (field (mut i32)) (field (mut (ref null $node))) (field f64)))))
  (type $bytes (array (mut i8)))
  (type $refs (array (mut anyref)))
  (type $fn (func (param (ref null $node)) (result i32)))
  (import "a" "g" (global $g (mut (ref null $node))))
  (import "a" "any" (global $any (mut anyref)))
  (import "a" "t" (table $t 4 (ref null $node)))
  (import "a" "f" (table $f 2 funcref))
  (import "a" "len" (func $len (type $fn)))
  (elem declare func $len)
  (func (export "push") (param i32) (result i32)
    (global.set $g (struct.new $node (local.get 0) (global.get $g)))
    (table.set $t (i32.and (local.get 0) (i32.const 3)) (global.get $g))
    (call $len (global.get $g)))
  (func (export "leaf") (result i32) (local $l (ref null $leaf))
    (local.set $l (struct.new $leaf (i32.const 9) (global.get $g) (f64.const 1.5)))
    (struct.set $leaf 1 (local.get $l) (local.get $l))
    (global.set $any (local.get $l))
    (i32.const 5))
  (func (export "test") (result i32)
    (block $b (result (ref $leaf))
      (drop (br_on_cast $b anyref (ref $leaf) (global.get $any)))
      (return (i32.const -1)))
    (block $c (param (ref $leaf)) (result i32)
      (struct.get $leaf 0)))
  (func (export "self") (result i32)
    (ref.eq (struct.get $leaf 1 (ref.cast (ref $leaf) (global.get $any))) (ref.cast eqref
      (global.get $any))))
  (func (export "callref") (result i32) (call_ref $fn (global.get $g) (ref.func $len)))
  (func (export "callind") (result i32) (call_indirect $f (type $fn) (global.get $g) (i32.const 0)))
  (func (export "arr") (param externref) (result i32) (local $a (ref null $refs)) (local $c
    (ref null $bytes))
    (local.set $c (array.new_fixed $bytes 3 (i32.const 250) (i32.const 2) (i32.const 3)))
    (local.set $a (array.new_fixed $refs 4 (local.get $c) (any.convert_extern (local.get 0))
      (global.get $g) (ref.i31 (i32.const -5))))
    (array.set $refs (local.get $a) (i32.const 2) (local.get $a))
    (global.set $any (local.get $a))
    (array.get_u $bytes (local.get $c) (i32.const 0)))
  (func (export "arr2") (result externref) (local $a (ref null $refs))
    (local.set $a (ref.cast (ref $refs) (global.get $any)))
    (extern.convert_any (array.get $refs (local.get $a) (i32.const 1))))
  (func (export "arr3") (result i32) (local $a (ref null $refs))
    (local.set $a (ref.cast (ref $refs) (array.get $refs (ref.cast (ref $refs)
      (global.get $any)) (i32.const 2))))
    (i31.get_s (ref.cast (ref i31) (array.get $refs (local.get $a) (i32.const 3)))))
)
(assert_return (invoke $b "push" (i32.const 1)) (i32.const 1))
(assert_return (invoke $b "push" (i32.const 2)) (i32.const 2))
(assert_return (invoke $b "push" (i32.const 3)) (i32.const 3))
(assert_return (invoke $b "leaf") (i32.const 5))
(assert_return (invoke $b "test") (i32.const 9))
(assert_return (invoke $b "self") (i32.const 1))
(assert_return (invoke $b "callref") (i32.const 3))
(assert_return (invoke $b "callind") (i32.const 3))
(assert_return (invoke $b "arr" (ref.extern 8)) (i32.const 250))
(assert_return (invoke $b "arr2") (ref.extern 8))
(assert_return (invoke $b "arr3") (i32.const -5))
"""

#: What older toolchains write of exceptions.
OLDER = """
(module $a
  (tag $t (export "t") (param i32))
  (func (export "throw") (param i32) (throw $t (local.get 0)))
)
(register "a" $a)
(module $b
  (import "a" "t" (tag $t (param i32)))
  (import "a" "throw" (func $throw (param i32)))
  (tag $own)
  (func (export "catch") (param i32) (result i32)
    try (result i32) (call $throw (local.get 0)) (i32.const -1) catch $t (nop) catch_all
      (i32.const -2) end)
  (func (export "rethrow") (param i32) (result i32)
    try (result i32)
      try (result i32) (call $throw (local.get 0)) (i32.const -1)
      catch_all (nop) rethrow 0 end
    catch $t (i32.const 100) (i32.add) end)
  (func (export "delegate") (param i32) (result i32)
    try $l (result i32)
      try (result i32) (call $throw (local.get 0)) (i32.const -1)
      catch_all
        try (result i32) throw $own delegate $l
      end
    catch $own (i32.const 55) end)
  (func (export "outer") (param i32) (result i32)
    try $x (result i32)
      (call $throw (i32.const 1)) (i32.const 0)
      catch $t
        drop
        try (result i32)
          (call $throw (i32.const 8)) (i32.const 2)
        catch $t
          drop
          (i32.const 9)
          drop
          rethrow $x
        end
    end)
)
(assert_return (invoke $b "catch" (i32.const 4)) (i32.const 4))
(assert_return (invoke $b "rethrow" (i32.const 4)) (i32.const 104))
(assert_return (invoke $b "delegate" (i32.const 4)) (i32.const 55))
(assert_exception (invoke $b "outer" (i32.const 4)))
"""

#: What is beyond the standard: atomics, wide arithmetic, and pages of one byte.
BEYOND = """
(module $a
  (memory (export "m") 1 1 (pagesize 1))
  (memory (export "s") 1 2 shared))
(register "a" $a)
(module $b
  (import "a" "m" (memory $m 1 1 (pagesize 1)))
  (import "a" "s" (memory $s 1 2 shared))
  (func (export "atomics") (result i32)
    (i32.atomic.store $s (i32.const 8) (i32.const 5))
    (drop (i32.atomic.rmw.add $s (i32.const 8) (i32.const 6)))
    (drop (i32.atomic.rmw8.cmpxchg_u $s (i32.const 8) (i32.const 11) (i32.const 20)))
    (atomic.fence)
    (drop (memory.atomic.notify $s (i32.const 8) (i32.const 1)))
    (i32.add (memory.atomic.wait32 $s (i32.const 8) (i32.const 20) (i64.const 10))
      (i32.atomic.load $s (i32.const 8))))
  (func (export "wide") (param i64 i64) (result i64 i64)
    (i64.mul_wide_u (local.get 0) (local.get 1)))
  (func (export "wide2") (param i64 i64) (result i64 i64)
    (i64.add128 (local.get 0) (local.get 1) (local.get 0) (local.get 1)))
  (func (export "bytes") (result i32)
    (i32.store8 $m (i32.const 0) (i32.const 200)) (i32.add (memory.size $m) (i32.load8_u $m
      (i32.const 0))))
)
(assert_return (invoke $b "atomics") (i32.const 22))
(assert_return (invoke $b "wide" (i64.const -1) (i64.const -1)) (i64.const 1) (i64.const -2))
(assert_return (invoke $b "wide2" (i64.const -1) (i64.const 1)) (i64.const -2) (i64.const 3))
(assert_return (invoke $b "bytes") (i32.const 201))
"""

#: Tables, memories and globals of several kinds, functions by reference, and tail calls.
MIXED = """
(module $a
  (type $f (func (param i32) (result i32)))
  (table $t (export "t") i64 2 8 (ref null $f))
  (memory $m1 (export "m1") i64 1 3)
  (memory $m2 (export "m2") 0 2)
  (global $v (export "v") (mut v128) (v128.const i32x4 1 2 3 4))
  (global $fr (export "fr") (mut (ref null $f)) (ref.null $f))
  (func $inc (export "inc") (type $f) (global.set $v (i32x4.add (global.get $v)
    (v128.const i32x4 1 1 1 1))) (i32.add (local.get 0) (i32.const 1)))
  (func (export "tail") (param i32) (result i32) (return_call_ref $f (local.get 0)
    (ref.as_non_null (global.get $fr))))
  (func (export "grow") (result i64) (drop (memory.grow $m2 (i32.const 1))) (memory.grow $m1
    (i64.const 1)))
  (elem declare func $inc)
)
(register "a" $a)
(module $b
  (type $f (func (param i32) (result i32)))
  (import "a" "t" (table $t i64 2 8 (ref null $f)))
  (import "a" "m1" (memory $m1 i64 1 3))
  (import "a" "m2" (memory $m2 0 2))
  (import "a" "v" (global $v (mut v128)))
  (import "a" "fr" (global $fr (mut (ref null $f))))
  (import "a" "inc" (func $inc (type $f)))
  (import "a" "tail" (func $tail (type $f)))
  (import "a" "grow" (func $grow (result i64)))
  (data $d "hello")
  (elem $e (ref null $f) (ref.func $double) (ref.func $inc))
  (func $double (export "double") (type $f) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "setup") (result i64)
    (global.set $fr (ref.func $double))
    (table.init $t $e (i64.const 0) (i32.const 0) (i32.const 2))
    (elem.drop $e)
    (drop (table.grow $t (ref.func $inc) (i64.const 2)))
    (call $grow)
    (memory.init $m1 $d (i64.const 65536) (i32.const 0) (i32.const 5))
    (data.drop $d)
    (memory.copy $m2 $m1 (i32.const 10) (i64.const 65536) (i32.const 5))
    (memory.fill $m1 (i64.const 65536) (i32.const 120) (i64.const 2)))
  (func (export "tails") (param i32) (result i32) (return_call $tail (local.get 0)))
  (func (export "sum") (result i32)
    (i32.add (i32.load8_u $m2 (i32.const 12)) (i32.load8_u $m1 (i64.const 65537))))
  (func (export "refs") (param i32) (result i32) (local $r (ref null $f))
    (local.set $r (table.get $t (i64.const 3)))
    (call_ref $f (call_ref $f (local.get 0) (local.get $r)) (table.get $t (i64.const 0))))
  (func (export "vec") (param v128) (result v128) (local $x v128)
    (local.set $x (i32x4.mul (local.get 0) (global.get $v)))
    (i8x16.shuffle 0 1 2 3 4 5 6 7 24 25 26 27 28 29 30 31 (local.get $x) (global.get $v)))
  (func (export "size") (result i64) (table.size $t))
)
(assert_return (invoke $b "setup") (i64.const 1))
(assert_return (invoke $b "tails" (i32.const 21)) (i32.const 42))
(assert_return (invoke $b "sum") (i32.const 228))
(assert_return (invoke $b "refs" (i32.const 3)) (i32.const 8))
(assert_return (invoke $b "vec" (v128.const i32x4 2 2 2 2)) (v128.const i32x4 4 6 4 5))
(assert_return (invoke $b "size") (i64.const 4))
(assert_return (get $a "v") (v128.const i32x4 2 3 4 5))
"""


@pytest.mark.parametrize("script", [EXCEPTIONS, OBJECTS, OLDER, BEYOND, MIXED])
@each_path
def test_instances_go_on_together_wherever_they_are_moved(path: str, script: str) -> None:
    commands = parse_script(script)
    plain = run_commands(commands, "script.wast", path)
    moved = run_commands(commands, "script.wast", path, every(1))
    if path in IN_PYTHON:
        assert moved.failures == []
        assert moved.stops == moved.boundaries
    else:
        assert {each.line for each in moved.failures} <= {each.line for each in plain.failures}
