"""What a host allows a program: each limit, on each path."""

from __future__ import annotations

import gc
from typing import Any

import pytest

import chiwawa
from chiwawa import Exhaustion, Limits
from tests.path_helpers import IN_PYTHON, PATHS, SHARING, each_path

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


GROWING = chiwawa.load("""(module
  (memory (export "memory") 1)
  (memory $other (export "other") 1 100)
  (memory $fixed 1 1)
  (table $t (export "table") 3 funcref)
  (table $e 2 1000 externref)
  (table $fixed 5 5 funcref)
  (func $grow (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "grow_other") (param i32) (result i32) (loop) (memory.grow $other (local.get 0)))
  (func (export "grow_table") (param i32) (result i32)
    (table.grow $t (ref.null func) (local.get 0)))
  (func (export "grow_externs") (param i32) (result i32)
    (loop) (table.grow $e (ref.null extern) (local.get 0)))
  (func (export "without_end") (result i32)
    (loop $on (br_if $on (i32.ne (call $grow (i32.const 1)) (i32.const -1))))
    (memory.size)))""")
PAGE = 65536
TOO_MUCH = -1


def given(instance: chiwawa.Instance, name: str, n: int) -> int:
    """What an export gives for a number, as an i32."""
    (result,) = instance.invoke(name, [n])
    return (result + 2**31) % 2**32 - 2**31


@each_path
def test_memories_grow_together_as_far_as_the_limit(path: str) -> None:
    instance = chiwawa.instantiate(GROWING, path=path, limits=Limits(memory=10 * PAGE))
    assert given(instance, "grow", 8) == TOO_MUCH
    assert given(instance, "grow", 3) == 1
    assert given(instance, "grow_other", 5) == TOO_MUCH
    for most in (2**31 - 1, -1, 2**16, -(2**31)):
        assert given(instance, "grow_other", most) == TOO_MUCH
    assert given(instance, "grow_other", 4) == 1
    assert given(instance, "grow", 1) == TOO_MUCH
    assert given(instance, "grow", 0) == 4
    # For hosts, too.
    memory = instance.exports["memory"]
    assert isinstance(memory, chiwawa.AnyMemory)
    with pytest.raises(chiwawa.ResourceError, match="a memory of 4 pages cannot grow by 1"):
        memory.grow(1)
    assert memory.grow(0) == 4
    assert memory.size() == 4


@each_path
def test_a_memory_that_grows_without_end_stays_within_the_limit(path: str) -> None:
    instance = chiwawa.instantiate(GROWING, path=path, limits=Limits(memory=1_000_000))
    assert instance.invoke("without_end") == [13]


@each_path
def test_tables_grow_together_as_far_as_the_limit(path: str) -> None:
    instance = chiwawa.instantiate(GROWING, path=path, limits=Limits(table=20))
    assert given(instance, "grow_table", 11) == TOO_MUCH
    assert given(instance, "grow_table", 4) == 3
    assert given(instance, "grow_externs", 7) == TOO_MUCH
    assert given(instance, "grow_externs", -1) == TOO_MUCH
    assert given(instance, "grow_externs", 6) == 2
    assert given(instance, "grow_table", 1) == TOO_MUCH
    table = instance.exports["table"]
    assert isinstance(table, chiwawa.AnyTable)
    with pytest.raises(chiwawa.ResourceError, match="a table of 7 elements cannot grow by 1"):
        table.grow(1)
    assert table.grow(0) == 7
    assert table.size() == 7


@each_path
def test_an_instance_that_begins_beyond_a_limit_is_refused(path: str) -> None:
    for limits, said in (
        (Limits(memory=3 * PAGE - 1), f"its memories take {3 * PAGE} bytes, more than"),
        (Limits(table=9), r"its tables take 10 elements, more than the 9 allowed: --max-table 10 "),
    ):
        with pytest.raises(chiwawa.BadInput, match=said):
            chiwawa.instantiate(GROWING, path=path, limits=limits)
    chiwawa.instantiate(GROWING, path=path, limits=Limits(memory=3 * PAGE, table=10))


