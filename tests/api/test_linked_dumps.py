"""Core dumps and the flight recorder of linked instances, from Python."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

import chiwawa
from chiwawa_runtime import checkpoint
from tests.path_helpers import PATHS, each_path

#: Adds up what the host gives it, and calls back what it is given to, every seventh time.
LIBRARY = """(module $library
  (import "host" "next" (func $next (param i32) (result i32)))
  (type $step (func (param i32)))
  (memory (export "memory") 1)
  (table (export "table") 1 funcref)
  (func (export "more") (param $n i32) (result i32)
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (call $next (local.get $n))))
    (loop $on
      (local.set $n (i32.shr_u (local.get $n) (i32.const 1)))
      (br_if $on (local.get $n)))
    (i32.load (i32.const 0)))
  (func $divide (export "divide") (param $n i32) (result i32) (local i64)
    (local.set 1 (i64.const 9))
    (i32.const 6) (i32.const 7)
    (i32.div_u (i32.const 1000) (i32.lt_u (local.get $n) (i32.const 900)))
    drop drop))"""
PROGRAM = """(module $program
  (import "library" "more" (func $more (param i32) (result i32)))
  (import "library" "divide" (func $divide (param i32) (result i32)))
  (func $own (param $sum i32)
    (loop $on
      (local.set $sum (i32.shr_u (local.get $sum) (i32.const 1)))
      (br_if $on (local.get $sum))))
  (func (export "work") (local $n i32) (local $sum i32)
    (loop $on
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (local.set $sum (call $more (local.get $n)))
      (call $own (local.get $sum))
      (drop (call $divide (local.get $sum)))
      (br $on))))"""
library, program = chiwawa.load(LIBRARY), chiwawa.load(PROGRAM)
PAIRS = list(itertools.product(PATHS, repeat=2))
DIVIDED = "divide by zero"


def numbers() -> dict[str, dict[str, Callable[[int], int]]]:
    made = itertools.count()
    return {"host": {"next": lambda n: (n + next(made)) % 13}}


def crashed(below: str, above: str, recorder: chiwawa.FlightRecorder, **more: Any) -> None:
    calls = more.pop("calls", None) or chiwawa.record_calls()
    first = chiwawa.instantiate(library, numbers(), path=below, calls=calls, **more)
    run = chiwawa.start(
        program,
        "work",
        imports={"library": first.exports},
        path=above,
        calls=calls,
        recorder=recorder,
        **more,
    )
    with pytest.raises(chiwawa.Trap, match=DIVIDED):
        run.go()


def dumped(below: str, above: str, **more: Any) -> bytes:
    crashed(below, above, recorder := chiwawa.FlightRecorder(3, 100), **more)
    return recorder.core_dump()


@pytest.mark.parametrize(("below", "above"), PAIRS)
def test_a_dump_of_linked_instances_is_the_same_on_all_paths(below: str, above: str) -> None:
    data = dumped(below, above)
    assert data == dumped("interp", "interp")
    snapshot = checkpoint.decode(data)
    youngest, oldest = snapshot.frames
    assert (youngest.instance, oldest.instance) == (1, 0)
    assert [value for _, value in youngest.stack] == [6, 7, 1000, 0]
    run = chiwawa.restore(program, data, numbers(), path="interp", modules=[library])
    assert [frame.name for frame in run.frames] == ["divide", "work"]
    with pytest.raises(chiwawa.Trap, match=DIVIDED):
        # Where it cannot stop there, it comes to the trap as it is restored.
        chiwawa.restore(program, data, numbers(), path=above, modules=[library]).go()


@each_path
def test_what_was_recorded_of_linked_instances_comes_to_the_crash_again(path: str) -> None:
    recorder = chiwawa.FlightRecorder(keep=2, every=100)
    crashed(path, path, recorder)
    dump = recorder.dump()
    before, known = recorder.record(dump)
    for other in PATHS:
        second = chiwawa.FlightRecorder()
        again = chiwawa.restore(
            program,
            before,
            path=other,
            modules=[library],
            calls=chiwawa.replay_calls(known),
            recorder=second,
        )
        with pytest.raises(chiwawa.Trap, match=DIVIDED):
            again.go()
        assert second.core_dump() == dump.data
        # The record goes on from the dump as well.
        calls = chiwawa.replay_calls(known)
        with pytest.raises(chiwawa.Trap, match=DIVIDED):
            chiwawa.restore(program, dump.data, path=other, modules=[library], calls=calls).go()


@each_path
def test_every_distance_gives_the_same_dump(path: str) -> None:
    expected = dumped("interp", "interp")
    for every in (1, 7, 1000):
        crashed(path, path, recorder := chiwawa.FlightRecorder(2, every))
        assert recorder.core_dump() == expected


@each_path
def test_a_recorder_says_what_it_lacks(path: str) -> None:
    first = chiwawa.instantiate(library, numbers(), path=path)
    imports = {"library": first.exports}
    with pytest.raises(chiwawa.UnsupportedError, match="give that the same calls"):
        chiwawa.start(
            program, "work", imports=imports, path=path, recorder=chiwawa.FlightRecorder()
        )


def test_linked_instances_have_one_granularity() -> None:
    calls = chiwawa.record_calls()
    first = chiwawa.instantiate(
        library, numbers(), path="interp", granularity="instruction", calls=calls
    )
    with pytest.raises(chiwawa.UnsupportedError, match="of one granularity"):
        chiwawa.start(
            program,
            "work",
            imports={"library": first.exports},
            path="interp",
            calls=calls,
            recorder=chiwawa.FlightRecorder(),
        )


#: The library's functions are reached by its table alone, and trap in it.
CALLED_BY_TABLE = chiwawa.load("""(module $library
  (table (export "table") 1 funcref)
  (elem (i32.const 0) $divide)
  (func $divide (param $n i32) (result i32)
    (loop $on
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $on (local.get $n)))
    (i32.div_u (i32.const 1) (local.get $n))))""")
CALLING = chiwawa.load("""(module $program
  (import "library" "table" (table 1 funcref))
  (type $divide (func (param i32) (result i32)))
  (func (export "work") (result i32) (local $n i32)
    (loop $on
      (br_if $on (i32.lt_u
        (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 50))))
    (call_indirect (type $divide) (local.get $n) (i32.const 0))))""")


@each_path
def test_what_traps_where_only_a_table_leads_is_dumped(path: str) -> None:
    calls = chiwawa.record_calls()
    counted = chiwawa.Limits(fuel=1000)
    first = chiwawa.instantiate(CALLED_BY_TABLE, path=path, calls=calls, limits=counted)
    recorder = chiwawa.FlightRecorder(1, 10)
    run = chiwawa.start(
        CALLING,
        "work",
        imports={"library": first.exports},
        path=path,
        calls=calls,
        recorder=recorder,
        limits=counted,
    )
    with pytest.raises(chiwawa.Trap, match=DIVIDED):
        run.go()
    youngest, oldest = checkpoint.decode(recorder.core_dump()).frames
    assert [value for _, value in youngest.stack] == [1, 0]
    assert [value for _, value in oldest.locals] == [50]
