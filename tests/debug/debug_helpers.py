"""A program to debug, and what a session with it comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: ``fill`` with 3 takes 16 instructions to the first return of $store, 19 more for each round.
DEMO = """
(module $demo
  (memory $ram 1)
  (global $total (mut i32) (i32.const 0))
  (func $store (param $at i32) (param $value i32)
    (i32.store (local.get $at) (local.get $value))
    (global.set $total (i32.add (global.get $total) (i32.const 1))))
  (func $fill (export "fill") (param $n i32) (result i32)
    (loop $again
      (call $store (i32.mul (local.get $n) (i32.const 4)) (local.get $n))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (local.get $n)))
    (global.get $total))
  (func $fib (export "fib") (param $n i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
      (then (local.get $n))
      (else
        (i32.add
          (call $fib (i32.sub (local.get $n) (i32.const 1)))
          (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
  (func $last (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (call $fib (i32.const 3)))
      (else (i32.const 0))))
  (func (export "tail") (result i32) (i32.add (i32.const 40) (call $last (i32.const 1))))
  (func (export "nothing"))
  (func $spin (export "spin") (loop $on (br $on)))
  (func (export "divide") (result i32)
    (i32.store8 (i32.const 3) (i32.const 7))
    (i32.div_u (i32.const 1) (i32.load (i32.const 100)))))
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    status: int
    lines: list[str]
    err: str


Debug = Callable[..., Outcome]
