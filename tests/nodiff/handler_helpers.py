"""Programs that throw and handle exceptions in the middle of much else. Each exports ``f``."""

from __future__ import annotations

#: What handles exceptions, in loops in each other and in what handles others; recursive, so that
#: many frames wait in it.
NESTED = """(module (tag $e (param i32 i64)) (tag $f)
  (func $g (param $n i32) (result i32) (local $i i32) (local $s i32)
    (if (i32.eqz (local.get $n)) (then (throw $f)))
    (loop $l
      (local.set $s (i32.add (local.get $s)
        (block $all (result i32)
          (block $none
            (block $h (result i32 i64)
              (try_table (catch $e $h) (catch_all $none)
                (loop $m
                  (try_table (catch $f $m)
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (if (i32.and (local.get $i) (i32.const 1))
                      (then (drop (call $g (i32.sub (local.get $n) (i32.const 1))))))
                    (throw $e (local.get $i) (i64.const 5)))))
              (unreachable))
            (i32.wrap_i64) (i32.add) (br $all))
          (i32.const 100))))
      (br_if $l (i32.lt_s (local.get $i) (i32.const 4))))
    (i32.add (local.get $s) (local.get $n)))
  (func (export "f") (param i32) (result i32) (call $g (local.get 0))))"""

#: What is delegated past what handles it, out of loops; to the function; what is thrown again by
#: an arm around.
DELEGATED = """(module (tag $e (param i32)) (tag $f)
  (func $g (param $n i32) (loop $l
    (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $l (local.get $n)))
    (throw $e (i32.const 7)))
  (func $out (param $n i32)
    (try (do (try (do (call $g (local.get $n))) (delegate 1))) (catch_all unreachable)))
  (func $f (param $n i32) (result i32)
    (try $a (result i32)
      (do
        (try $b (result i32)
          (do
            (loop $l (result i32)
              (try (result i32)
                (do
                  (if (i32.and (local.get $n) (i32.const 1))
                    (then (call $g (local.get $n))) (else (call $out (local.get $n))))
                  (i32.const 1))
                (delegate $a))))
          (catch_all (i32.const 2))))
      (catch $e
        (try (result i32)
          (do (call $g (i32.const 2)) (i32.const 3))
          (catch $f (i32.const 4))
          (catch $e (local.set $n)
            (try (result i32) (do (rethrow $a)) (catch_all (i32.const 30))))
          (catch_all (i32.const 5)))
        (i32.add))))
  (func (export "f") (param i32) (result i32) (call $f (local.get 0))))"""

#: Functions that call nothing, in which all is caught.
ALONE = """(module (tag $e (param i32)) (tag $f)
  (func $older (param $n i32) (result i32) (local $r i32)
    (try (result i32)
      (do
        (try (do (if (local.get $n) (then (throw $e (local.get $n))) (else (throw $f))))
          (catch $f (local.set $r (i32.const 4)) (rethrow 0)))
        (i32.const 0))
      (catch $e (i32.add (i32.const 1)))
      (catch_all (local.get $r))))
  (func $traps (param $n i32) (try (do (throw $f)) (catch_all (unreachable))))
  (func $newer (param $n i32) (result i32)
    (block $h (result i32)
      (try_table (catch $e $h) (throw $e (local.get $n))) (unreachable)))
  (func (export "traps") (call $traps (i32.const 1)))
  (func (export "f") (param i32) (result i32)
    (i32.add (call $older (local.get 0))
      (i32.add (call $older (i32.const 0)) (call $newer (local.get 0))))))"""

#: References to exceptions that cannot be null, where frames are saved and nobody looks at them.
NEVER_NULL = """(module (tag $e (param i32))
  (func $thrown (param $n i32) (result i32 (ref exn))
    (loop (try_table (catch_ref $e 1) (throw $e (local.get $n)))) (unreachable))
  (func $again (param $x (ref exn)) (param $n i32) (result (ref exn) (ref null noexn))
    (local $y (ref exn))
    (local.set $y (local.get $x))
    (loop $l
      (local.set $y (local.get $x))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (drop (call $thrown (i32.const 3))) (drop)
    (local.get $y) (ref.null noexn))
  (func (export "f") (param i32) (result i32) (local $k (ref exn))
    (call $thrown (local.get 0)) (local.set $k) (local.set 0)
    (block $h (result i32 (ref exn))
      (try_table (catch_ref $e $h)
        (call $again (local.get $k) (local.get 0)) (drop) (throw_ref))
      (unreachable))
    (drop)))"""