@each_path
def test_a_checkpoint_widens_neither_memories_nor_tables(path: str) -> None:
    module = chiwawa.load("""(module (memory 1) (table 1 funcref)
      (func (export "f") (result i32)
        (drop (memory.grow (i32.const 4))) (drop (table.grow (ref.null func) (i32.const 4)))
        (loop)
        (i32.add (memory.grow (i32.const 1)) (table.grow (ref.null func) (i32.const 1)))))""")
    wide = Limits(memory=100 * PAGE, table=100)
    run = chiwawa.start(module, "f", path=path, count=2, limits=wide)
    assert not run.go()
    data = run.checkpoint()
    for other in PATHS:
        for limits in (Limits(memory=5 * PAGE - 1), Limits(table=4)):
            with pytest.raises(chiwawa.CheckpointError, match="allowed"):
                chiwawa.restore(module, data, path=other, limits=limits)
        again = chiwawa.restore(module, data, path=other, limits=Limits(memory=5 * PAGE, table=5))
        assert again.go()
        assert [each % 2**32 for each in again.results] == [2**32 - 2]
        again = chiwawa.restore(module, data, path=other)
        assert again.go()
        assert again.results == [10]


@pytest.mark.parametrize("path", IN_PYTHON)
def test_what_is_imported_counts_as_well(path: str) -> None:
    module = chiwawa.load("""(module (import "host" "m" (memory 1)) (memory 1)
      (func (export "grow") (param i32) (result i32) (memory.grow 0 (local.get 0))))""")
    below = chiwawa.instantiate(GROWING, path=path)
    instance = chiwawa.instantiate(
        module, {"host": {"m": below.exports["memory"]}}, path=path, limits=Limits(memory=4 * PAGE)
    )
    assert given(instance, "grow", 3) == TOO_MUCH
    assert given(instance, "grow", 2) == 1
    # Whoever is gone has no say.
    del instance
    # PyPy lets go of what others refer to by one more collection each.
    for _ in range(5):
        gc.collect()
    assert given(below, "grow", 9) == 3


@pytest.mark.needs("wasmtime")
def test_the_native_path_has_no_limits_for_what_instances_share() -> None:
    module = chiwawa.load('(module (import "host" "m" (memory 1)))')
    for first, second in ((Limits(memory=9 * PAGE), Limits()), (Limits(), Limits(memory=9 * PAGE))):
        below = chiwawa.instantiate(GROWING, path="native", limits=first)
        with pytest.raises(chiwawa.UnsupportedError, match="no limit for memories or tables"):
            chiwawa.instantiate(
                module, {"host": {"m": below.exports["memory"]}}, path="native", limits=second
            )


@each_path
def test_large_addresses_and_small_pages_have_limits_as_well(path: str) -> None:
    module = chiwawa.load("""(module
      (memory $m i64 1) (memory $b 5 (pagesize 1)) (table $t i64 1 funcref)
      (func (export "grow") (param i64) (result i64) (memory.grow $m (local.get 0)))
      (func (export "grow_bytes") (param i32) (result i32) (memory.grow $b (local.get 0)))
      (func (export "grow_table") (param i64) (result i64)
        (table.grow $t (ref.null func) (local.get 0))))""")
    instance = chiwawa.instantiate(module, path=path, limits=Limits(memory=3 * PAGE + 7, table=3))
    for more in (3, 2**48, 2**63 - 1, -1, 2**62):
        assert instance.invoke("grow", [more])[0] % 2**64 == 2**64 - 1
        assert instance.invoke("grow_table", [more])[0] % 2**64 == 2**64 - 1
    assert instance.invoke("grow", [2]) == [1]
    assert instance.invoke("grow_table", [2]) == [1]
    assert given(instance, "grow_bytes", 3) == TOO_MUCH
    assert given(instance, "grow_bytes", 2) == 5
