"""What a host allows a program: each limit, on each path."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

import chiwawa
from chiwawa import Exhaustion, Limits
from tests.collecting_helpers import collect
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


@each_path
def test_what_is_imported_counts_as_well(path: str) -> None:
    module = chiwawa.load("""(module (import "host" "m" (memory 1)) (memory 1)
      (func (export "grow") (param i32) (result i32) (memory.grow 0 (local.get 0))))""")
    below = chiwawa.instantiate(GROWING, path=path)
    instance = chiwawa.instantiate(
        module, {"host": {"m": below.exports["memory"]}}, path=path, limits=Limits(memory=4 * PAGE)
    )
    assert given(instance, "grow", 3) == TOO_MUCH
    assert given(instance, "grow", 2) == 1
    assert given(below, "grow", 1) == TOO_MUCH
    assert given(below, "grow_other", 1) == 1
    if path not in IN_PYTHON:
        # wasmtime keeps an instance as long as those that it shares something with.
        return
    # Whoever is gone has no say.
    del instance
    collect()
    assert given(below, "grow", 9) == 3


#: Each has one memory and one table of its own, and what the first one has.
SHARED = """(module
  (func (export "nothing"))
  (memory $m (export "memory") 1) (table $t (export "table") 1 funcref)
  (memory $own (export "own") {address} 1) (table $private {address} 1 externref)
  (func (export "memory.grow") (param i32) (result i32) (memory.grow $m (local.get 0)))
  (func (export "table.grow") (param i32) (result i32)
    (table.grow $t (ref.null func) (local.get 0)))
  (func (export "own.grow") (param {index}) (result {index}) (memory.grow $own (local.get 0)))
  (func (export "private.grow") (param {index}) (result {index})
    (table.grow $private (ref.null extern) (local.get 0))))"""
SHARED_FIRST = chiwawa.load(SHARED.format(address="", index="i32"))
SHARED_NEXT = chiwawa.load(
    SHARED.format(address="i64", index="i64")
    .replace('(export "nothing")', '(import "first" "nothing")')
    .replace('(export "memory")', '(import "first" "memory")')
    .replace('(export "table")', '(import "first" "table")')
)


def grown(path: str, all_limits: Sequence[Limits], *, steps: int = 60) -> list[int]:
    """What growing gives, of all things in turn by all instances in turn. Those that all have grow
    before each instance is made, too."""
    first = chiwawa.instantiate(SHARED_FIRST, path=path, limits=all_limits[0])
    instances, results = [first], []
    for limits in all_limits[1:]:
        results += [given(first, "memory.grow", 1), given(first, "table.grow", 1)]
        instances.append(
            chiwawa.instantiate(SHARED_NEXT, {"first": first.exports}, path=path, limits=limits)
        )
    calls = itertools.product(
        (1, 3, 2, 0), ("memory.grow", "own.grow", "table.grow", "private.grow"), instances
    )
    for n, name, instance in itertools.islice(itertools.cycle(calls), steps):
        results.append(given(instance, name, n))
        for thing in ("memory", "table"):
            shared = first.exports[thing]
            assert isinstance(shared, chiwawa.AnyMemory | chiwawa.AnyTable)
            with pytest.raises(chiwawa.ResourceError):
                shared.grow(100)
            results.append(shared.size())
    return results


@each_path
@pytest.mark.parametrize(
    "all_limits",
    [
        [Limits(memory=9 * PAGE, table=20), Limits()],
        [Limits(), Limits(memory=12 * PAGE, table=9)],
        [Limits(memory=12 * PAGE, table=12), Limits(memory=10 * PAGE, table=14)],
        [Limits(), Limits(memory=14 * PAGE), Limits(table=13), Limits()],
        [Limits(table=90), Limits(memory=20 * PAGE), Limits(memory=14 * PAGE, table=13)],
    ],
)
def test_what_instances_share_grows_as_far_as_the_limits_of_all(
    path: str, all_limits: list[Limits]
) -> None:
    results = grown(path, all_limits)
    assert results == grown("interp", all_limits)
    assert TOO_MUCH in results
    assert max(results) > 4


@each_path
def test_limits_of_what_instances_share_hold_after_a_restore(path: str) -> None:
    first = chiwawa.instantiate(SHARED_FIRST, path=path)
    second = chiwawa.instantiate(SHARED_NEXT, {"first": first.exports}, path=path)
    assert given(second, "memory.grow", 2) == 1
    data = second.checkpoint()
    limits = Limits(memory=6 * PAGE, table=4)
    for other in PATHS:
        again = chiwawa.restore_instance(
            SHARED_NEXT, data, path=other, modules=[SHARED_FIRST], limits=limits
        )
        assert given(again, "memory.grow", 3) == TOO_MUCH
        assert given(again, "own.grow", 1) == 1
        assert given(again, "memory.grow", 1) == 3
        assert given(again, "memory.grow", 1) == TOO_MUCH
        assert given(again, "table.grow", 2) == 1
        assert given(again, "private.grow", 1) == TOO_MUCH


@each_path
def test_what_cannot_grow_is_shared_with_a_limit_as_well(path: str) -> None:
    fixed = chiwawa.load("""(module (memory (export "m") 2 2) (table (export "t") 2 2 funcref)
      (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))""")
    user = chiwawa.load("""(module (import "f" "m" (memory 2)) (import "f" "t" (table 2 funcref))
      (memory $own 1)
      (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
      (func (export "own") (param i32) (result i32) (memory.grow $own (local.get 0))))""")
    first = chiwawa.instantiate(fixed, path=path, limits=Limits(table=2))
    second = chiwawa.instantiate(
        user, {"f": first.exports}, path=path, limits=Limits(memory=4 * PAGE, table=2)
    )
    for instance in first, second:
        assert given(instance, "grow", 1) == TOO_MUCH
        assert given(instance, "grow", 0) == 2
    assert given(second, "own", 2) == TOO_MUCH
    assert given(second, "own", 1) == 1


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
