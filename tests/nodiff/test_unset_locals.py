"""Locals that have no value yet, of types that have no default."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chiwawa import api, limits
from chiwawa.lower.lowered import Spaces, lower
from chiwawa.lower.points import points_of
from chiwawa.source import load
from chiwawa_runtime import checkpoint
from chiwawa_runtime.errors import CheckpointError, UnsupportedError
from chiwawa_runtime.state.snapshot import FuncIdx
from chiwawa_runtime.state.types import FUNCREF
from tests.nodiff.harness_helpers import Call, check
from tests.path_helpers import PATHS

MODULE = load("""(module
  (func $one (export "one") (result i32) (i32.const 1))
  (func $wait (loop $on (br_if $on (i32.const 0))))
  (func (export "main") (param i32) (result i32) (local $f (ref func))
    (loop $on (result i32)
      (call $wait)
      (block $set (br_if $set (i32.eqz (local.get 0)))
        (local.set $f (ref.func $one))
        (call $wait)
        (drop (ref.is_null (local.get $f)))
        (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
        (br $on))
      (call $wait) (i32.const 5))))""")


@pytest.mark.parametrize("path", PATHS)
def test_what_has_no_value_is_null_in_a_checkpoint_whatever_it_had(path: str) -> None:
    """Also where it had one in the round before, on each path."""
    held = set()
    for number in range(1, 100):
        files = set()
        for each in PATHS:
            run = api.start(MODULE, "main", (2,), path=each, count=number)
            if run.go():
                break
            files.add(run.checkpoint())
        else:
            (data,) = files
            again = api.restore(MODULE, data, path=path)
            assert again.checkpoint() == data
            assert again.go()
            assert again.results == [5]
            main = checkpoint.decode(data).frames[-1]
            held.add((main.offset, main.locals[1][1]))
            continue
        break
    offsets = {offset for offset, _ in held}
    # Each place has one kind of value, and there are some of both.
    assert len(held) == len(offsets)
    assert {value for _, value in held} == {None, FuncIdx(0)}


def test_the_same_at_each_boundary_for_a_path_that_stops_at_fewer() -> None:
    call = Call(MODULE, "main", (2,))
    ending = check(call, instruction_stops=200, instruction_crossings=200)
    assert ending.kind == "returned"


@pytest.mark.parametrize("path", PATHS)
def test_a_value_where_there_is_none_and_none_where_there_is_one_are_refused(path: str) -> None:
    number = 0
    while number < 100:
        number += 1
        run = api.start(MODULE, "main", (2,), path="aot", count=number)
        if run.go():
            break
        snapshot = run.snapshot()
        main = snapshot.frames[-1]
        other = FuncIdx(0) if main.locals[1][1] is None else None
        changed = main._replace(locals=(main.locals[0], (FUNCREF, other)))
        snapshot = replace(snapshot, frames=(*snapshot.frames[:-1], changed))
        with pytest.raises(CheckpointError, match="holds a value that is no"):
            api.restore(MODULE, snapshot, path=path)
    assert 5 < number < 100


def test_more_of_them_than_anybody_could_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes declare fifty thousand, and each place of a function has its own."""
    lowered = lower(Spaces.of(MODULE), 2)
    places = len(lowered.safepoints | lowered.calls.keys())
    assert points_of(lowered).unset
    monkeypatch.setattr(limits, "UNSET", places - 1)
    with pytest.raises(UnsupportedError, match=f"function 2: more than {places - 1} locals"):
        points_of(lowered)
