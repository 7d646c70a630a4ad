"""A small program in the middle of its loop, for listings of checkpoints and comparisons."""

from __future__ import annotations

import hashlib

from chiwawa.source import load
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.numerics import f64_from_bits
from chiwawa_runtime.state.snapshot import (
    Carried,
    Frame,
    FuncIdx,
    GlobalImage,
    PlannedCall,
    Snapshot,
    TableImage,
)
from chiwawa_runtime.state.types import (
    EXTERNREF,
    F64,
    FUNCREF,
    I32,
    I64,
    PAGE,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
)

MODULE = load("""
(module $counter
  (import "host" "log" (func $log (param i32)))
  (memory $ram 1 4)
  (table $calls 3 funcref)
  (global $total (mut i64) (i64.const 0))
  (global f64 (f64.const nan))
  (elem $fs func $sum)
  (func $sum (param $n i32) (result i32) (local $acc i32) (local f64)
    (loop $next
      (local.set $acc (i32.add (local.get $acc) (local.get $n)))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $acc))
  (func $main (export "main") (result i32)
    (i32.add (i32.const 7) (call $sum (i32.const 100)))))
""")
NAN = f64_from_bits(0xFFF8000000000001)


def stopped() -> Snapshot:
    """The module in the middle of its loop."""
    memory = bytearray(2 * PAGE)
    memory[4:9] = b"hello"
    return Snapshot(
        module_name="counter",
        module_hash=hashlib.sha256(MODULE.binary).digest(),
        granularity="safepoint",
        safepoints=42,
        frames=(
            Frame(1, 0x07, ((I32, 58), (I32, 0xFFFFFFFF), (F64, NAN)), ()),
            Frame(2, 0x06, (), ((I32, 7),)),
        ),
        plan=(PlannedCall(2, ()), PlannedCall(0, ((I32, 5), (EXTERNREF, Carried("lamp"))))),
        memories=(MemoryImage.of(MemoryType(Limits(1, 4)), memory),),
        globals=(
            GlobalImage(GlobalType(I64, True), 4242),
            GlobalImage(GlobalType(F64, False), float("inf")),
        ),
        tables=(TableImage(TableType(Limits(3), FUNCREF), (None, FuncIdx(1), None)),),
        dropped_elems=(True,),
        dropped_datas=(),
        wasi=b"12345",
        host=b"a pickle that is never loaded",
    )
