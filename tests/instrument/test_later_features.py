"""Traces, monitors and probes where exceptions are thrown and handled, and of structures, arrays
and references that are called."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from chiwawa import At, Interrupted, Match, Module, Tag, Thrown
from chiwawa.instrument.counting.observed import Node
from chiwawa.instrument.monitors.monitors import MONITORS
from chiwawa.source import load
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.state.types import FuncType
from chiwawa_runtime.state.values import format_value
from tests.instrument.probe_helpers import fired
from tests.instrument.watching_helpers import EVERYTHING, same_text, started, watched
from tests.nodiff.harness_helpers import Call, Log
from tests.path_helpers import WATCHED, each_watched_path, next_path

EXCEPTIONS = """(module
  (tag $e (param i32 i64)) (tag $other)
  (global $g (mut exnref) (ref.null exn))
  (func $throw (param $n i32)
    (loop $l
      (local.set $n (i32.sub (local.get $n) (i32.const 2)))
      (br_if $l (i32.eq (local.get $n) (i32.const 4))))
    (if (i32.and (local.get $n) (i32.const 1)) (then (throw $e (local.get $n) (i64.const 6))))
    (throw $other))
  (func $catch (param $n i32) (result i32)
    (block $none
      (block $h (result i32 i64 exnref)
        (try_table (catch_ref $e $h) (catch $other $none)
          (call $throw (local.get $n)))
        (return (i32.const 0)))
      (global.set $g) (drop) (return))
    (i32.const 100))
  (func $older (param $n i32) (result i32)
    try (result i32)
      local.get $n
      call $throw
      i32.const 1
    catch $e
      drop
    catch_all
      i32.const 50
    end)
  (func (export "main") (param $n i32) (result i32) (local $s i32)
    (loop $l
      (local.set $s (i32.add (local.get $s) (call $catch (local.get $n))))
      (local.set $s (i32.add (local.get $s) (call $older (local.get $n))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (block $h (result exnref)
      (try_table (catch_all_ref $h) (throw_ref (global.get $g))) (unreachable))
    (drop)
    (local.get $s)))"""
OBJECTS = """(module
  (rec (type $node (sub (struct
    (field $value (mut i32)) (field $next (mut (ref null $node))) (field i8)))))
  (type $pair (sub final $node (struct
    (field (mut i32)) (field (mut (ref null $node))) (field i8) (field f64))))
  (type $row (array (mut i16)))
  (type $f (func (param i32) (result i32)))
  (global $kept (mut anyref) (ref.null any))
  (table $t 3 anyref)
  (elem declare func $twice)
  (func $twice (type $f) (i32.mul (i32.const 2) (local.get 0)))
  (func (export "main") (param $n i32) (result i32)
    (local $list (ref null $node)) (local $row (ref $row))
    (local.set $row (array.new $row (i32.const 3) (i32.const 10)))
    (loop $l
      (local.set $list (if (result (ref $node)) (i32.and (local.get $n) (i32.const 1))
        (then (struct.new $node (local.get $n) (local.get $list) (i32.const 7)))
        (else (struct.new $pair
          (local.get $n) (local.get $list) (i32.const 0x180) (f64.const 1.5)))))
      (array.set $row (local.get $row) (local.get $n)
        (i32.add (array.get_s $row (local.get $row) (i32.const 1)) (local.get $n)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (global.set $kept (local.get $list))
    (table.set $t (i32.const 1) (ref.i31 (i32.const 42)))
    (table.fill $t (i32.const 2) (local.get $row) (i32.const 1))
    (array.fill $row (local.get $row) (i32.const 0) (i32.const -1) (i32.const 2))
    (loop $walk
      (local.set $n (i32.add (local.get $n) (struct.get $node $value (local.get $list))))
      (block $no (result (ref null $node))
        (br_on_cast_fail $no (ref null $node) (ref $pair) (local.get $list))
        (struct.get_s $node 2)
        (local.set $n (i32.add (local.get $n)))
        (ref.null $node))
      (drop)
      (local.set $list (struct.get $node $next (local.get $list)))
      (br_if $walk (i32.eqz (ref.is_null (local.get $list)))))
    (call_ref $f
      (i32.add (local.get $n) (i31.get_s (ref.cast (ref i31) (table.get $t (i32.const 1)))))
      (ref.func $twice))))"""
#: How its objects are called.
NODE, PAIR, ROW = "struct with 3 fields", "struct with 4 fields", "array of 10 i16"
SOURCES = {"exceptions": EXCEPTIONS, "objects": OBJECTS}
each_source = pytest.mark.parametrize("source", SOURCES)
each_granularity = pytest.mark.parametrize("granularity", ["safepoint", "instruction"])


@cache
def module_of(source: str) -> Module:
    return load(SOURCES[source])


@each_source
@each_granularity
def test_what_is_traced_and_counted_is_the_same_also_when_it_is_moved(
    source: str, granularity: str
) -> None:
    call = Call(module_of(source), "main", (5,))
    first, *others = (watched(call, path, EVERYTHING, MONITORS, granularity) for path in WATCHED)
    assert first.ending is not None
    assert first.ending[0] == "returned"
    for other in others:
        same_text(first.text, other.text, f"{first.path} and {other.path}")
        assert (first.ending, first.passed) == (other.ending, other.passed)
        assert first.documents() == other.documents()
    for number in range(1, first.passed, 4 if granularity == "safepoint" else 40):
        begun = watched(call, WATCHED[number % 2], EVERYTHING, MONITORS, granularity, number)
        moved = begun.moved(next_path(begun.path, WATCHED))
        moved.go()
        same_text(first.text, moved.text, f"moved at {number}")
        assert moved.ending == first.ending


def lines(source: str, word: str, path: str) -> list[str]:
    """What stands after the instruction, in the lines of the trace that have it."""
    text = watched(Call(module_of(source), "main", (5,)), path).text
    found = [line for line in text.splitlines() if f"Instr:{word} " in line]
    return [line.split(" | ", 2)[2] for line in found]


@each_watched_path
def test_exceptions_and_objects_are_shown_by_their_kind(path: str) -> None:
    first, *_ = lines("exceptions", "global.set $g", path)
    assert first.startswith(
        "Stack:[I32(3), I64(6), REF(exn <exception with 2 values>)] | Locals:[I32(5)]"
    )
    (kept,) = lines("objects", "global.set $kept", path)
    assert kept.startswith(
        f"Stack:[REF(any <{NODE}>)] | Locals:[I32(0), REF(any <{NODE}>), REF(any <{ROW}>)]"
    )
    (called,) = lines("objects", "call_ref $f", path)
    assert "Stack:[I32(-199), REF(func 0)]" in called
    (put,) = lines("objects", "table.set", path)
    assert put.startswith("Stack:[I32(1), REF(any i31 42)]")


def instructions(node: Node) -> int:
    return node.instructions + sum(map(instructions, node.children.values()))


@each_watched_path
def test_the_frames_that_an_exception_goes_through_are_left_in_the_tree_of_calls(path: str) -> None:
    run = watched(Call(module_of("exceptions"), "main", (5,)), path, None, MONITORS)
    observed = run.instruments.observed()
    (main,) = observed.tree.children.values()
    assert main.calls == 1
    # Each of them calls what throws, and it never returns.
    assert {index: node.calls for index, node in main.children.items()} == {1: 5, 2: 5}
    for node in main.children.values():
        ((index, throwing),) = node.children.items()
        assert (index, throwing.calls, throwing.children) == (0, 5, {})
    whole = watched(Call(module_of("exceptions"), "main", (5,)), path)
    assert instructions(observed.tree) == len(whole.text.splitlines())


@each_watched_path
@pytest.mark.parametrize(
    "how", ["return_call $b", "return_call_ref $f (ref.func $b)", "return_call $plain"]
)
def test_a_tail_call_leaves_the_tree_of_calls(path: str, how: str) -> None:
    module = load(f"""(module
      (type $f (func))
      (elem declare func $b)
      (func $a ({how}))
      (func $b (loop))
      (func $plain)
      (func (export "main") (call $a) (call $a)))""")
    run = watched(Call(module, "main"), path, None, MONITORS)
    (main,) = run.instruments.observed().tree.children.values()
    called = 2 if "$plain" in how else 1
    assert {index: node.calls for index, node in main.children.items()} == {0: 2, called: 2}
    assert not any(node.children for node in main.children.values())


@each_watched_path
def test_what_a_call_of_a_reference_calls_is_counted(path: str) -> None:
    run = watched(Call(module_of("objects"), "main", (5,)), path, None, MONITORS)
    ((place, targets),) = run.instruments.observed().targets.items()
    assert place[0] == 1
    assert targets == {0: 1}


def shown(at: At) -> tuple[Any, ...]:
    """The instruction and its operands."""
    values = zip(at.operand_types, at.operands, strict=True)
    return at.op, tuple(format_value(t, v) for t, v in values)


@each_watched_path
@each_granularity
def test_probes_fire_where_exceptions_are_thrown_and_caught(path: str, granularity: str) -> None:
    module = module_of("exceptions")
    log = fired(module, "main", (2,), Match(op="throw"), path, granularity, shown)
    # 0 and -1: with what is thrown.
    assert [op for op, _ in log] == ["throw"] * 4
    assert log[2][1] == ("I32(-1)", "I64(6)")
    handler = fired(module, "main", (2,), Match(op="global.set"), path, granularity, shown)
    assert handler == [("global.set", ("I32(-1)", "I64(6)", "REF(exn <exception with 2 values>)"))]
    assert fired(module, "main", (2,), Match(op="throw_ref"), path, granularity, shown) == [
        ("throw_ref", ("REF(exn <exception with 2 values>)",))
    ]


@each_watched_path
@each_granularity
def test_probes_see_objects(path: str, granularity: str) -> None:
    module = module_of("objects")
    made = fired(module, "main", (2,), Match(op="struct.new"), path, granularity, shown)
    assert made == [
        ("struct.new", ("I32(2)", "REF(null any)", "I32(384)", "F64(1.5)")),
        ("struct.new", ("I32(1)", f"REF(any <{PAIR}>)", "I32(7)")),
    ]
    put = fired(module, "main", (2,), Match(op="array.set"), path, granularity, shown)
    assert put == [
        ("array.set", (f"REF(any <{ROW}>)", "I32(2)", "I32(5)")),
        ("array.set", (f"REF(any <{ROW}>)", "I32(1)", "I32(4)")),
    ]


@each_watched_path
@pytest.mark.parametrize(
    "how",
    [
        "return_call $boom",
        "return_call_indirect (type $f) (i32.const 0)",
        "return_call_ref $f (ref.func $boom)",
        "return_call $throw",
        "return_call_indirect (type $f) (i32.const 1)",
        "return_call $waits",
        "call $boom",
        "call $throw",
    ],
)
def test_an_exception_of_what_a_tail_call_calls_leaves_as_many_frames_as_there_are(
    path: str, how: str
) -> None:
    """Though what has left its frame already has others below it, and the host's is interrupted."""
    module = load(f"""(module
      (type $f (func))
      (import "env" "boom" (func $boom (type $f)))
      (import "env" "e" (tag $e))
      (table funcref (elem $boom $throw))
      (elem declare func $boom)
      (func $throw (throw $e))
      (func $waits (loop) (throw $e))
      (func $again (param i32)
        (if (i32.eqz (local.get 0)) (then ({how})))
        (if (i32.eq (local.get 0) (i32.const 1))
          (then (call $again (i32.const 0))))
        (block $h (try_table (catch_all $h)
          (call $again (i32.sub (local.get 0) (i32.const 1)))))
        (call $after))
      (func $after)
      (func (export "main")
        (call $again (i32.const 3))
        (call $after)))""")

    def make_imports(log: Log) -> Imports:
        tag = Tag(FuncType((), ()))

        def boom() -> None:
            log.append(())
            if len(log) == 1:
                run.run.requests.ask("wait")
                raise Interrupted
            raise Thrown.of(tag)

        return {"env": {"boom": boom, "e": tag}}

    call = Call(module, "main", make_imports=make_imports)
    run = started(call, path, None, MONITORS)
    assert run.go()
    assert run.interruptions == ("$boom" in how or "(i32.const 0)" in how)
    tree = run.instruments.observed().tree
    again, after, main = 3, 4, 5
    assert list(tree.children) == [main]
    node = tree.children[main]
    # Of the frames of the recursive function, the two oldest catch what the two others let through.
    for catches in (True, True, True, False, False):
        assert (after in node.children) == catches
        assert node.calls == 1
        node = node.children.get(again, node)
