"""A module that calls its host, and runs of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chiwawa import Module, Run, start

TEXT = """(module
  (import "h" "f" (func $f (param i32) (result i32)))
  (memory (export "m") 1)
  (global $calls (mut i32) (i32.const 0))
  (func $inner (param i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.add (i32.const 5) (call $f (local.get 0))))
  (func (export "one") (param i32) (result i32)
    (i32.add (i32.const 10) (call $f (local.get 0))))
  (func $two (export "two") (param i32) (result i32)
    (i32.add (i32.const 10) (call $inner (local.get 0))))
  (func (export "three") (param i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (call $two (local.get 0))))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get $sum))
  (func (export "traps") (result i32) (i32.load (i32.const -1)))
  (func (export "plain") (param i32) (result i32) (local.get 0))
  (func (export "count") (param $n i32) (result i32) (local $i i32)
    (loop $next
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (i32.load (i32.const 0)))
  (export "f" (func $f)))
"""


def begun(module: Module, path: str, name: str, args: Any, f: Callable[..., Any]) -> Run:
    return start(module, name, args, {"h": {"f": f}}, path=path)


def calm(number: int) -> int:
    return number


def caught(act: Callable[[], Any]) -> BaseException | None:
    try:
        act()
    except BaseException as error:
        return error
    return None


#: Exports, their arguments, and what they return where the host returns what it is given.
CALLS = [("one", [3], [13]), ("two", [3], [18]), ("three", [2], [33]), ("f", [3], [3])]
#: Both ways to write a run.
WRITES: list[Callable[[Run], Any]] = [Run.checkpoint, Run.snapshot]
