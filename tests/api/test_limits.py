"""What a host allows a program: each limit, on each path."""

from __future__ import annotations

from typing import Any

import pytest

import chiwawa
from chiwawa import Exhaustion, Limits
from tests.path_helpers import PATHS, SHARING, each_path

#: How deep its functions are is in the global.
DEEP = chiwawa.load("""(module
  (type $f (func))
  (table funcref (elem $table))
  (global $calls (export "calls") (mut i32) (i32.const 0))
  (func $count (global.set $calls (i32.add (global.get $calls) (i32.const 1))))
  (func $named (export "named") (call $count) (call $named))
  (func $table (export "table") (call $count) (call_indirect (type $f) (i32.const 0)))
  (func $tail (export "tail") (param i32)
    (if (local.get 0) (then (return_call $tail (i32.sub (local.get 0) (i32.const 1))))))
  (func $heavy (export "heavy") (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64
    i64 i64) (call $count) (call $heavy))
  (func $down (export "down") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0)))))""")
DEPTHS = (1, 2, 50, 99, 100, 101, 250)


def calls(instance: chiwawa.Instance) -> int:
    counter: Any = instance.exports["calls"]
    return int(counter.value)


@each_path
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("name", "weight"), [("named", 1), ("table", 1), ("heavy", 2)])
def test_calls_get_as_deep_as_the_limit(path: str, depth: int, name: str, weight: int) -> None:
    instance = chiwawa.instantiate(DEEP, path=path, limits=Limits(depth=depth))
    with pytest.raises(Exhaustion, match="call stack exhausted") as caught:
        instance.invoke(name)
    assert calls(instance) == -(-depth // weight)
    # Where it trapped is in the trace, as on every path.
    assert len(caught.value.backtrace) == -(-depth // weight) + 1
    instance.invoke("tail", [1000])


@each_path
def test_the_deepest_call_that_is_allowed_returns(path: str) -> None:
    instance = chiwawa.instantiate(DEEP, path=path, limits=Limits(depth=1000))
    assert instance.invoke("down", [999]) == [999]
    with pytest.raises(Exhaustion):
        instance.invoke("down", [1000])
    assert instance.invoke("down", [999]) == [999]


@each_path
@pytest.mark.parametrize("depth", [1, 60, 300])
def test_a_checkpoint_neither_widens_the_depth_nor_keeps_it(path: str, depth: int) -> None:
    run = chiwawa.start(DEEP, "down", [1000], path=path, count=depth, limits=Limits(depth=400))
    assert not run.go()
    data = run.checkpoint()
    for other in PATHS:
        again = chiwawa.restore(DEEP, data, path=other, limits=Limits(depth=depth + 7))
        with pytest.raises(Exhaustion) as caught:
            again.go()
        assert len(caught.value.backtrace) == depth + 7 + 1
        if depth > 1:
            with pytest.raises(chiwawa.CheckpointError, match=f"--max-depth {depth} "):
                chiwawa.restore(DEEP, data, path=other, limits=Limits(depth=depth - 1))
        again = chiwawa.restore(DEEP, data, path=other)
        assert again.go()
        assert again.results == [1000]


ABOVE = chiwawa.load("""(module
  (import "below" "named" (func $below))
  (func $down (export "down") (param i32)
    (if (local.get 0)
      (then (call $down (i32.sub (local.get 0) (i32.const 1))))
      (else (call $below)))))""")


@pytest.mark.parametrize(("below", "above"), SHARING)
def test_the_limit_of_the_instance_that_is_run_is_that_of_all_it_calls(
    below: str, above: str
) -> None:
    first = chiwawa.instantiate(DEEP, path=below)
    second = chiwawa.instantiate(
        ABOVE, {"below": first.exports}, path=above, limits=Limits(depth=300)
    )
    with pytest.raises(Exhaustion):
        second.invoke("down", [120])
    assert calls(first) == 300 - 121


@each_path
def test_what_a_host_function_calls_back_goes_on_from_its_depth(path: str) -> None:
    module = chiwawa.load("""(module
      (import "host" "back" (func $back))
      (global $calls (export "calls") (mut i32) (i32.const 0))
      (func $f (export "f")
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (i32.const 0) (then (call $f)))
        (call $back)))""")
    instance: chiwawa.Instance
    instance = chiwawa.instantiate(
        module,
        {"host": {"back": lambda: instance.invoke("f")}},
        path=path,
        limits=Limits(depth=20),
    )
    with pytest.raises(Exhaustion):
        instance.invoke("f")
    assert calls(instance) == 20


@pytest.mark.parametrize("depth", [0, -1])
def test_no_call_at_all_is_no_limit(depth: int) -> None:
    with pytest.raises(ValueError, match="too low"):
        Limits(depth=depth)
