"""Several linked instances in one checkpoint: what they share, and frames that alternate."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest

import chiwawa
from chiwawa import Global, Wasi, api, paths
from chiwawa.program import program_of
from chiwawa.source import load
from chiwawa_runtime import checkpoint
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.errors import CheckpointError, Trap, UnlinkableError
from chiwawa_runtime.run.instance import Instance, Run
from chiwawa_runtime.state.snapshot import FuncIdx, Snapshot
from chiwawa_runtime.state.types import I32
from tests.nodiff.linked_helpers import ABOVE, BELOW
from tests.path_helpers import IN_PYTHON, PATHS

BELOW_MODULE, ABOVE_MODULE = load(BELOW), load(ABOVE)
#: Calls of each other without a table: machine code stops there, too.
LIBRARY = load("""(module $library
  (global $calls (mut i64) (i64.const 0))
  (memory 1)
  (func (export "sum") (param i32) (result i32) (local i32)
    (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
    (loop $on
      (local.set 1 (i32.add (local.get 1) (local.get 0)))
      (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (i32.store (i32.const 64) (i32.add (i32.load (i32.const 64)) (local.get 1)))
    (i32.load (i32.const 64)))
  (func (export "calls") (result i64) (global.get $calls)))""")
CALLER = load("""(module $caller
  (import "library" "sum" (func $sum (param i32) (result i32)))
  (import "library" "calls" (func $calls (result i64)))
  (func $twice (param i32) (result f64)
    (f64.convert_i32_s (i32.add (call $sum (local.get 0)) (call $sum (i32.const 2)))))
  (func (export "main") (param i32) (result f64 i64)
    (f64.add (f64.const 0.5) (call $twice (local.get 0))) (call $calls)))""")


def looked_at(run: Run, others: Sequence[ModuleInstance], stop_at: int) -> None:
    """Have ``run`` stop at the safepoint ``stop_at`` of all that its instances come to."""
    left = stop_at

    def look() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            run.requests.ask()

    for instance in (run.instance, *others):
        instance.engine.safepoints.watch(look, 1)


def stopped(start: Callable[[], tuple[Run, list[ModuleInstance]]], stop_at: int) -> Run | None:
    """The run, stopped there and looked at no more; None where it has ended before."""
    run, others = start()
    looked_at(run, others, stop_at)
    if run.go():
        return None
    assert run.requests.take() == ["api"]
    return run


def shared(path: str, name: str, arg: int) -> tuple[Run, list[ModuleInstance]]:
    first = api.instantiate(BELOW_MODULE, path=path)
    run = api.start(ABOVE_MODULE, name, (arg,), {"below": first.exports}, path=path)
    return run, [first]


def calling(path: str) -> tuple[Run, list[ModuleInstance]]:
    first = api.instantiate(LIBRARY, path=path)
    run = api.start(CALLER, "main", (3,), {"library": first.exports}, path=path)
    return run, [first]


@pytest.mark.parametrize(("name", "arg"), [("mine", 3), ("leaf", 5), ("loops", 2), ("again", 2)])
def test_instances_that_share_everything_survive_at_every_safepoint(name: str, arg: int) -> None:
    """Written alike on each path, and restored on each."""
    whole, _ = shared("aot", name, arg)
    assert whole.go()
    for number in range(1, 1000):
        runs = [stopped(lambda path=path: shared(path, name, arg), number) for path in IN_PYTHON]
        if None in runs:
            assert runs == [None] * len(IN_PYTHON)
            break
        files = {run.checkpoint() for run in runs if run is not None}
        assert len(files) == 1
        (data,) = files
        for path in IN_PYTHON:
            again = api.restore(ABOVE_MODULE, data, path=path, modules=[BELOW_MODULE])
            assert again.checkpoint() == data
            assert again.go()
            assert again.results == whole.results
    assert number > 2


def test_machine_code_that_calls_another_instances_is_written_and_restored_like_all_other() -> None:
    whole, _ = calling("aot")
    assert whole.go()
    several = 0
    for number in range(1, 1000):
        runs = [stopped(lambda path=path: calling(path), number) for path in PATHS]
        if None in runs:
            assert runs == [None] * len(PATHS)
            break
        files = {run.checkpoint() for run in runs if run is not None}
        assert len(files) == 1
        (data,) = files
        several += len({frame.instance for frame in checkpoint.decode(data).frames}) > 1
        for path in PATHS:
            again = api.restore(CALLER, data, path=path, modules=[LIBRARY])
            assert again.checkpoint() == data
            assert again.go()
            assert again.results == whole.results
    assert several > 2


@pytest.mark.parametrize(("to", "path"), list(product(IN_PYTHON, IN_PYTHON)))
def test_what_was_one_thing_is_one_thing_again(path: str, to: str) -> None:
    """Also what has grown; and two instances of one module stay two."""
    holder = load("""(module $holder
      (memory (export "m") 1 3) (table (export "t") 2 9 funcref)
      (global (export "g") (mut funcref) (ref.null func))
      (func (export "size") (result i32) (memory.size)))""")
    user = load("""(module
      (import "a" "m" (memory 1)) (import "a" "t" (table 2 funcref))
      (import "a" "g" (global (mut funcref))) (import "a" "size" (func $size (result i32)))
      (import "b" "g" (global $other (mut funcref)))
      (elem declare func $mine $size)
      (func $mine (result i32) (i32.const 9))
      (func (export "main") (result i32)
        (drop (memory.grow (i32.const 2)))
        (drop (table.grow (ref.func $mine) (i32.const 3)))
        (global.set 0 (ref.func $size)) (global.set $other (ref.func $mine))
        (i32.store (i32.const 131072) (i32.const 77))
        (loop $on (br_if $on (i32.eqz (i32.load (i32.const 0)))))
        (i32.add (call_indirect (result i32) (i32.const 4)) (call $size))))""")
    a, b = (api.instantiate(holder, path=path) for _ in range(2))
    run = api.start(user, "main", (), {"a": a.exports, "b": b.exports}, path=path, count=4)
    run.instance.beside = [b, a]
    assert not run.go()
    run.requests.take()
    data = run.checkpoint()
    snapshot = checkpoint.decode(data)
    assert [len(each) for each in (snapshot.instances, snapshot.memories, snapshot.tables)] == [
        3,
        2,
        2,
    ]
    again = api.restore(user, data, path=to, modules=[holder])
    assert again.checkpoint() == data
    second, first = again.beside
    one = again.instance
    assert one.memories[0] is first.memories[0] is not second.memories[0]
    assert one.tables[0] is first.tables[0]
    assert one.globals == [first.globals[0], second.globals[0]]
    assert one.globals[0].value is first.functions[0]
    assert second.globals[0].value is one.functions[1] is one.tables[0].get(4)
    first.memories[0].write(0, b"\x01")
    assert again.go()
    assert again.results == [9 + 3]
    assert first.memories[0].read(131072, 1) == b"\x4d"


#: Types of elements that are never null; an element that the first instance can give, or what it
#: has of the host to begin with; and one that the other instance puts there.
NEVER_NULL = {
    "of a type": ("(ref $f)", "(ref.func $mine)", "(ref.func $mine)"),
    "of a type that the first instance has no function of": ("(ref $f)", None, "(ref.func $mine)"),
    "functions": ("(ref func)", None, "(ref.func $mine)"),
    "integers": ("(ref i31)", "(ref.i31 (i32.const 1))", "(ref.i31 (i32.const 70000))"),
    "anything": ("(ref any)", "(ref.i31 (i32.const 1))", "(ref.i31 (i32.const 7))"),
    "the host's": ("(ref extern)", None, "(extern.convert_any (ref.i31 (i32.const 7)))"),
    "exceptions": ("(ref exn)", None, "(call $caught)"),
}


@pytest.mark.parametrize("to", PATHS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("what", NEVER_NULL)
def test_a_table_without_nulls_that_was_empty_at_first_has_its_elements_again(
    what: str, path: str, to: str
) -> None:
    """When it is made, there is nothing yet to fill it with."""
    type_, first, element = NEVER_NULL[what]
    functions = """
      (tag $e)
      (elem declare func $mine)
      (func $mine (type $f) (i32.const 9))
      (func $caught (result (ref exn))
        (block $h (result (ref exn)) (try_table (catch_ref $e $h) (throw $e)) (unreachable)))"""
    named = "(type $f (func (param i64) (result i32)))"
    holder = load(f"""(module {named} {"" if first else f'(import "h" "g" (global {type_}))'}
      (table (export "t") 0 5 {type_} {first or "(global.get 0)"})
      {"(func $mine (type $f) (i32.const 5))" if first else ""})""")
    user = load(f"""(module {named} (import "h" "stop" (func $stop))
      (import "a" "t" (table 0 {type_}))
      {functions}
      (func (export "main") (result i32)
        (drop (table.grow {element} (i32.const 3)))
        (call $stop)
        (loop)
        (table.size)))""")
    modules = [holder]
    beside: list[Instance] = []
    runs: list[Run] = []
    imports: dict[str, dict[str, Any]] = {"h": {"stop": lambda: runs[0].requests.ask()}}
    with paths.path(path).together():
        if first is None:
            giving = f"""(module {named} {functions}
              (func (export "give") (result {type_}) {element}))"""
            modules.append(load(giving))
            beside.append(api.instantiate(modules[-1], path=path))
            (value,) = beside[-1].invoke("give")
            imports["h"]["g"] = Global(program_of(holder).globals[0], value)
        a = api.instantiate(holder, imports, path=path)
        run = api.start(user, "main", (), {"a": a.exports, **imports}, path=path)
    runs.append(run)
    run.instance.beside = [a, *beside]
    assert not run.go()
    run.requests.take()
    data = run.checkpoint()
    assert len(checkpoint.decode(data).tables[0].elements) == 3
    again = api.restore(user, data, imports, path=to, modules=modules)
    assert again.checkpoint() == data
    assert again.go()
    assert again.results == [3]


@pytest.mark.parametrize("path", PATHS)
def test_a_host_function_that_an_instance_hands_on_is_the_same_again(path: str) -> None:
    host = load(
        """(module (import "h" "f" (func (param i32) (result i32))) (export "f" (func 0)))"""
    )
    user = load("""(module (import "x" "f" (func $f (param i32) (result i32)))
      (func (export "main") (result i32) (local i32)
        (loop $on (local.set 0 (call $f (local.get 0)))
          (br_if $on (i32.lt_u (local.get 0) (i32.const 10)))) (local.get 0)))""")
    given = {"h": {"f": lambda n: n + 3}}
    first = api.instantiate(host, given, path=path)
    run = api.start(user, "main", (), {"x": first.exports}, path=path, count=3)
    assert not run.go()
    data = run.checkpoint()
    assert api.restore(user, data, given, path=path, modules=[host]).checkpoint() == data
    again = api.restore(user, data, given, path=path, modules=[host])
    assert again.go()
    assert again.results == [12]
    with pytest.raises(UnlinkableError, match='unknown import "h" "f"'):
        api.restore(user, data, path=path, modules=[host])


def test_the_wasi_of_an_instance_that_is_linked_travels(capfd: pytest.CaptureFixture[str]) -> None:
    printing = load("""(module (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 0) "\\10\\00\\00\\00\\02\\00\\00\\00")
      (data (i32.const 16) "ok")
      (func (export "say") (drop
        (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))""")
    user = load("""(module (import "p" "say" (func $say))
      (func (export "main") (call $say) (call $say)))""")
    out = io.BytesIO()
    first = api.instantiate(printing, path="aot", wasi=Wasi(stdout=out))
    run = api.start(user, "main", (), {"p": first.exports}, path="aot", count=2)
    assert not run.go()
    data = run.checkpoint()
    with pytest.raises(CheckpointError, match="has WASI state"):
        api.restore(user, data, modules=[printing])
    wasi = Wasi.load(data, stdout=out)
    assert api.restore(user, data, modules=[printing], path="interp", wasi=wasi).go()
    assert out.getvalue() == b"okok"


# Files that say what cannot be.


def linked_snapshot() -> Snapshot:
    """Stopped with frames of both instances."""
    run = stopped(lambda: shared("aot", "mine", 3), 8)
    assert run is not None
    snapshot = run.snapshot()
    assert [frame.instance for frame in snapshot.frames] == [1, 0, 1, 0, 0]
    return checkpoint.decode(checkpoint.encode(snapshot))


def own(snapshot: Snapshot, **changes: object) -> Snapshot:
    assert snapshot.spaces is not None
    spaces = dataclasses.replace(snapshot.spaces, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(snapshot, spaces=spaces)


def other(snapshot: Snapshot, **changes: object) -> Snapshot:
    (image,) = snapshot.others
    spaces = dataclasses.replace(image.spaces, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(snapshot, others=(dataclasses.replace(image, spaces=spaces),))


def framed(snapshot: Snapshot, position: int, **changes: object) -> Snapshot:
    frames = list(snapshot.frames)
    frames[position] = frames[position]._replace(**changes)
    return dataclasses.replace(snapshot, frames=tuple(frames))


def with_links(snapshot: Snapshot, function: int, *, index: int = 0) -> Snapshot:
    """With another first link."""
    assert snapshot.spaces is not None
    return own(snapshot, links=((index, FuncIdx(function, 1)), *snapshot.spaces.links[1:]))


def with_element(snapshot: Snapshot, element: FuncIdx) -> Snapshot:
    table = snapshot.tables[0]
    table = dataclasses.replace(table, elements=(element, *table.elements[1:]))
    return dataclasses.replace(snapshot, tables=(table,))


def in_a_circle(snapshot: Snapshot) -> Snapshot:
    """The importing instance twice, each as the definer of what the other imports."""
    spaces = dataclasses.replace(
        snapshot.instances[0].spaces, links=((0, FuncIdx(0)), (1, FuncIdx(1)))
    )
    first = dataclasses.replace(spaces, links=((0, FuncIdx(0, 1)), (1, FuncIdx(1, 1))))
    again = dataclasses.replace(snapshot.instances[0], spaces=spaces)
    return dataclasses.replace(snapshot, spaces=first, others=(again,), frames=(), plan=())


HOSTILE: dict[str, tuple[Callable[[Snapshot], Snapshot], str]] = {
    "no link": (lambda s: own(s, links=()), 'unknown import "below" "leaf"'),
    "a link of what is no import": (
        lambda s: own(s, links=((9, FuncIdx(0, 1)),)),
        "instance 0 does not import function 9",
    ),
    "a link to nothing": (lambda s: with_links(s, 99), "linked with function 99, not there"),
    "a link of another type": (lambda s: with_links(s, 0), "incompatible import type"),
    "no memory": (
        lambda s: own(s, memories=()),
        "its memories are not those of the module",
    ),
    "no table": (lambda s: other(s, tables=()), "its tables are not those of the module"),
    "a global that is not shared": (
        lambda s: dataclasses.replace(other(s, globals=(1,)), globals=s.globals * 2),
        'unknown import "below" "count"',
    ),
    "a circle": (in_a_circle, "import from each other in a circle"),
    "a frame of another instance": (
        lambda s: framed(s, 1, instance=1),
        "is of no function that the module defines|is at no call",
    ),
    "a youngest frame of another instance": (
        lambda s: framed(s, 0, instance=0),
        "is of no function that the module defines|is at no safepoint",
    ),
    "a frame that calls another function": (
        lambda s: dataclasses.replace(s, frames=(*s.frames[:2], *s.frames[3:])),
        "calls another function than",
    ),
    "values of other types": (
        lambda s: framed(s, 2, locals=((I32, 1), (I32, 2))),
        "has values of other types",
    ),
    "a reference to nothing": (
        lambda s: with_element(s, FuncIdx(99, 1)),
        "refers to function 99, which is not there",
    ),
    "a reference to no instance": (
        lambda s: with_element(s, FuncIdx(1, 2)),
        "refers to function 1, which is not there",
    ),
    "other segments": (
        lambda s: dataclasses.replace(
            s, others=(dataclasses.replace(s.others[0], dropped_datas=(True,)),)
        ),
        "its segments are not those of the module",
    ),
    "a table outside its limits": (
        lambda s: dataclasses.replace(
            s, tables=(dataclasses.replace(s.tables[0], elements=(None,) * 3),)
        ),
        "is outside its limits",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("path", IN_PYTHON)
def test_what_linked_instances_cannot_be_is_refused_in_a_line(what: str, path: str) -> None:
    change, message = HOSTILE[what]
    snapshot = change(linked_snapshot())
    with pytest.raises((CheckpointError, UnlinkableError), match=message) as caught:
        api.restore(ABOVE_MODULE, snapshot, path=path, modules=[BELOW_MODULE])
    assert "\n" not in str(caught.value)


def test_modules_that_are_not_given_are_named() -> None:
    data = checkpoint.encode(linked_snapshot())
    with pytest.raises(CheckpointError, match="module of a linked instance is not given: its sha"):
        api.restore(ABOVE_MODULE, data)
    with pytest.raises(CheckpointError, match="this checkpoint is of another module"):
        api.restore(BELOW_MODULE, data, modules=[ABOVE_MODULE])
    run = stopped(lambda: calling("aot"), 3)
    assert run is not None
    with pytest.raises(CheckpointError, match='module "library" of a linked instance'):
        api.restore(CALLER, run.checkpoint(), modules=[ABOVE_MODULE])


@pytest.mark.parametrize("path", IN_PYTHON)
def test_memories_that_instances_share_count_once_towards_the_allowance(path: str) -> None:
    snapshot = linked_snapshot()
    size = snapshot.memories[0].size
    modules = [BELOW_MODULE]
    with pytest.raises(CheckpointError, match=f"its memories take {size} bytes"):
        api.restore(
            ABOVE_MODULE,
            snapshot,
            path=path,
            modules=modules,
            limits=chiwawa.Limits(memory=size - 1),
        )
    assert api.restore(
        ABOVE_MODULE, snapshot, path=path, modules=modules, limits=chiwawa.Limits(memory=size)
    ).go()


@pytest.mark.parametrize("path", IN_PYTHON)
def test_frames_of_several_instances_can_be_as_deep_as_the_call_stack_and_no_deeper(
    path: str,
) -> None:
    snapshot = linked_snapshot()
    youngest, *pair = snapshot.frames[:3]
    rest = snapshot.frames[3:]
    frames = (youngest, *(pair * 70_000), *rest)
    deep = dataclasses.replace(snapshot, frames=frames)
    with pytest.raises(CheckpointError, match="more than the call stack has room for"):
        api.restore(ABOVE_MODULE, deep, path=path, modules=[BELOW_MODULE])
    some = dataclasses.replace(snapshot, frames=(youngest, *(pair * 500), *rest))
    again = api.restore(ABOVE_MODULE, some, path=path, modules=[BELOW_MODULE])
    assert again.go()


@pytest.mark.parametrize("path", IN_PYTHON)
def test_a_trap_after_a_restore_has_the_frames_of_all_instances(path: str) -> None:
    below = load("""(module (func $trap (export "f") (param i32) (result i32)
      (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (i32.div_u (i32.const 1) (local.get 0))))""")
    above = load("""(module (import "b" "f" (func $f (param i32) (result i32)))
      (func $main (export "main") (result i32) (call $f (i32.const 4))))""")

    def start() -> tuple[Run, list[ModuleInstance]]:
        first = api.instantiate(below, path="aot")
        return api.start(above, "main", (), {"b": first.exports}, path="aot"), [first]

    with pytest.raises(Trap) as whole:
        start()[0].go()
    run = stopped(start, 4)
    assert run is not None
    again = api.restore(above, run.checkpoint(), path=path, modules=[below])
    with pytest.raises(Trap, match="integer divide by zero") as caught:
        again.go()
    assert caught.value.backtrace == whole.value.backtrace
