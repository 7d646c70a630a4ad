"""Memories and tables with 64-bit addresses, beside others, stopped everywhere on all paths."""

from __future__ import annotations

import pytest

from chiwawa import Wasi, api
from chiwawa.source import load
from chiwawa_runtime import checkpoint
from chiwawa_runtime.checkpoint.layout import DIGEST_SIZE
from chiwawa_runtime.errors import CheckpointError, ChiwawaError, ResourceError, Trap
from chiwawa_runtime.state.types import I64, Limits
from tests.nodiff.harness_helpers import Call, both, check, compare_bytes, cross, walk
from tests.path_helpers import PATHS, each_path
from tests.unit.checkpoint.snapshot_helpers import with_digest

#: Words are copied between memories of either kind, and functions called through either table.
BOTH = """
(memory $wide i64 1 0x1_0000_0000_0000) (memory $narrow 1 4)
(table $calls i64 4 0xFFFF_FFFF_FFFF_FFFF funcref) (table $few 3 10 funcref)
(elem (table $calls) (i64.const 1) func $twice $less)
(elem $passive func $less $twice)
(data (memory $wide) (i64.const 0xFFF0) "\\07\\00\\00\\00\\00\\00\\00\\01")
(data $bytes "abcdefgh")
(type $op (func (param i64) (result i64)))
(func $twice (type $op) (i64.mul (local.get 0) (i64.const 2)))
(func $less (type $op) (i64.sub (local.get 0) (i64.const 1)))
(func (export "f") (param $n i64) (result i64) (local $at i64) (local $sum i64)
  (local.set $at (i64.const 0xFFF0))
  (drop (memory.grow $wide (i64.const 1)))
  (drop (table.grow $calls (ref.null func) (i64.const 2)))
  (table.init $few $passive (i32.const 0) (i32.const 0) (i32.const 2))
  (table.copy $calls $few (i64.const 4) (i32.const 0) (i32.const 2))
  (memory.init $wide $bytes (i64.const 0x1_0000) (i32.const 0) (i32.const 8))
  (loop $again
    (local.set $sum (i64.add (local.get $sum)
      (call_indirect $calls (type $op) (i64.load $wide (local.get $at))
        (i64.add (i64.const 1) (i64.and (local.get $n) (i64.const 1))))))
    (memory.copy $narrow $wide (i32.wrap_i64 (local.get $n)) (local.get $at) (i32.const 8))
    (memory.copy $wide $narrow (i64.add (local.get $at) (i64.const 8))
      (i32.wrap_i64 (local.get $n)) (i32.const 8))
    (i64.store $wide offset=8 (local.get $at)
      (i64.add (i64.load $wide offset=8 (local.get $at)) (local.get $n)))
    (local.set $at (i64.add (local.get $at) (i64.const 8)))
    (br_if $again (i32.wrap_i64 (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
  (memory.fill $wide (i64.const 8) (i32.const 3) (i64.const 5))
  (i64.add (local.get $sum) (i64.add (memory.size $wide) (table.size $calls))))
"""


