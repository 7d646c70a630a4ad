"""Exceptions where the native path has them in ways of its own: by wasmtime, in frames that are
entered again in the middle, with locals in memory."""

from __future__ import annotations

from typing import Any

import pytest

import chiwawa
from chiwawa_runtime.state.types import I32, FuncType
from tests.nodiff.harness_helpers import Call, Log, both, check, compare_bytes, cross
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


#: What handles exceptions, in loops in each other and in what handles others; recursive, so that
#: many frames wait in it.
NESTED = """(module (tag $e (param i32 i64)) (tag $f)
  (func $g (param $n i32) (result i32) (local $i i32) (local $s i32)
    (if (i32.eqz (local.get $n)) (then (throw $f)))
    (loop $l
      (local.set $s (i32.add (local.get $s)
        (block $all (result i32)
          (block $none
            (block $h (result i32 i64)
              (try_table (catch $e $h) (catch_all $none)
                (loop $m
                  (try_table (catch $f $m)
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (if (i32.and (local.get $i) (i32.const 1))
                      (then (drop (call $g (i32.sub (local.get $n) (i32.const 1))))))
                    (throw $e (local.get $i) (i64.const 5)))))
              (unreachable))
            (i32.wrap_i64) (i32.add) (br $all))
          (i32.const 100))))
      (br_if $l (i32.lt_s (local.get $i) (i32.const 4))))
    (i32.add (local.get $s) (local.get $n)))
  (func (export "f") (param i32) (result i32) (call $g (local.get 0))))"""

#: What is delegated past what handles it, out of loops; to the function; what is thrown again by
#: an arm around.
DELEGATED = """(module (tag $e (param i32)) (tag $f)
  (func $g (param $n i32) (loop $l
    (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $l (local.get $n)))
    (throw $e (i32.const 7)))
  (func $out (param $n i32)
    (try (do (try (do (call $g (local.get $n))) (delegate 1))) (catch_all unreachable)))
  (func $f (param $n i32) (result i32)
    (try $a (result i32)
      (do
        (try $b (result i32)
          (do
            (loop $l (result i32)
              (try (result i32)
                (do
                  (if (i32.and (local.get $n) (i32.const 1))
                    (then (call $g (local.get $n))) (else (call $out (local.get $n))))
                  (i32.const 1))
                (delegate $a))))
          (catch_all (i32.const 2))))
      (catch $e
        (try (result i32)
          (do (call $g (i32.const 2)) (i32.const 3))
          (catch $f (i32.const 4))
          (catch $e (local.set $n)
            (try (result i32) (do (rethrow $a)) (catch_all (i32.const 30))))
          (catch_all (i32.const 5)))
        (i32.add))))
  (func (export "f") (param i32) (result i32) (call $f (local.get 0))))"""

#: Functions that call nothing, in which all is caught.
ALONE = """(module (tag $e (param i32)) (tag $f)
  (func $older (param $n i32) (result i32) (local $r i32)
    (try (result i32)
      (do
        (try (do (if (local.get $n) (then (throw $e (local.get $n))) (else (throw $f))))
          (catch $f (local.set $r (i32.const 4)) (rethrow 0)))
        (i32.const 0))
      (catch $e (i32.add (i32.const 1)))
      (catch_all (local.get $r))))
  (func $traps (param $n i32) (try (do (throw $f)) (catch_all (unreachable))))
  (func $newer (param $n i32) (result i32)
    (block $h (result i32)
      (try_table (catch $e $h) (throw $e (local.get $n))) (unreachable)))
  (func (export "traps") (call $traps (i32.const 1)))
  (func (export "f") (param i32) (result i32)
    (i32.add (call $older (local.get 0))
      (i32.add (call $older (i32.const 0)) (call $newer (local.get 0))))))"""

#: References to exceptions that cannot be null, where frames are saved and nobody looks at them.
NEVER_NULL = """(module (tag $e (param i32))
  (func $thrown (param $n i32) (result i32 (ref exn))
    (loop (try_table (catch_ref $e 1) (throw $e (local.get $n)))) (unreachable))
  (func $again (param $x (ref exn)) (param $n i32) (result (ref exn) (ref null noexn))
    (local $y (ref exn))
    (local.set $y (local.get $x))
    (loop $l
      (local.set $y (local.get $x))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (drop (call $thrown (i32.const 3))) (drop)
    (local.get $y) (ref.null noexn))
  (func (export "f") (param i32) (result i32) (local $k (ref exn))
    (call $thrown (local.get 0)) (local.set $k) (local.set 0)
    (block $h (result i32 (ref exn))
      (try_table (catch_ref $e $h)
        (call $again (local.get $k) (local.get 0)) (drop) (throw_ref))
      (unreachable))
    (drop)))"""


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
