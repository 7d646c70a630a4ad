"""What monitors count, on both paths, is what is seen by stepping through the program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from chiwawa import api
from chiwawa.instrument import Instruments
from chiwawa.instrument.counting.observed import Observed
from chiwawa.instrument.monitors.document import document
from chiwawa.instrument.monitors.monitors import MONITORS
from chiwawa.module import Module
from chiwawa.source import load
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.errors import Trap
from tests.instrument.stepping_helpers import stepped
from tests.path_helpers import WATCHED, each_watched_path

GRANULARITIES = ("safepoint", "instruction")

#: Each ends in a trap, in the middle of a block, in a callee or a caller: the export, which takes
#: a number, is called with 0.
TRAPS = """
(module
  (import "host" "refuse" (func $refuse (param i32)))
  (type $unary (func (param i32) (result i32)))
  (memory 1 1)
  (table 2 funcref)
  (elem (i32.const 0) $divide)
  (global $g (mut i32) (i32.const 3))
  (func $divide (type $unary)
    (global.set $g (i32.add (global.get $g) (i32.const 1)))
    (i32.mul (i32.const 3) (i32.div_u (i32.const 1) (local.get 0))))
  (func (export "divides") (param i32) (result i32)
    (i32.add (i32.const 1) (i32.sub (i32.div_s (i32.const 7) (local.get 0)) (i32.const 1))))
  (func (export "callee") (param i32) (result i32)
    (i32.add (call $divide (i32.const 1)) (i32.add (call $divide (local.get 0)) (i32.const 1))))
  (func (export "indirect") (param i32) (result i32)
    (i32.add (i32.const 1) (call_indirect (type $unary) (local.get 0) (local.get 0))))
  (func (export "null") (param i32) (result i32)
    (i32.add (i32.const 1) (call_indirect (type $unary) (local.get 0) (i32.const 1))))
  (func (export "outside") (param i32) (result i32)
    (i32.add (i32.const 1) (call_indirect (type $unary) (local.get 0) (i32.const 9))))
  (func (export "unreachable") (param i32) (result i32)
    (if (local.get 0) (then (nop)))
    (nop) (unreachable))
  (func (export "load") (param i32) (result i32)
    (drop (i32.load (i32.const 4)))
    (i32.add (i32.const 1) (i32.load offset=65536 (local.get 0))))
  (func (export "store") (param i32) (result i32)
    (i32.store offset=9 (local.get 0) (i32.const 1))
    (i32.store (i32.const 65536) (i32.const 1))
    (i32.const 1))
  (func (export "loop") (param i32) (result i32) (local $n i32)
    (loop $next
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (drop (i32.div_u (i32.const 6) (i32.sub (local.get $n) (i32.const 4))))
      (br_if $next (i32.lt_u (local.get $n) (i32.const 9))))
    (i32.const 1))
  (func (export "host") (param i32) (result i32)
    (call $refuse (i32.const 1))
    (call $refuse (local.get 0))
    (i32.const 1)))
"""
TRAPPING = [
    *("divides", "callee", "indirect", "null", "outside", "unreachable"),
    *("load", "store", "loop", "host"),
]

BUSY = """
(module
  (type $op (func (param i32 i32) (result i32)))
  (import "host" "note" (func $note (param i32)))
  (memory 2 4)
  (data $bytes "chiwawa")
  (table 3 funcref)
  (elem (i32.const 0) $add $mul $nothing)
  (func $add (type $op) (i32.add (local.get 0) (local.get 1)))
  (func $mul (type $op) (i32.mul (call $add (local.get 0) (i32.const 1)) (local.get 1)))
  (func $nothing)
  (func (export "main") (param $n i32) (result i32) (local $acc i32) (local $i i32)
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $i) (local.get $n)))
        (block $two (block $one (block $zero
          (br_table $zero $one $two $next (i32.and (local.get $i) (i32.const 1))))
          (local.set $acc (call_indirect (type $op)
            (local.get $acc) (local.get $i) (i32.and (local.get $i) (i32.const 1))))
          (i32.store offset=4 (i32.shl (local.get $i) (i32.const 12)) (local.get $acc))
          (if (i32.gt_u (local.get $i) (i32.const 2)) (then (call $note (local.get $acc)))))
          (if (i32.and (local.get $i) (i32.const 2))
            (then (drop (i32.load16_u (i32.shl (local.get $i) (i32.const 14)))))
            (else (call $nothing))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (drop (memory.grow (i32.const 1)))
    (drop (memory.grow (i32.const 100)))
    (memory.fill (i32.const 65530) (i32.const 1) (i32.const 12))
    (memory.copy (i32.const 131070) (i32.const 65535) (i32.const 3))
    (memory.init $bytes (i32.const 0) (i32.const 1) (i32.const 5))
    (select (local.get $acc) (i32.const 0) (local.get $n))))