def test_memories_of_both_kinds_are_the_same_at_every_safepoint() -> None:
    call = Call(load(BOTH), "f", (12,))
    expected = both(call)
    assert expected.kind == "returned"
    for stop in compare_bytes(call, range(1, (expected.safepoints or 0) + 1)):
        cross(call, stop, expected)
    check(call)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("(drop (i32.load8_u (i64.const 0x1_0000_0000)))", "out of bounds memory access"),
        ("(drop (i64.load offset=0xFFFF_FFFF_FFFF_FFFF (i64.const 1)))", "out of bounds memory"),
        (
            "(i64.store offset=0xFFFF_FFFF_FFFF_FFF8 (i64.const 8) (i64.const 1))",
            "out of bounds memory access",
        ),
        ("(i32.store8 (i64.const -1) (i32.const 1))", "out of bounds memory access"),
        ("(f32.store (i64.const -4) (f32.const 1))", "out of bounds memory access"),
        ("(f64.store offset=8 (i64.const -8) (f64.const nan))", "out of bounds memory access"),
        ("(memory.fill (i64.const 1) (i32.const 0) (i64.const -1))", "out of bounds memory"),
        ("(memory.copy (i64.const -1) (i64.const 0) (i64.const 1))", "out of bounds memory"),
        ("(memory.init 0 (i64.const -1) (i32.const 0) (i32.const 1))", "out of bounds memory"),
        ("(drop (table.get (i64.const -1)))", "out of bounds table access"),
        ("(table.set (i64.const 0x1_0000_0000) (ref.null func))", "out of bounds table access"),
        ("(table.fill (i64.const 1) (ref.null func) (i64.const -1))", "out of bounds table access"),
        ("(table.copy (i64.const 0) (i64.const -1) (i64.const 2))", "out of bounds table access"),
        ("(call_indirect (i64.const 0x1_0000_0000))", "undefined element"),
        ("(call_indirect (i64.const -1))", "undefined element"),
        ("(call_indirect (i64.const 1))", "uninitialized element 1"),
    ],
)
def test_no_address_wraps_round(body: str, message: str) -> None:
    source = f"""(memory i64 1) (table i64 2 funcref) (data $d "abc")
        (elem (table 0) (i64.const 0) func $f)
        (func $f (export "f") {body})"""
    ending = both(Call(load(source), "f"))
    assert ending.kind == "trap"
    assert ending.detail[0].startswith(message)


@each_path
def test_what_cannot_grow_says_so_by_a_64_bit_minus_one(path: str) -> None:
    source = """(memory i64 1 3) (table i64 1 3 funcref)
        (func (export "f") (result i64 i64 i64)
          (memory.grow (i64.const 3)) (table.grow (ref.null func) (i64.const 0x1_0000_0000))
          (memory.grow (i64.const -1)))"""
    assert api.instantiate(load(source), path=path).invoke("f", []) == [-1] * 3


@each_path
def test_a_minimum_that_no_machine_has_is_refused_in_a_line(path: str) -> None:
    with pytest.raises((ResourceError, ChiwawaError)) as caught:
        api.instantiate(load("(memory i64 0x1_0000_0000_0000)"), path=path).memories[0].size()
    assert "\n" not in str(caught.value)
    with pytest.raises(ChiwawaError) as caught:
        api.instantiate(load("(table i64 0xFFFF_FFFF_FFFF_FFFF funcref)"), path=path)
    assert "\n" not in str(caught.value)


@each_path
def test_wasi_is_for_memories_with_32_bit_addresses(path: str) -> None:
    source = """(import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (memory (export "memory") i64 1) (func (export "_start") (drop (call $yield)))"""
    instance = api.instantiate(load(source), path=path, wasi=Wasi([], deterministic=True))
    with pytest.raises(Trap, match="its memory has 64-bit addresses"):
        instance.invoke("_start", [])


def stopped() -> bytes:
    (stop,) = walk(Call(load(BOTH), "f", (3,)), PATHS[0], [2])
    return stop.data


def test_a_checkpoint_tells_kinds_of_addresses_apart() -> None:
    snapshot = checkpoint.decode(stopped())
    assert [m.type.limits.address is I64 for m in snapshot.memories] == [True, False]
    assert [t.type.limits.address is I64 for t in snapshot.tables] == [True, False]
    assert snapshot.memories[0].type.limits == Limits(1, 1 << 48, I64)


@each_path
@pytest.mark.parametrize("kind", ["memory", "table"])
def test_a_checkpoint_with_addresses_of_another_kind_is_refused(path: str, kind: str) -> None:
    data = stopped()[:-DIGEST_SIZE]
    # Limits of the narrow one: the flags, the size, the maximum.
    old = {"memory": b"\x01\x01\x04", "table": b"\x70\x01\x03\x0a"}[kind]
    new = {"memory": b"\x05\x01\x04", "table": b"\x70\x05\x03\x0a"}[kind]
    assert data.count(old) == 1
    with pytest.raises(CheckpointError) as caught:
        api.restore(load(BOTH), with_digest(data.replace(old, new)), path=path)
    assert "\n" not in str(caught.value)
