"""Exceptions where the native path has them in ways of its own: by wasmtime, in frames that are
entered again in the middle, with locals in memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

import chiwawa
from chiwawa import paths
from chiwawa_runtime.state.types import I32, FuncType
from tests.nodiff.handler_helpers import ALONE, DELEGATED, NESTED, NEVER_NULL
from tests.nodiff.harness_helpers import (
    KNOWN_FRAMES,
    Call,
    Log,
    both,
    check,
    compare_bytes,
    cross,
)
from tests.path_helpers import PATHS, each_path


def no_host(log: Log) -> chiwawa.Imports:
    return {}


def compared(text: str, args: tuple[int, ...] = (3,)) -> None:
    """The program does the same on all paths, and is the same at every safepoint."""
    call = Call(chiwawa.load(text), "f", args, no_host)
    expected = both(call)
    assert expected.kind == "returned"
    for stop in compare_bytes(call, range(1, (expected.safepoints or 0) + 1)):
        cross(call, stop, expected)
    check(call)


@pytest.mark.parametrize("text", [NESTED, DELEGATED, ALONE, NEVER_NULL])
@pytest.mark.parametrize("n", [2, 3])
def test_what_handles_exceptions_is_the_same_at_every_safepoint(text: str, n: int) -> None:
    compared(text, (n,))


@each_path
def test_an_arm_traps_where_it_does(path: str) -> None:
    instance = chiwawa.instantiate(chiwawa.load(ALONE), path=path)
    with pytest.raises(chiwawa.Trap, match="unreachable") as trap:
        instance.invoke("traps")
    assert [place.name for place in trap.value.backtrace] == ["traps", "traps"]


def many(count: int) -> str:
    """A function with so many locals and calls that it has most of its locals in memory, which
    throws."""
    uses = "".join(
        f"(local.set {i} (i32.add (local.get 0) (i32.const {i}))) (call $tick)"
        for i in range(1, count)
    )
    total = "".join(f"(i32.add (local.get {i}))" for i in range(1, count))
    locals_ = " ".join(["i32"] * (count - 1))
    return f"""(func $NAME (param i32) (result i32) (local {locals_}) {uses}
      BODY (i32.const 0) {total})"""


@pytest.mark.parametrize("catcher", [4, 120])
def test_what_has_locals_in_memory_gives_its_part_back(catcher: int) -> None:
    """Whether the function that catches has any itself, or has not."""
    throws = many(120).replace("NAME", "throws").replace("BODY", "(throw $e (i32.const 5))")
    handles = (
        many(catcher)
        .replace("NAME", "handles")
        .replace(
            "BODY",
            """(loop $l
              (block $h (result i32)
                (try_table (catch $e $h) (drop (call $throws (local.get 1)))) (unreachable))
              (local.set 2 (i32.add (local.get 2)))
              (br_if $l (i32.lt_u (local.get 2) (i32.const 40))))
            (drop (call $fine (local.get 2)))""",
        )
    )
    fine = many(110).replace("NAME", "fine").replace("BODY", "")
    text = f"""(module (tag $e (param i32)) (global $n (mut i32) (i32.const 0))
      (func $tick (global.set $n (i32.add (global.get $n) (i32.const 1))) (loop))
      {throws} {handles} {fine}
      (func (export "f") (param i32) (result i32) (call $handles (local.get 0))))"""
    call = Call(chiwawa.load(text), "f", (2,), no_host)
    expected = both(call)
    last = expected.safepoints or 0
    for stop in compare_bytes(call, range(1, last + 1, max(1, last // 12))):
        cross(call, stop, expected)


TAIL = """(module (import "env" "f" (func $f (param i32) (result i32)))
  (import "env" "e" (tag $e (param i32)))
  (func $last (param i32) (result i32)
    (block $h (result i32)
      (try_table (catch $e $h) (return_call $f (i32.add (local.get 0) (i32.const 1))))
      (unreachable))
    (drop) (i32.const 99))
  (func (export "f") (param i32) (result i32)
    (block $h (result i32)
      (try_table (catch $e $h) (return (call $last (local.get 0)))) (unreachable))
    (i32.add (i32.const 1000))))"""


@each_path
def test_what_a_tail_call_throws_is_not_caught_where_it_is_made(path: str) -> None:
    tag = chiwawa.Tag(FuncType((I32,), ()))

    def function(n: int) -> int:
        if n > 5:
            raise chiwawa.Thrown.of(tag, n)
        if n == 5:
            interrupted.append(n)
            if len(interrupted) == 1:
                raise chiwawa.Interrupted
        return n

    interrupted: list[int] = []
    module = chiwawa.load(TAIL)
    imports: dict[str, dict[str, Any]] = {"env": {"f": function, "e": tag}}
    instance = chiwawa.instantiate(module, imports, path=path)
    assert instance.invoke("f", [2]) == [3]
    assert instance.invoke("f", [7]) == [1008]
    run = chiwawa.start(module, "f", [4], imports=imports, path=path)
    assert not run.go()
    other = PATHS[PATHS.index(path) - 1]
    again = chiwawa.restore(module, run.checkpoint(), imports=imports, path=other)
    assert run.go()
    assert again.go()
    assert run.results == again.results == [5]


@each_path
def test_exceptions_in_each_other_however_many(path: str) -> None:
    module = chiwawa.load("""(module (tag $e (export "e") (param i32 exnref))
      (func (export "f") (param $n i32) (result exnref) (local $x exnref)
        (loop $l
          (block $h (result exnref)
            (try_table (catch_all_ref $h) (throw $e (local.get $n) (local.get $x)))
            (unreachable))
          (local.set $x)
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $x))
      (func (export "depth") (param $x exnref) (result i32) (local $n i32)
        (loop $l
          (if (ref.is_null (local.get $x)) (then (return (local.get $n))))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (block $h (result i32 exnref)
            (try_table (catch $e $h) (throw_ref (local.get $x))) (unreachable))
          (local.set $x) (drop) (br $l))
        (unreachable)))""")
    instance = chiwawa.instantiate(module, path=path)
    (exception,) = instance.invoke("f", [5000])
    assert (exception.tag, exception.values[0]) == (instance.exports["e"], 1)
    assert instance.invoke("depth", [exception]) == [5000]
    # The host's own, which nobody has seen yet.
    made = None
    for n in range(3000):
        made = chiwawa.ExceptionInstance(instance.exports["e"], (n, made))
    assert instance.invoke("depth", [made]) == [3000]


@each_path
def test_an_exception_is_the_same_one_whenever_it_comes_back(path: str) -> None:
    """However much was thrown meanwhile: nothing moves it, and no other has its place."""
    module = chiwawa.load("""(module (tag $e (param i32)) (global $g (mut exnref) (ref.null exn))
      (func $make (param i32) (result exnref)
        (block $h (result exnref)
          (try_table (catch_all_ref $h) (throw $e (local.get 0))) (unreachable)))
      (func (export "make") (param i32) (result exnref) (call $make (local.get 0)))
      (func (export "keep") (param exnref) (global.set $g (local.get 0)))
      (func (export "kept") (result exnref) (global.get $g))
      (func (export "litter") (param $n i32)
        (loop $l
          (drop (call $make (local.get $n)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))""")
    instance = chiwawa.instantiate(module, path=path)
    (exception,) = instance.invoke("make", [7])
    instance.invoke("keep", [exception])
    seen = [exception]
    for n in range(3):
        instance.invoke("litter", [20_000])
        seen += instance.invoke("make", [n])
        assert instance.invoke("kept")[0] is exception
    assert [each.values for each in seen] == [(7,), (0,), (1,), (2,)]
    assert len(set(map(id, seen))) == 4


@each_path
def test_exceptions_are_as_they_were_when_counting_begins(path: str) -> None:
    """The native path takes another machine then, whose tags are others."""
    module = chiwawa.load("""(module (tag $e (export "e") (param i32))
      (global $g (mut exnref) (ref.null exn))
      (func (export "make") (param i32)
        (block $h (result exnref)
          (try_table (catch_all_ref $h) (throw $e (local.get 0))) (unreachable))
        (global.set $g))
      (func (export "f") (result i32)
        (loop)
        (block $h (result i32)
          (try_table (catch $e $h) (throw_ref (global.get $g))) (unreachable))))""")
    instance = chiwawa.instantiate(module, path=path)
    instance.invoke("make", [8])
    before = instance.globals[0].get()
    run = chiwawa.Run(instance, [instance.prepared("f", ())])
    run.requests.count_from(0, None)
    assert run.go()
    assert run.results == [8]
    assert instance.globals[0].get() is before


TRAPS = """(module (tag $e)
  (func $deep (call $deep))
  (func $stop (loop) (unreachable))
  (func $divide (loop) (drop (i32.div_u (i32.const 1) (i32.const 0))))
  (func (export "exhausts") (block $h (try_table (catch_all $h) (call $deep))))
  (func (export "stops") (block $h (try_table (catch_all $h) (call $stop))))
  (func (export "stops itself") (block $h (try_table (catch_all $h) (loop) (unreachable))))
  (func (export "divides") (block $h (try_table (catch_all $h) (call $divide))))
  (func (export "in an arm") (try (do (call $stop)) (catch_all)))
  (func (export "throws null") (loop)
    (block $h (try_table (catch_all $h) (throw_ref (ref.null exn))))))"""


@each_path
def test_no_trap_is_handled(path: str) -> None:
    """Though what is suspended, or says where it traps, comes back to the handler's calls."""
    instance = chiwawa.instantiate(chiwawa.load(TRAPS), path=path)
    seen = {}
    for name in instance.exports:
        with pytest.raises(chiwawa.Trap) as trap:
            instance.invoke(name)
        seen[name] = trap.value.message, min(len(trap.value.backtrace), KNOWN_FRAMES)
    assert seen == {
        "exhausts": ("call stack exhausted", KNOWN_FRAMES),
        "stops": ("unreachable", 2),
        "stops itself": ("unreachable", 1),
        "divides": ("integer divide by zero", 2),
        "in an arm": ("unreachable", 2),
        "throws null": ("null exception reference", 1),
    }


THROWER = """(module (tag $e (export "e") (param i32)) (table (export "t") 1 funcref)
  (func $f (export "f") (param i32) (result i32) (loop) (throw $e (local.get 0)))
  (func (export "keep") (result exnref)
    (block $h (result exnref)
      (try_table (catch_all_ref $h) (drop (call $f (i32.const 5)))) (unreachable)))
  (elem (i32.const 0) $f))"""
CATCHER = """(module (import "a" "e" (tag $e (param i32))) (import "a" "t" (table 1 funcref))
  (import "a" "f" (func $f (param i32) (result i32)))
  (import "a" "keep" (func $keep (result exnref)))
  (type $t (func (param i32) (result i32)))
  (func (export "by name") (param i32) (result i32)
    (block $h (result i32)
      (try_table (catch $e $h) (drop (call $f (local.get 0)))) (unreachable)))
  (func (export "by table") (param i32) (result i32)
    (block $h (result i32)
      (try_table (catch $e $h) (drop (call_indirect (type $t) (local.get 0) (i32.const 0))))
      (unreachable)))
  (func (export "by reference") (result i32)
    (block $h (result i32) (try_table (catch $e $h) (throw_ref (call $keep))) (unreachable)))
  (func (export "through") (param i32) (result i32)
    (call_indirect (type $t) (local.get 0) (i32.const 0))))"""
#: What has the tag alone, and may be made before what defines it has run.
OTHER = """(module (import "a" "e" (tag $e (param i32)))
  (func (export "catch") (param exnref) (result i32)
    (block $h (result i32) (try_table (catch $e $h) (throw_ref (local.get 0))) (unreachable))))"""


@pytest.mark.parametrize("together", [False, True])
@each_path
def test_instances_have_a_tag_in_common(path: str, together: bool) -> None:
    with paths.path(path).together() if together else nullcontext():
        thrower = chiwawa.instantiate(chiwawa.load(THROWER), path=path)
        catcher, other = (
            chiwawa.instantiate(chiwawa.load(each), {"a": thrower.exports}, path=path)
            for each in (CATCHER, OTHER)
        )
    (kept,) = thrower.invoke("keep")
    assert other.invoke("catch", [kept]) == [5]
    assert catcher.invoke("by name", [7]) == catcher.invoke("by table", [7]) == [7]
    assert catcher.invoke("by reference") == [5]
    with pytest.raises(chiwawa.Thrown) as thrown:
        catcher.invoke("through", [8])
    assert (thrown.value.tag, thrown.value.values) == (thrower.exports["e"], [8])