"""


def refuse(value: int) -> None:
    if not value:
        raise Trap("refused")


def imports() -> Imports:
    return {"host": {"refuse": refuse, "note": lambda value: None}}


def counted(
    module: Module, name: str, args: Sequence[Any], path: str, granularity: str
) -> tuple[Observed, str | None]:
    instruments = Instruments(module, monitors=[*MONITORS])
    run = api.start(
        module,
        name,
        args,
        imports(),
        path=path,
        granularity=granularity,
        instruments=instruments,
    )
    try:
        assert run.go()
    except Trap as trap:
        return instruments.observed(), trap.message
    return instruments.observed(), None


def found(observed: Observed) -> dict[str, Any]:
    """Everything that the tables and documents say."""
    return document(observed, [*MONITORS])["monitors"]


@pytest.mark.parametrize("granularity", GRANULARITIES)
@each_watched_path
@pytest.mark.parametrize("name", TRAPPING)
def test_a_program_that_traps(name: str, path: str, granularity: str) -> None:
    module = load(TRAPS)
    expected, message = stepped(module, name, (0,), imports())
    assert message is not None
    observed, same = counted(module, name, (0,), path, granularity)
    assert same == message
    assert found(observed) == found(expected)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@each_watched_path
def test_a_busy_program(path: str, granularity: str) -> None:
    module = load(BUSY)
    expected, message = stepped(module, "main", (7,), imports())
    assert message is None
    observed, message = counted(module, "main", (7,), path, granularity)
    assert message is None
    assert found(observed) == found(expected)


@each_watched_path
def test_an_access_across_two_pages_counts_at_the_first(path: str) -> None:
    module = load("""
    (module (memory 2)
      (func (export "main")
        (i64.store (i32.const 65532) (i64.const -1))
        (drop (i32.load (i32.const 65533)))
        (drop (i32.load (i32.const 65532)))))
    """)
    observed, _ = counted(module, "main", (), path, "safepoint")
    assert observed.pages == {0: {0: [2, 1]}}


@pytest.mark.parametrize("stop", [*range(1, 48), 100, 150, 200])
def test_a_checkpoint_between_any_two_instructions(stop: int) -> None:
    """It is stopped within a block, and continued on the other path and with blocks as they are
    without such stops."""
    module = load(BUSY)
    expected, _ = stepped(module, "main", (7,), imports())
    path = WATCHED[stop % 2]
    instruments = Instruments(module, monitors=[*MONITORS])
    run = api.start(
        module,
        "main",
        (7,),
        imports(),
        path=path,
        granularity="instruction",
        count=stop,
        instruments=instruments,
    )
    assert not run.go()
    before = instruments.observed()
    assert sum(map(sum, before.counts.values())) == stop - 1
    for granularity in GRANULARITIES:
        instruments = Instruments(module, monitors=[*MONITORS])
        again = api.restore(
            module,
            run.checkpoint(),
            imports(),
            path=WATCHED[(stop + 1) % 2],
            granularity=granularity,
            instruments=instruments,
        )
        if granularity == "instruction":
            assert found(instruments.observed()) == found(before)
        assert again.go()
        assert found(instruments.observed()) == found(expected)


ELSEWHERE = """
(module
  (import "host" "back" (func $back (param i32)))
  (table 1 funcref)
  (elem (i32.const 0) $deep)
  (global $started (mut i32) (i32.const 0))
  (func $start (global.set $started (i32.const 1)))
  (start $start)
  (func $deep (param i32) (local LOCALS)
    (call_indirect (param i32) (i32.add (local.get 0) (i32.const 1)) (i32.const 0)))
  (func $leaf (export "leaf") (param i32) (drop (i32.div_u (i32.const 1) (local.get 0))))
  (func (export "deep") (call $deep (i32.const 0)))
  (func (export "back") (call $back (i32.const 1)) (call $back (i32.const 1)) (nop))
  (func (export "fails") (call $back (i32.const 0)) (nop)))
""".replace("LOCALS", "i64 " * 1000)  # a frame that weighs much, so that the stack ends soon


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("name", ["deep", "back", "fails"])
def test_what_no_step_shows_is_the_same_on_both_paths(name: str, granularity: str) -> None:
    """A start function, the end of the stack, and calls back from the host, one of which traps."""
    module = load(ELSEWHERE)
    seen = []
    for path in WATCHED:
        instruments = Instruments(module, monitors=[*MONITORS])

        def back(value: int) -> None:
            run.instance.invoke("leaf", [value])  # noqa: B023

        run = api.start(
            module,
            name,
            (),
            {"host": {"back": back}},
            path=path,
            granularity=granularity,
            instruments=instruments,
        )
        if name == "back":
            assert run.go()
        else:
            with pytest.raises(Trap):
                run.go()
        seen.append(found(instruments.observed()))
    assert seen[0] == seen[1]
    # The function, how deep, and how often it was called there.
    tree = [row[:2] + row[3:4] for row in seen[0]["profile"]["rows"]]
    assert tree[0] == [1, 1, 1]
