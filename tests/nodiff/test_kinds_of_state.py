"""Kinds of state that other tests have not on all paths: each survives each change of path, and a
checkpoint whose copy of it somebody has changed is refused in a line; the digest is made right."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import chiwawa
from chiwawa import api, paths
from chiwawa_runtime import checkpoint
from chiwawa_runtime.errors import CheckpointError, UnlinkableError
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.state.snapshot import I31, Carried, FuncIdx, ObjIdx, Snapshot
from chiwawa_runtime.state.types import EXTERNREF, I32
from tests.path_helpers import PATHS, each_path

Tamper = Callable[[Snapshot], Snapshot]


def stopped(module: chiwawa.Module, path: str, *args: Any, **given: Any) -> Run:
    """The run of its ``run``, stopped at the first safepoint after it has called ``tick``."""
    imports = {"env": {"tick": lambda: run.requests.ask()}}
    run = chiwawa.start(module, "run", args, imports, path=path, **given)
    assert not run.go()
    run.requests.take()
    return run


def refused(module: chiwawa.Module, snapshot: Snapshot, path: str, **given: Any) -> str:
    """The line with which a restore is refused."""
    imports = {"env": {"tick": lambda: None}}
    with pytest.raises((CheckpointError, UnlinkableError)) as caught:
        chiwawa.restore(module, checkpoint.encode(snapshot), imports, path=path, **given)
    line = str(caught.value)
    assert "\n" not in line
    return line


def with_top(snapshot: Snapshot, **changes: Any) -> Snapshot:
    top, *others = snapshot.frames
    return replace(snapshot, frames=(top._replace(**changes), *others))


# References: to functions, of the host, and unboxed integers; wherever one can be.

REFERENCES = chiwawa.load("""(module
  (type $f (func (param i32) (result i32)))
  (type $g (func (param i64) (result i32)))
  (import "env" "tick" (func $tick))
  (global $function (mut funcref) (ref.null func))
  (global $typed (mut (ref $f)) (ref.func $twice))
  (global $outer (mut externref) (ref.null extern))
  (global $inner (mut anyref) (ref.null any))
  (table $functions 2 funcref)
  (table $typed 2 (ref null $f))
  (table $others 2 externref)
  (table $small 2 2 i31ref)
  (elem declare func $twice $other)
  (func $twice (type $f) (i32.mul (local.get 0) (i32.const 2)))
  (func $other (type $g) (i32.const 3))
  (func $held (param $h externref) (param $t (ref $f)) (result i32)
    (local $any anyref) (local $s (ref i31))
    (local.set $any (any.convert_extern (local.get $h)))
    (local.set $s (ref.i31 (i32.const -4)))
    (ref.i31 (i32.const 70))
    (local.get $h)
    (ref.func $other)
    (call $tick)
    (loop)
    (drop)
    (ref.is_null)
    (drop)
    (i31.get_s)
    (i32.add (i31.get_s (local.get $s)))
    (i32.add (ref.is_null (local.get $any)))
    (i32.add (call_ref $f (i32.const 10) (local.get $t))))
  (func (export "run") (param $h externref) (result i32)
    (global.set $function (ref.func $other))
    (global.set $outer (local.get $h))
    (global.set $inner (ref.i31 (i32.const 5)))
    (table.set $functions (i32.const 1) (ref.func $twice))
    (table.set $typed (i32.const 0) (ref.func $twice))
    (table.set $others (i32.const 1) (local.get $h))
    (table.set $small (i32.const 0) (ref.i31 (i32.const 9)))
    (call $held (local.get $h) (ref.func $twice))
    (i32.add (call_indirect $functions (type $f) (i32.const 100) (i32.const 1)))
    (i32.add (call_ref $f (i32.const 1000) (global.get $typed)))
    (i32.add (i31.get_s (table.get $small (i32.const 0))))))""")
LAMP: dict[str, object] = {"lamp": object()}
TICK, TWICE, OTHER = map(FuncIdx, range(3))


@cache
def with_references(path: str) -> Snapshot:
    return checkpoint.decode(stopped(REFERENCES, path, LAMP["lamp"], carry=LAMP).checkpoint())


def test_references_survive_each_change_of_path() -> None:
    written = {checkpoint.encode(with_references(path)) for path in PATHS}
    assert len(written) == 1
    (data,) = written
    snapshot = checkpoint.decode(data)
    assert [g.value for g in snapshot.globals] == [OTHER, TWICE, Carried("lamp"), I31(5)]
    assert [v for _, v in snapshot.frames[0].stack] == [I31(70), Carried("lamp"), OTHER]
    imports = {"env": {"tick": lambda: None}}
    for path in PATHS:
        run = chiwawa.restore(REFERENCES, data, imports, path=path, trust_host_state=True)
        assert run.checkpoint() == data
        assert run.go()
        assert run.results == [70 - 4 + 20 + 200 + 2000 + 9]


def with_global(index: int, value: Any) -> Tamper:
    def tampered(snapshot: Snapshot) -> Snapshot:
        globals_ = list(snapshot.globals)
        globals_[index] = replace(globals_[index], value=value)
        return replace(snapshot, globals=tuple(globals_))

    return tampered


def with_elements(index: int, *elements: Any) -> Tamper:
    def tampered(snapshot: Snapshot) -> Snapshot:
        tables = list(snapshot.tables)
        tables[index] = replace(tables[index], elements=elements)
        return replace(snapshot, tables=tuple(tables))

    return tampered


def with_local(index: int, value: Any) -> Tamper:
    def tampered(snapshot: Snapshot) -> Snapshot:
        locals_ = list(snapshot.frames[0].locals)
        locals_[index] = locals_[index][0], value
        return with_top(snapshot, locals=tuple(locals_))

    return tampered


def with_operand(index: int, *operand: Any) -> Tamper:
    def tampered(snapshot: Snapshot) -> Snapshot:
        stack = list(snapshot.frames[0].stack)
        stack[index] = (*stack[index][: 2 - len(operand)], *operand)
        return with_top(snapshot, stack=tuple(stack))

    return tampered


REFERENCES_TAMPERED: dict[str, Tamper] = {
    "a function that is not there": with_global(0, FuncIdx(9)),
    "a function of an instance that is not there": with_global(0, FuncIdx(1, 1)),
    "a function of another type": with_global(1, OTHER),
    "null where it may not be": with_global(1, None),
    "a function among the host's": with_global(2, TWICE),
    "a value of the host's that is not there": with_global(2, Carried("torch")),
    "a function among what is below any": with_global(3, TWICE),
    "an object that is not there": with_global(3, ObjIdx(0)),
    "a function that is not there, in a table": with_elements(0, None, FuncIdx(9)),
    "an integer among functions": with_elements(0, None, I31(1)),
    "a function of another type, in a table": with_elements(1, OTHER, None),
    "a value of the host's among functions": with_elements(1, Carried("lamp"), None),
    "a value that is not there, in a table": with_elements(2, Carried("torch"), None),
    "a value of the host's among integers": with_elements(3, Carried("lamp"), None),
    "an element too many": with_elements(3, I31(9), None, None),
    "a local of another hierarchy": with_local(0, TWICE),
    "a null local where it may not be": with_local(1, None),
    "a local of another type": with_local(1, OTHER),
    "a value of the host's that is no integer": with_local(3, Carried("lamp")),
    "an integer where it may not be null": with_local(3, None),
    "an operand of another hierarchy": with_operand(0, TWICE),
    "an operand that is a number": with_operand(0, I32, 70),
    "an operand of the host's that is not there": with_operand(1, Carried("torch")),
    "a function as an operand of the host's": with_operand(2, EXTERNREF, Carried("lamp")),
    "an operand that is a function that is not there": with_operand(2, FuncIdx(9)),
}


@pytest.mark.parametrize("what", REFERENCES_TAMPERED)
@each_path
def test_a_tampered_reference_is_refused_in_a_line(path: str, what: str) -> None:
    tampered = REFERENCES_TAMPERED[what](with_references(path))
    assert refused(REFERENCES, tampered, path, trust_host_state=True)


# Handlers in whose bodies and arms a program stands.

HANDLERS_TEXT = """(module
  (import "env" "tick" (func $tick))
  (tag $e (param i32))
  (func $wait (param $n i32) (result i32)
    (call $tick)
    (loop)
    (if (i32.and (local.get $n) (i32.const 1)) (then (throw $e (local.get $n))))
    (local.get $n))
  (func $older (param $n i32) (result i32)
    try (result i32)
      i32.const 7
      throw $e
    catch $e
      local.get $n
      call $wait
      i32.add
      try
        rethrow 1
      catch_all
      end
    end)
  (func $newer (param $n i32) (result i32)
    (block $h (result i32)
      (i32.const 1000)
      (try_table (result i32) (catch $e $h) (call $older (local.get $n)))
      (i32.add)
      (return))
    (i32.add (i32.const 50)))
  (func (export "run") (param $n i32) (result i32) (call $newer (local.get $n))))"""
#: Alone, and beside a type for which the native path says more of references.
HANDLERS = {
    "plain": chiwawa.load(HANDLERS_TEXT),
    "typed": chiwawa.load(HANDLERS_TEXT.replace("(tag", "(type (sub (array i8))) (tag")),
}


@cache
def in_handlers(path: str, n: int, which: str) -> Snapshot:
    return checkpoint.decode(stopped(HANDLERS[which], path, n).checkpoint())


@pytest.mark.parametrize("which", HANDLERS)
@pytest.mark.parametrize(("n", "result"), [(4, 1000 + 11), (5, 5 + 50)])
def test_handlers_survive_each_change_of_path(n: int, result: int, which: str) -> None:
    written = {checkpoint.encode(in_handlers(path, n, which)) for path in PATHS}
    assert len(written) == 1
    (data,) = written
    assert len(checkpoint.decode(data).objects) == 1
    for path in PATHS:
        run = chiwawa.restore(HANDLERS[which], data, {"env": {"tick": lambda: None}}, path=path)
        assert run.checkpoint() == data
        assert run.go()
        assert run.results == [result]


def with_older(snapshot: Snapshot, **changes: Any) -> Snapshot:
    """Of the frame whose arm has caught an exception."""
    frames = list(snapshot.frames)
    assert (frames[1].function, frames[1].stack[0][1]) == (2, ObjIdx(0))
    frames[1] = frames[1]._replace(**changes)
    return replace(snapshot, frames=tuple(frames))


def offset_of(name: str, function: int) -> int:
    func = HANDLERS["plain"].funcs[function - 1]
    return next(instr.offset for instr in func.body if instr.op.name == name)


HANDLERS_TAMPERED: dict[str, Tamper] = {
    "no exception in the arm": lambda s: replace(
        with_older(s, stack=((s.frames[1].stack[0][0], None), *s.frames[1].stack[1:])), objects=()
    ),
    "an integer for the exception": lambda s: replace(
        with_older(s, stack=((I32, 1), *s.frames[1].stack[1:])), objects=()
    ),
    "an operand too few": lambda s: with_older(s, stack=s.frames[1].stack[:1]),
    "what was carried twice": lambda s: with_older(
        s, stack=(*s.frames[1].stack, s.frames[1].stack[1])
    ),
    "a place outside of the arm": lambda s: with_older(s, offset=offset_of("throw", 2)),
    "a place where nothing waits": lambda s: with_older(s, offset=offset_of("catch", 2)),
    "an exception that is not there": lambda s: replace(s, objects=()),
    "a tag that is not there": lambda s: replace(s, objects=(replace(s.objects[0], tag=1),)),
    "what is carried of another type": lambda s: replace(
        s, objects=(replace(s.objects[0], fields=()),)
    ),
}


@pytest.mark.parametrize("what", HANDLERS_TAMPERED)
@pytest.mark.parametrize("which", HANDLERS)
@each_path
def test_a_tampered_handler_is_refused_in_a_line(path: str, which: str, what: str) -> None:
    tampered = HANDLERS_TAMPERED[what](in_handlers(path, 4, which))
    assert refused(HANDLERS[which], tampered, path)


# Instances that are linked: what they share, and whose frames alternate.

BELOW = chiwawa.load("""(module $below
  (type $f (func (param i32) (result i32)))
  (memory (export "memory") 1 4)
  (memory (export "wide") i64 1 4)
  (table (export "table") 2 8 funcref)
  (table (export "wide_table") i64 1 8 externref)
  (global (export "count") (mut i64) (i64.const 5))
  (global (export "thrown") (mut exnref) (ref.null exn))
  (tag (export "error") (param i32))
  (func (export "through") (type $f)
    (i32.add (i32.const 1) (call_indirect (type $f) (local.get 0) (i32.const 1)))))""")
ABOVE = chiwawa.load("""(module $above
  (type $f (func (param i32) (result i32)))
  (import "env" "tick" (func $tick))
  (import "below" "through" (func $through (type $f)))
  (import "below" "memory" (memory $m 1))
  (import "below" "wide" (memory $w i64 1))
  (import "below" "table" (table $t 2 funcref))
  (import "below" "wide_table" (table $u i64 1 externref))
  (import "below" "count" (global $count (mut i64)))
  (import "below" "thrown" (global $thrown (mut exnref)))
  (import "below" "error" (tag $error (param i32)))
  (elem (table $t) (i32.const 1) func $mine)
  (func $mine (type $f)
    (if (local.get 0)
      (then (return (call $through (i32.sub (local.get 0) (i32.const 1))))))
    (call $tick)
    (loop)
    (throw $error (i32.load (i32.const 8))))
  (func (export "run") (param $n i32) (result i32)
    (i32.store $m (i32.const 8) (i32.const 30))
    (drop (memory.grow $w (i64.const 1)))
    (i64.store $w (i64.const 65544) (i64.const 7))
    (drop (table.grow $t (ref.func $mine) (i32.const 3)))
    (drop (table.grow $u (ref.null extern) (i64.const 2)))
    (global.set $count (i64.const 12))
    (global.set $thrown (block $h (result exnref)
      (try_table (catch_all_ref $h) (throw $error (i32.const 100))) (unreachable)))
    (block $e (result i32)
      (try_table (catch $error $e) (drop (call $mine (local.get $n)))) (unreachable))
    (block $e (result i32)
      (try_table (catch $error $e) (throw_ref (global.get $thrown))) (unreachable))
    (i32.add)
    (i32.add (i32.wrap_i64 (global.get $count)))
    (i32.add (i32.wrap_i64 (i64.load $w (i64.const 65544))))
    (i32.add (table.size $t))
    (i32.add (i32.wrap_i64 (table.size $u)))))""")
SUM = 30 + 100 + 12 + 7 + 5 + 3


@cache
def linked(path: str, n: int) -> Snapshot:
    """Stopped with ``n`` frames of the other instance."""
    imports: dict[str, Any] = {"env": {"tick": lambda: run.requests.ask()}}
    with paths.path(path).together():
        below = api.instantiate(BELOW, path=path)
        imports["below"] = below.exports
        run = api.start(ABOVE, "run", (n,), imports, path=path)
    assert not run.go()
    run.requests.take()
    return checkpoint.decode(run.checkpoint())


@pytest.mark.parametrize("n", [0, 2])
def test_what_instances_share_survives_each_change_of_path(n: int) -> None:
    """Also where a table has led from one into the other."""
    written = {checkpoint.encode(linked(path, n)) for path in PATHS}
    assert len(written) == 1
    (data,) = written
    snapshot = checkpoint.decode(data)
    assert [frame.instance for frame in snapshot.frames] == [0, *[1, 0] * n, 0]
    assert [len(each) for each in (snapshot.memories, snapshot.tables, snapshot.globals)] == [2] * 3
    imports = {"env": {"tick": lambda: None}}
    for path in PATHS:
        run = api.restore(ABOVE, data, imports, path=path, modules=[BELOW])
        assert run.checkpoint() == data
        assert run.go()
        assert run.results == [SUM]


def own(snapshot: Snapshot, **changes: Any) -> Snapshot:
    assert snapshot.spaces is not None
    return replace(snapshot, spaces=replace(snapshot.spaces, **changes))


def others(snapshot: Snapshot, **changes: Any) -> Snapshot:
    (image,) = snapshot.others
    return replace(snapshot, others=(replace(image, spaces=replace(image.spaces, **changes)),))


LINKED_TAMPERED: dict[str, tuple[Tamper, str]] = {
    "memories in another order": (
        lambda s: own(s, memories=s.instances[0].spaces.memories[::-1]),
        "are not numbered in order",
    ),
    "memories whose kinds of addresses are the other way round": (
        lambda s: replace(s, memories=s.memories[::-1]),
        "its memories are not those of the module",
    ),
    "tables whose kinds of addresses are the other way round": (
        lambda s: replace(s, tables=s.tables[::-1]),
        "its tables are not those of the module",
    ),
    "tables in another order": (
        lambda s: own(s, tables=s.instances[0].spaces.tables[::-1]),
        "are not numbered in order",
    ),
    "globals in another order": (
        lambda s: own(s, globals=s.instances[0].spaces.globals[::-1]),
        "are not numbered in order",
    ),
    "no tags": (lambda s: own(s, tags=()), "its tags are not those of the module"),
    "a tag that nobody defines": (lambda s: own(s, tags=(1,)), "are not numbered in order"),
    "no tags in the one that defines them": (
        lambda s: others(s, tags=()),
        "its tags are not those of the module",
    ),
    "an exception of a tag that is not there": (
        lambda s: replace(s, objects=(replace(s.objects[0], tag=1),)),
        "an exception has a tag that no instance has",
    ),
    "frames that do not alternate": (
        lambda s: replace(s, frames=(s.frames[0], *s.frames[2:])),
        "calls another function than",
    ),
    "a frame of the other instance": (
        lambda s: replace(
            s, frames=(*s.frames[:1], s.frames[1]._replace(instance=0), *s.frames[2:])
        ),
        "is of no function that the module defines|is at no",
    ),
}


@pytest.mark.parametrize("what", LINKED_TAMPERED)
@each_path
def test_tampered_links_are_refused_in_a_line(path: str, what: str) -> None:
    tamper, message = LINKED_TAMPERED[what]
    line = refused(ABOVE, tamper(linked("interp", 2)), path, modules=[BELOW])
    assert re.search(message, line)
