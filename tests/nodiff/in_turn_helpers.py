"""Three modules whose functions call each other in turn through a table, with references, vectors,
exceptions, and so many locals that machine code has them in memory."""

import chiwawa

_MANY = " ".join(["i64"] * 300)
_FIRST = """(module $a
  (import "h" "t" (func $tick (param externref i32) (result externref)))
  (tag $e (export "e") (param i32))
  (type $f (func (param externref v128 i32) (result externref v128 i32)))
  (table (export "t") 6 funcref)
  (func (export "nothing"))
  (func $fa (param externref v128 i32) (result externref v128 i32) (local MANY)
    (local externref funcref)
     (local.set 200 (i64.const 12345)) (local.set 303 (local.get 0)) (local.set 304
       (ref.func $fa))
     (if (i32.eqz (local.get 2)) (then (return (call $tick (local.get 0) (i32.const 1))
       (local.get 1) (i32.const 7))))
     (local.get 303) (local.get 1) (i32.sub (local.get 2) (i32.const 1))
     (call_indirect (type $f) (i32.const 1))
     (local.set 2) (local.set 1) (local.set 0)
     (call $tick (local.get 0) (i32.const 3)) (i32x4.add (local.get 1) (i32x4.splat
       (i32.const 1)))
     (i32.add (local.get 2) (i32.wrap_i64 (local.get 200))))
  (func $catch (param i32) (result i32)
     (block $h (result i32)
        (try_table (result i32) (catch $e $h)
           (drop (call_indirect (param i32) (result i32) (local.get 0) (i32.const 3)))
           (i32.const 1))
        (return)))
  (func (export "catches") (param i32) (result i32)  (i32.add (i32.const 100) (call $catch
    (local.get 0))))
  (elem (i32.const 0) $fa)
  (func (export "go") (param externref i32) (result externref i32)
     (local v128) (local externref)
     (call_indirect (type $f) (local.get 0) (v128.const i32x4 1 2 3 4) (local.get 1)
       (i32.const 1))
     (local.set 1) (local.set 2) (local.set 3)
     (local.get 3) (i32.add (local.get 1) (i32x4.extract_lane 3 (local.get 2)))))"""
_SECOND = """(module $b
  (import "h" "t" (func $tick (param externref i32) (result externref)))
  (import "a" "nothing" (func))
  (import "a" "t" (table 6 funcref))
  (import "a" "e" (tag $e (param i32)))
  (type $f (func (param externref v128 i32) (result externref v128 i32)))
  (func $fb (param externref v128 i32) (result externref v128 i32) (local MANY)
     (local.set 150 (i64.const 3))
     (if (i32.eqz (local.get 2)) (then (return (call $tick (local.get 0) (i32.const 2))
       (local.get 1) (i32.const 9))))
     (loop $l (local.set 150 (i64.sub (local.get 150) (i64.const 1))) (br_if $l (i32.wrap_i64
       (local.get 150))))
     (local.get 0) (i32x4.add (local.get 1) (i32x4.splat (i32.const 10))) (i32.sub
       (local.get 2) (i32.const 1))
     (call_indirect (type $f) (i32.const 2)))
  (func $throws (param i32) (result i32)
     (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
     (call_indirect (param i32) (result i32) (i32.const 5) (i32.const 4)))
  (elem (i32.const 1) $fb) (elem (i32.const 3) $throws))"""
_THIRD = """(module $c
  (import "h" "t" (func $tick (param externref i32) (result externref)))
  (import "a" "nothing" (func))
  (import "a" "t" (table 6 funcref))
  (import "a" "e" (tag $e (param i32)))
  (type $f (func (param externref v128 i32) (result externref v128 i32)))
  (func $fc (param externref v128 i32) (result externref v128 i32) (local externref)
     (local.set 3 (local.get 0))
     (if (i32.eqz (local.get 2)) (then (return (call $tick (local.get 0) (i32.const 5))
       (local.get 1) (i32.const 11))))
     (local.get 3) (i32x4.mul (local.get 1) (i32x4.splat (i32.const 3))) (i32.sub
       (local.get 2) (i32.const 1))
     (call_indirect (type $f) (i32.const 0)))
  (func $throw (param i32) (result i32) (loop) (throw $e (i32.const 42)))
  (elem (i32.const 2) $fc) (elem (i32.const 4) $throw))"""
IN_TURN = [chiwawa.load(each.replace("MANY", _MANY)) for each in (_FIRST, _SECOND, _THIRD)]
