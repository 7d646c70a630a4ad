"""Runs with probes that log where they fire, for comparisons of both paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from chiwawa import At, HostError, Instance, Instruments, Match, Module, Probe, Stopped, Trap, api
from chiwawa.execution import GRANULARITIES
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.state.numerics import f32_bits, f64_bits
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.types import F32, F64, ValType

both_granularities = pytest.mark.parametrize("granularity", GRANULARITIES)

#: A function without loops and calls, one with both, code that nothing reaches, and a trap.
TEXT = """(module
  (memory (export "mem") 1)
  (global $g (export "g") (mut i32) (i32.const 100))
  (global $k i64 (i64.const -1))
  (func $plain (export "plain") (param i32 i32) (result i32)
    (i32.store (i32.const 8) (local.get 0))
    (i32.add (local.get 0) (local.get 1)))
  (func $sum (export "sum") (param $n i32) (result i32) (local $total i32)
    (block $done
      (loop $again
        (br_if $done (i32.eqz (local.get $n)))
        (if (i32.and (local.get $n) (i32.const 1))
          (then (local.set $total (call $plain (local.get $total) (local.get $n))))
          (else (global.set $g (i32.add (global.get $g) (local.get $n)))))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $again)))
    (local.get $total)
    (return)
    (drop (i32.const 77))
    (i32.store8 (i32.const 0) (i32.const 1)))
  (func (export "first") (result i32)
    (i32.div_u (i32.const 1) (i32.load (i32.const 8))))
  (func $fib (export "fib") (export "fibonacci") (param $n i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
      (then (local.get $n))
      (else
        (i32.add
          (call $fib (i32.sub (local.get $n) (i32.const 1)))
          (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
)
"""

#: Values of all types.
VALUES = """(module
  (memory (export "mem") 1)
  (global $g32 (mut i32) (i32.const -1))
  (global $g64 (mut i64) (i64.const -2))
  (global $f32 (mut f32) (f32.const -nan:0x200001))
  (global $f64 (mut f64) (f64.const nan:0x4000000000001))
  (global $fun (mut funcref) (ref.func $all))
  (global $ext (mut externref) (ref.null extern))
  (func $all (export "all")
    (param $a i32) (param $b i64) (param $c f32) (param $d f64)
    (param $e funcref) (param $f externref)
    (result i32 i64 f32 f64 funcref externref)
    (local i32 i64 f32 f64 funcref externref)
    (local.get $a) (local.get $b) (local.get $c) (local.get $d) (local.get $e) (local.get $f)
    (nop))
  (func (export "fixed") (result i32)
    (i32.add (global.get $fixed) (i32.const 1)))
  (global $fixed i32 (i32.const 6))
  (func (export "bools") (param i32) (result i32) (local $b i32)
    (local.set $b (i32.eqz (local.get 0)))
    (i32.lt_u (local.get 0) (i32.const 5))
    (global.set $g32 (i32.eq (local.get 0) (local.get 0)))
    (nop)
    (i32.and (local.get $b)))
  (func (export "bits") (result i32 i64)
    (i32.reinterpret_f32 (global.get $f32)) (nop)
    (i64.reinterpret_f64 (global.get $f64)) (nop))
  (func (export "store") (param i32) (result i32)
    (i32.store (i32.const 16) (local.get 0))
    (i32.load (i32.const 16))
    (nop)
    (i32.add (i32.load8_u (i32.const 17))))
)
"""
#: NaNs with bits of their own.
NAN32, NAN64 = 0xFF80_0001, 0x7FF4_0000_0000_0001

#: Where a probe fired, and what it saw there, in plain data.
Firing = tuple[Any, ...]


def offsets(module: Module, function: int, op: str) -> list[int]:
    """The code offsets of the instructions of that name, in their order."""
    imported = len(module.func_typeidxs()) - len(module.funcs)
    return [i.offset for i in module.funcs[function - imported].body if i.op.name == op]


def comparable(value: Any, valtype: ValType) -> Any:
    """A value by its bits."""
    if valtype is F32:
        return f32_bits(value)
    if valtype is F64:
        return f64_bits(value)
    return ("function", value.index) if isinstance(value, Function) else (value, type(value))


def seen(at: At) -> Firing:
    return (
        at.function,
        at.offset,
        at.op,
        tuple(map(comparable, at.operands, at.operand_types)),
        tuple(map(comparable, at.locals, at.local_types)),
        tuple(map(comparable, at.globals, (g.type.type for g in at.instance.globals))),
    )


def place(at: At) -> tuple[int, int]:
    return at.function, at.offset


def start(
    module: Module,
    name: str,
    args: Sequence[Any] = (),
    path: str = "interp",
    granularity: str = "safepoint",
    imports: Imports | None = None,
    instruments: Instruments | None = None,
) -> Run:
    """A run, not begun, whose safepoints are counted."""
    run = api.start(
        module,
        name,
        args,
        imports,
        path=path,
        granularity=granularity,
        instruments=instruments,
    )
    run.requests.count_from(0, None)
    return run


def passed(run: Run) -> int:
    """How many safepoints the run has passed."""
    assert run.requests.passed is not None
    return run.requests.passed


def logging(run: Run, match: Match, log: list[Any], what: Callable[[At], Any] = seen) -> Probe:
    """A probe that logs what it sees."""
    probe = run.instance.probe(match, lambda at: log.append(what(at)))
    assert isinstance(probe, Probe)
    return probe


def ended(run: Run) -> tuple[Any, ...]:
    """How a run ends that goes on whenever it has been stopped."""
    try:
        while not run.go():
            run.requests.take()
    except Trap as trap:
        return "trap", trap.message, trap.backtrace
    except HostError as error:
        return "host error", str(error)
    return "returned", *run.results


def fired(
    module: Module,
    name: str,
    args: Sequence[Any],
    match: Match,
    path: str = "interp",
    granularity: str = "safepoint",
    what: Callable[[At], Any] = seen,
) -> list[Any]:
    """What a probe at ``match`` sees of a whole run."""
    run = start(module, name, args, path, granularity)
    log: list[Any] = []
    logging(run, match, log, what)
    ended(run)
    return log


def through(instance: Instance, name: str, args: Sequence[Any] = ()) -> list[Any]:
    """The results of a call that probes stop, which is gone on with as often as that."""
    try:
        return instance.invoke(name, args)
    except Stopped as stopped:
        run, reasons = stopped.run, stopped.reasons
    while not run.go():
        reasons += run.requests.take()
    assert set(reasons) == {"stop"}
    return run.results
