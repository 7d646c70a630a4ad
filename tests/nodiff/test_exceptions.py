"""Exceptions alike on each path that has them: thrown, caught, held as values, stopped in the
middle of what handles them and restored on the other, across instances and the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import chiwawa
from chiwawa import paths
from chiwawa.aot.ir_checker import check
from chiwawa.aot.options import options_for
from chiwawa.aot.tree import build
from chiwawa.lower.lowered import Spaces, lower
from chiwawa.lower.sites import Sites
from chiwawa_runtime import checkpoint
from chiwawa_runtime.state.snapshot import ExceptionImage, FuncIdx, ObjIdx, Snapshot
from chiwawa_runtime.state.types import EXNREF, I32, I64, FuncType, RefType
from tests.nodiff.harness_helpers import KNOWN_FRAMES
from tests.path_helpers import next_path, running

#: Functions that throw, catch and hold exceptions, in both ways of saying so.
MODULE = """(module
  (import "env" "tick" (func $tick (param i32)))
  (tag $e (export "e") (param i32 i64))
  (tag $f (param f64 exnref))
  (global $g (mut exnref) (ref.null exn))
  (table $t 2 exnref)
  (func $throw (param $n i32) (local $i i32)
    (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 3))))
    (call $tick (local.get $n))
    (if (i32.and (local.get $n) (i32.const 1)) (then (throw $e (local.get $n) (i64.const 6))))
    (throw $f (f64.const 1.5) (global.get $g)))
  (func $catch (param $n i32) (result i32) (local $x exnref) (local $y exnref) (local $i i32)
    (block $h (result i32 i64 exnref)
      (block $a (result exnref)
        (try_table (catch_ref $e $h) (catch_all_ref $a)
          (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 3))))
          (call $throw (local.get $n))
          (call $tick (i32.const 99)))
        (unreachable))
      (local.set $x) (global.set $g (local.get $x))
      (table.set $t (i32.const 1) (local.get $x))
      (call $tick (i32.const 7))
      (i32.const 40) (i64.const 2) (local.get $x))
    (local.set $y)
    (global.set $g (local.get $y))
    (table.set $t (i32.const 0) (local.get $y))
    (call $tick (i32.const 8))
    (drop)
    (local.get $n) (i32.add))
  (func $legacy (param $n i32) (result i32) (local $r i32)
    (try $o (do
        (try (do (call $throw (local.get $n)))
          (catch $e
            (call $tick (i32.const 50))
            (drop) (local.set $r)
            (call $tick (local.get $r))
            (rethrow 0))
          (catch_all (call $tick (i32.const 60)) (rethrow 0))))
      (catch_all
        (call $tick (i32.const 70))
        (local.set $r (i32.add (local.get $r) (i32.const 1000)))))
    (local.get $r))
  (func $delegated (param $n i32) (result i32)
    try $o (result i32)
      try (result i32)
        try (result i32)
          local.get $n
          call $throw
          i32.const 0
        delegate $o
      catch_all
        i32.const 99
      end
    catch $e
      drop
      try nop catch_all end
    catch_all
      i32.const 55
    end)
  (func (export "run") (param $n i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (i32.add (local.get $s) (call $catch (local.get $n))))
      (local.set $s (i32.add (local.get $s) (call $legacy (local.get $n))))
      (local.set $s (i32.add (local.get $s) (call $delegated (local.get $n))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s)))"""
RESULT = [3 + 3 + 1003 + 3 + 40 + 2 + 1000 + 55 + 1 + 1 + 1001 + 1]


def ticking(log: list[int]) -> dict[str, dict[str, Callable[[int], None]]]:
    return {"env": {"tick": log.append}}


HAVING = running(chiwawa.load(MODULE))
each_having = pytest.mark.parametrize("path", HAVING)


def stops(
    module: chiwawa.Module, path: str, granularity: str
) -> tuple[list[tuple[bytes, int]], list[Any], list[int]]:
    """A checkpoint at each place where the program can stop, with how often it had ticked; what it
    gives; and its ticks."""
    log: list[int] = []
    imports = ticking(log)
    run = chiwawa.start(module, "run", [3], imports=imports, path=path, granularity=granularity)
    found = []
    run.requests.count_from(0, 1)
    while not run.go():
        found.append((run.checkpoint(), len(log)))
        run.requests.take()
        run.requests.stop_at(len(found) + 1)
    return found, run.results, log


@pytest.mark.parametrize("granularity", ["safepoint", "instruction"])
def test_each_path_goes_on_from_each_place_of_the_others(granularity: str) -> None:
    module = chiwawa.load(MODULE)
    among = [p for p in HAVING if granularity in paths.path(p).granularities]
    first, *others = [stops(module, path, granularity) for path in among]
    assert first[1] == RESULT
    assert all(other == first for other in others)
    step = 1 if granularity == "safepoint" else 7
    for place, (data, ticks) in list(enumerate(first[0]))[::step]:
        assert checkpoint.encode(checkpoint.decode(data)) == data
        log: list[int] = []
        path = next_path(among[place % len(among)], among)
        run = chiwawa.restore(module, data, imports=ticking(log), path=path)
        assert run.go()
        assert (run.results, log) == (RESULT, first[2][ticks:])


def test_the_inner_form_of_functions_that_handle_holds() -> None:
    module = chiwawa.load(MODULE)
    spaces, options = Spaces.of(module), options_for(module)
    for index in range(spaces.imported_funcs, len(spaces.funcs)):
        lowered = lower(spaces, index)
        check(build(lowered, options, Sites()), lowered)


# What a checkpoint says of exceptions.


def held(path: str) -> tuple[chiwawa.Module, Snapshot]:
    """A program that holds one exception in several places."""
    module = chiwawa.load(
        """(module (import "env" "tick" (func $tick (param i32)))
          (tag $e (param i32 exnref)) (global $g (mut exnref) (ref.null exn)) (table $t 3 exnref)
          (table $functions 1 funcref)
          (func (export "run") (param $n i32) (result i32) (local $x exnref)
            (block $h (result i32 exnref exnref)
              (try_table (catch_ref $e $h)
                (throw $e (local.get $n)
                  (block $i (result exnref)
                    (try_table (catch_all_ref $i)
                      (throw $e (i32.const 1) (ref.null exn)))
                    (unreachable))))
              (unreachable))
            (global.set $g)
            (drop)
            (drop)
            (table.set $t (i32.const 2) (global.get $g))
            (local.set $x (global.get $g))
            (call $tick (i32.const 0))
            (block $j (result i32 exnref)
              (try_table (catch $e $j) (throw_ref (table.get $t (i32.const 2))))
              (unreachable))
            (drop)))"""
    )
    run = chiwawa.start(module, "run", [3], imports=ticking([]), path=path)
    stopped = 0
    run.requests.ask()
    while not run.go():
        run.requests.take()
        stopped += 1
        if stopped == 2:
            return module, checkpoint.decode(run.checkpoint())
        run.requests.ask()
    raise AssertionError("it has not stopped")


@each_having
def test_an_exception_stays_one_and_has_one_number(path: str) -> None:
    module, snapshot = held(path)
    outer, inner = snapshot.objects
    assert outer == ExceptionImage(0, ((I32, 3), (EXNREF, ObjIdx(1))))
    assert inner == ExceptionImage(0, ((I32, 1), (EXNREF, None)))
    assert snapshot.globals[0].value == snapshot.tables[0].elements[2] == ObjIdx(0)
    assert snapshot.frames[0].locals[1] == (EXNREF, ObjIdx(0))
    data = checkpoint.encode(snapshot)
    run = chiwawa.restore(module, data, imports=ticking([]), path=next_path(path, HAVING))
    instance = run.instance
    assert instance.globals[0].get() is instance.tables[0].elements[2]
    assert run.go()
    assert run.results == [3]


def with_objects(snapshot: Snapshot, *objects: ExceptionImage) -> Snapshot:
    return replace(snapshot, objects=objects)


INNER = ExceptionImage(0, ((I32, 1), (EXNREF, None)))
#: What somebody may have changed, the digest made right.
TAMPERED: dict[str, Callable[[Snapshot], Snapshot]] = {
    "a tag that is not there": lambda s: with_objects(s, replace(s.objects[0], tag=1), INNER),
    "a field of another type": lambda s: with_objects(
        s, ExceptionImage(0, ((I64, 3), (EXNREF, ObjIdx(1)))), INNER
    ),
    "a field too many": lambda s: with_objects(
        s, ExceptionImage(0, (*s.objects[0].fields, (I32, 1))), INNER
    ),
    "an object too many": lambda s: with_objects(s, *s.objects, INNER),
    "an object too few": lambda s: with_objects(s, s.objects[0]),
    "numbers in another order": lambda s: replace(
        s, globals=(replace(s.globals[0], value=ObjIdx(1)),)
    ),
    "an exception as a function": lambda s: replace(
        s, tables=(s.tables[0], replace(s.tables[1], elements=(ObjIdx(0),)))
    ),
    "a function as an exception": lambda s: replace(
        s, tables=(replace(s.tables[0], elements=(FuncIdx(1), None, ObjIdx(0))), s.tables[1])
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
@each_having
def test_a_tampered_copy_is_refused_in_a_line(path: str, what: str) -> None:
    module, snapshot = held(path)

    def restore() -> None:
        data = checkpoint.encode(TAMPERED[what](snapshot))
        chiwawa.restore(module, data, imports=ticking([]), path=path)

    with pytest.raises(chiwawa.CheckpointError) as refused:
        restore()
    assert "\n" not in str(refused.value)


# The host, and other instances.

CALLER = """(module (import "env" "f" (func $f (result i32)))
  (import "env" "e" (tag $e (param i32)))
  (func (export "caught") (result i32)
    (block $h (result i32) (try_table (result i32) (catch $e $h) (call $f))))
  (func (export "all") (result i32)
    (block $h (try_table (catch_all $h) (drop (call $f))) (return (i32.const 1))) (i32.const 2))
  (func (export "through") (result i32) (call $f)))"""


def caller(path: str, function: Callable[[], int]) -> tuple[Any, chiwawa.Tag]:
    tag = chiwawa.Tag(FuncType((I32,), ()), "error")
    imports: dict[str, dict[str, Any]] = {"env": {"f": function, "e": tag}}
    return chiwawa.instantiate(chiwawa.load(CALLER), imports, path=path), tag


@each_having
def test_what_a_host_function_throws_is_caught_or_comes_back(path: str) -> None:
    def function() -> int:
        raise chiwawa.Thrown.of(tag, 5)

    instance, tag = caller(path, function)
    assert instance.invoke("caught") == [5]
    assert instance.invoke("all") == [2]
    with pytest.raises(chiwawa.Thrown) as thrown:
        instance.invoke("through")
    assert (thrown.value.tag, thrown.value.values) == (tag, [5])
    assert [place.name for place in thrown.value.backtrace] == ["through"]


@each_having
@pytest.mark.parametrize("error", [chiwawa.Trap("no"), ValueError("no"), chiwawa.WasiExit(3)])
def test_nothing_else_is_caught(path: str, error: Exception) -> None:
    def function() -> int:
        raise error

    instance, _ = caller(path, function)
    with pytest.raises((chiwawa.Trap, chiwawa.HostError, chiwawa.WasiExit)):
        instance.invoke("all")


@each_having
def test_an_interruption_is_not_caught(path: str) -> None:
    calls: list[int] = []

    def function() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise chiwawa.Interrupted
        return 4

    tag = chiwawa.Tag(FuncType((I32,), ()))
    imports: dict[str, dict[str, Any]] = {"env": {"f": function, "e": tag}}
    run = chiwawa.start(chiwawa.load(CALLER), "caught", imports=imports, path=path)
    assert not run.go()
    assert run.go()
    assert run.results == [4]


def test_values_of_an_exception_are_of_its_tags_types() -> None:
    tag = chiwawa.Tag(FuncType((I32,), ()))
    with pytest.raises(TypeError):
        chiwawa.Thrown.of(tag, "text")
    with pytest.raises(TypeError):
        chiwawa.Thrown.of(tag)
    assert chiwawa.Thrown.of(tag, 0xFFFFFFFF).values == [-1]


DEEP = """(module (tag $e (param i32)) (func $down (export "down") (param i32)
    (if (i32.eqz (local.get 0)) (then (throw $e (i32.const 9))))
    (call $down (i32.sub (local.get 0) (i32.const 1))))
  (func (export "f") (param i32) (result i32)
    (block $h (result i32) (try_table (catch $e $h) (call $down (local.get 0))) (unreachable))))"""


@each_having
def test_an_exception_comes_from_however_deep(path: str) -> None:
    instance = chiwawa.instantiate(chiwawa.load(DEEP), path=path)
    assert instance.invoke("f", [5000]) == [9]
    with pytest.raises(chiwawa.Thrown) as thrown:
        instance.invoke("down", [1000])
    # A path may not have all frames, and says so.
    known = len(thrown.value.backtrace)
    assert known == (KNOWN_FRAMES if thrown.value.cut else 1001)
    assert thrown.value.cut == (path == "native")
    assert str(thrown.value).startswith("uncaught exception\n  at $down (function 0, code offset")


@pytest.mark.parametrize("above", HAVING)
@pytest.mark.parametrize("below", HAVING)
def test_exceptions_cross_instances_on_any_paths(below: str, above: str) -> None:
    thrower = chiwawa.instantiate(
        chiwawa.load(
            """(module (tag $e (export "e") (param i32))
              (func (export "f") (result i32) (loop) (throw $e (i32.const 6))))"""
        ),
        path=below,
    )
    instance = chiwawa.instantiate(chiwawa.load(CALLER), {"env": thrower.exports}, path=above)
    assert instance.invoke("caught") == [6]
    assert instance.invoke("all") == [2]
    with pytest.raises(chiwawa.Thrown) as thrown:
        instance.invoke("through")
    assert thrown.value.tag is thrower.exports["e"]


def test_a_null_reference_traps_and_is_of_the_least_type() -> None:
    module = chiwawa.load(
        """(module (func (export "f") (block $h (result exnref)
          (try_table (catch_all_ref $h) (throw_ref (ref.null noexn))) (unreachable)) (drop)))"""
    )
    for path in running(module):
        with pytest.raises(chiwawa.Trap, match="null exception reference"):
            chiwawa.instantiate(module, path=path).invoke("f")
    assert RefType("exn") == EXNREF
