"""Structures, arrays and unboxed integers in checkpoints: alike on each path that has them, stopped
anywhere and restored on another, with all that refers to them and all that they refer to."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chiwawa
from chiwawa import paths
from chiwawa_runtime import checkpoint
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.state.heap import External
from chiwawa_runtime.state.snapshot import (
    I31,
    ArrayImage,
    Carried,
    ExceptionImage,
    FuncIdx,
    ObjIdx,
    SegmentImage,
    StructImage,
    TypeIdx,
)
from chiwawa_runtime.state.types import (
    ANYREF,
    EXNREF,
    EXTERNREF,
    F32,
    FUNCREF,
    I8,
    I16,
    I32,
    I64,
    V128,
)
from tests.nodiff.heap_helpers import (
    HAVING,
    MODULE,
    RESULT,
    each_having,
    silent,
    snapshot_of,
    stopped_at,
    ticking,
)
from tests.path_helpers import WATCHED, next_path, running


def stops(path: str, granularity: str) -> list[tuple[bytes, int]]:
    """A checkpoint at each place where ``MODULE`` can stop, with how often it had ticked."""
    log: list[int] = []
    imports = ticking(log.append)
    run = chiwawa.start(MODULE, "run", [3], imports=imports, path=path, granularity=granularity)
    found = []
    run.requests.ask()
    while not run.go():
        found.append((run.checkpoint(), len(log)))
        run.requests.take()
        run.requests.ask()
    assert (run.results, log) == (RESULT, [1, 3, 2])
    return found


@pytest.mark.parametrize("granularity", ["safepoint", "instruction"])
def test_each_path_goes_on_from_each_place_of_the_others(granularity: str) -> None:
    among = [p for p in HAVING if granularity in paths.path(p).granularities]
    first, *others = [stops(path, granularity) for path in among]
    assert all(other == first for other in others)
    step = 1 if granularity == "safepoint" else 5
    for place, (data, ticks) in list(enumerate(first))[::step]:
        assert checkpoint.encode(checkpoint.decode(data)) == data
        log: list[int] = []
        path = next_path(among[place % len(among)], among)
        run = chiwawa.restore(MODULE, data, imports=ticking(log.append), path=path)
        assert run.checkpoint() == data
        assert run.go()
        assert (run.results, log) == (RESULT, [1, 3, 2][ticks:])


@each_having
def test_what_there_is_is_written_once_as_it_is_met(path: str) -> None:
    snapshot = snapshot_of(path)
    list_, bytes_, shorts, mixed, anys = map(TypeIdx, range(5))
    assert [image.value for image in snapshot.globals] == [ObjIdx(0), ObjIdx(1), I31(7)]
    assert snapshot.tables[0].elements == (None, ObjIdx(2), ObjIdx(3))
    assert snapshot.segments == (SegmentImage(0, 0, ANYREF, (ObjIdx(4), I31(0x7FFFFFFF), None)),)
    assert snapshot.objects == (
        StructImage(
            mixed,
            (
                (I8, 0xFD),
                (I16, 70000 & 0xFFFF),
                (I64, (1 << 64) - 5),
                (F32, 1.5),
                (ANYREF, ObjIdx(5)),
                (EXTERNREF, ObjIdx(1)),
                (FUNCREF, FuncIdx(1)),
                (V128, (1).to_bytes(8, "little") + (2).to_bytes(8, "little")),
                (EXNREF, ObjIdx(7)),
            ),
        ),
        StructImage(list_, ((I32, 1), (ANYREF, ObjIdx(1)))),
        ArrayImage(bytes_, I8, b"hello"),
        ArrayImage(shorts, I16, (1, 1)),
        StructImage(list_, ((I32, 77), (ANYREF, None))),
        ArrayImage(anys, ANYREF, (ObjIdx(4), I31(0x7FFFFFFF), ObjIdx(0))),
        StructImage(list_, ((I32, 5), (ANYREF, ObjIdx(1)))),
        ExceptionImage(0, ((I32, 4), (ANYREF, ObjIdx(1)))),
    )
    fill = snapshot.frames[0]
    assert fill.locals == ((ANYREF, ObjIdx(5)), (ANYREF, ObjIdx(1)), (ANYREF, ObjIdx(6)))
    assert fill.stack == ((ANYREF, ObjIdx(5)),)


@each_having
def test_what_was_one_is_one(path: str) -> None:
    data = checkpoint.encode(snapshot_of(path))
    other = next_path(path, HAVING)
    instance = chiwawa.restore(MODULE, data, imports=ticking(silent), path=other).instance
    mixed, ring = instance.globals[0].get(), instance.globals[1].get()
    assert ring[2] is ring
    anys, outside, exception = mixed[5], mixed[6], mixed[9]
    assert isinstance(outside, External)
    assert outside.value is ring
    assert exception.values[1] is ring
    assert anys[3] is mixed
    assert instance.elems[0].elements[0] is anys[1]
    assert instance.globals[2].get().value == 7


@each_having
def test_what_nothing_refers_to_is_not_written(path: str) -> None:
    before = snapshot_of(path)
    after = checkpoint.decode(stopped_at(MODULE, path, 2).checkpoint())
    assert len(after.objects) == len(before.objects) - 1 + 3
    # The copy is referred to no more, and the list of three is new.
    assert after.globals[1].value == ObjIdx(1)
    assert not any(
        isinstance(each, StructImage) and each.fields[0] == (I32, 5) for each in after.objects
    )


# What no checkpoint needs to name, or cannot.

TWICE = chiwawa.load("""(module
  (import "env" "tick" (func $tick (param i32)))
  (type $one (struct (field i32)))
  (type $two (struct (field i32)))
  (global $g (mut anyref) (ref.null any))
  (func (export "run")
    (global.set $g (struct.new $two (i32.const 3)))
    (call $tick (i32.const 1))
    (loop)
    (drop (ref.cast (ref $one) (global.get $g)))))""")


@each_having
def test_a_type_that_a_module_has_twice_has_one_number(path: str) -> None:
    snapshot = checkpoint.decode(stopped_at(TWICE, path, 1, ()).checkpoint())
    assert snapshot.objects == (StructImage(TypeIdx(0), ((I32, 3),)),)
    other = replace(snapshot, objects=(StructImage(TypeIdx(1), ((I32, 3),)),))
    with pytest.raises(chiwawa.CheckpointError, match="a lower number elsewhere"):
        chiwawa.restore(TWICE, checkpoint.encode(other), imports=ticking(silent), path=path)


HOSTS = chiwawa.load("""(module
  (import "env" "tick" (func $tick (param i32)))
  (import "env" "same" (func $same (param externref externref) (result i32)))
  (func (export "run") (param $x externref) (result i32) (local $a anyref)
    (local.set $a (any.convert_extern (local.get $x)))
    (call $tick (i32.const 1))
    (loop)
    (call $same (local.get $x) (extern.convert_any (local.get $a)))))""")


@each_having
def test_a_value_of_the_host_is_carried_in_either_form(path: str) -> None:
    thing = object()
    run = stopped_at_same(path, thing, {"lamp": thing})
    data = run.checkpoint()
    locals_ = checkpoint.decode(data).frames[0].locals
    assert locals_ == ((EXTERNREF, Carried("lamp")), (ANYREF, Carried("lamp")))
    again = chiwawa.restore(
        HOSTS, data, imports=same(silent), path=next_path(path, HAVING), trust_host_state=True
    )
    assert again.go()
    assert again.results == [1]
    uncarried = stopped_at_same(path, thing, {})
    with pytest.raises(chiwawa.CheckpointError, match="unless it is carried"):
        uncarried.checkpoint()


def same(tick: Callable[[int], None]) -> dict[str, dict[str, Any]]:
    return {"env": {"tick": tick, "same": lambda a, b: int(a is b)}}


def stopped_at_same(path: str, thing: object, carry: Mapping[str, object]) -> Run:
    run = chiwawa.start(
        HOSTS,
        "run",
        [thing],
        imports=same(lambda n: run.requests.ask()),
        path=path,
        carry=dict(carry),
    )
    assert not run.go()
    run.requests.take()
    return run


@each_having
def test_a_long_list_takes_no_recursion(path: str) -> None:
    length = 100_000
    run = stopped_at(MODULE, path, 2, (length,))
    data = run.checkpoint()
    again = chiwawa.restore(MODULE, data, imports=ticking(silent), path=next_path(path, HAVING))
    assert again.checkpoint() == data
    assert again.go()
    assert again.results == [(length * (length + 1) // 2 + 77) & 0xFFFFFFFF]


# What the host sees.

SEEN = chiwawa.load("""(module
  (type $point (struct (field i32) (field (ref null $point))))
  (type $text (array (mut i8)))
  (tag $e (export "e") (param (ref null $point) (ref null $text)))
  (global $g (export "g") (mut (ref null $text)) (ref.null $text))
  (func $point (export "point") (result anyref)
    (struct.new $point (i32.const 1) (struct.new $point (i32.const 2) (ref.null $point))))
  (func (export "throw")
    (throw $e (ref.cast (ref $point) (call $point)) (array.new_default $text (i32.const 3))))
  (func (export "x") (param externref) (result i32)
    (struct.get $point 0 (ref.cast (ref $point) (any.convert_extern (local.get 0))))))""")


@each_having
def test_messages_say_what_an_object_is_and_no_more(path: str) -> None:
    instance = chiwawa.instantiate(SEEN, path=path)
    (point,) = instance.invoke("point")
    with pytest.raises(TypeError, match="wants a reference or None, not struct with 2 fields"):
        instance.globals[0].value = point
    with pytest.raises(chiwawa.Thrown) as thrown:
        instance.invoke("throw")
    line = "uncaught exception: e (<struct with 2 fields>, <array of 3 i8>)"
    assert thrown.value.line == line
    tag = "<tag e [(ref null …) (ref null …)] -> []>"
    said = f"<exception {tag} [<struct with 2 fields>, <array of 3 i8>]>"
    assert repr(thrown.value.exception) == said


@each_having
def test_what_a_program_gave_is_the_same_where_it_comes_back_as_the_hosts(path: str) -> None:
    instance = chiwawa.instantiate(SEEN, path=path)
    (point,) = instance.invoke("point")
    assert instance.invoke("x", [point]) == [1]
    with pytest.raises(chiwawa.Trap, match="cast failure"):
        instance.invoke("x", [["a list"]])


@pytest.mark.parametrize("path", [path for path in WATCHED if path in HAVING])
def test_traces_say_what_an_object_is(path: str) -> None:
    lines = io.StringIO()
    tracing = chiwawa.Tracing(resources=frozenset(("stack",)))
    tracer = chiwawa.Tracer(SEEN, tracing, lines)
    instruments = chiwawa.Instruments(SEEN, tracer=tracer)
    run = chiwawa.start(SEEN, "throw", path=path, instruments=instruments)
    with pytest.raises(chiwawa.Thrown):
        run.go()
    instruments.finish()
    text = lines.getvalue()
    assert "Stack:[I32(1), I32(2), REF(null any)]" in text
    assert "REF(any <struct with 2 fields>), REF(any <array of 3 i8>)]" in text


# Graphs of any shape.

GRAPH = chiwawa.load("""(module
  (import "env" "tick" (func $tick (param i32)))
  (import "env" "edge" (func $edge (result i32 i32 i32)))
  (type $node (struct (field $n i32) (field $a (mut eqref)) (field $b (mut externref))))
  (type $all (array (mut (ref null $node))))
  (global $root (mut eqref) (ref.null eq))
  (func (export "run") (param $count i32) (param $root i32) (result eqref)
    (local $all (ref null $all)) (local $kind i32) (local $start i32) (local $end i32)
    (local.set $all (array.new $all (ref.null $node) (local.get $count)))
    (loop $l
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (array.set $all (local.get $all) (local.get $count)
        (struct.new $node (local.get $count) (ref.i31 (local.get $count)) (ref.null extern)))
      (br_if $l (local.get $count)))
    (block $done
      (loop $l
        (call $edge) (local.set $end) (local.set $start) (local.set $kind)
        (br_if $done (i32.eqz (local.get $kind)))
        (if (i32.eq (local.get $kind) (i32.const 1))
          (then (struct.set $node $a (array.get $all (local.get $all) (local.get $start))
            (array.get $all (local.get $all) (local.get $end))))
          (else (struct.set $node $b (array.get $all (local.get $all) (local.get $start))
            (extern.convert_any (array.get $all (local.get $all) (local.get $end))))))
        (br $l)))
    (global.set $root (array.get $all (local.get $all) (local.get $root)))
    (local.set $all (ref.null $all))
    (call $tick (i32.const 1))
    (loop)
    (global.get $root)))""")


#: Which field of a node, the node, and the one that it then refers to.
Edges = list[tuple[int, int, int]]


def shape(root: Any) -> list[tuple[Any, ...]]:
    """What ``root`` leads to, as it is met, each node once."""
    met = {id(root): 0}
    work = [root]
    found = []
    for node in work:
        row = []
        for value in (node[2], node[3].value if isinstance(node[3], External) else node[3]):
            if isinstance(value, list) and id(value) not in met:
                met[id(value)] = len(work)
                work.append(value)
            row.append(f"#{met[id(value)]}" if isinstance(value, list) else value)
        found.append((node[1], *row))
    return found


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_graph_keeps_its_shape(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    node = st.integers(0, count - 1)
    edges = data.draw(st.lists(st.tuples(st.integers(1, 2), node, node), max_size=30))
    root = data.draw(node)
    written = []
    for path in HAVING:
        run = graph(path, [count, root], edges)
        expected = shape(run.instance.globals[0].get())
        written.append(run.checkpoint())
        assert len(checkpoint.decode(written[-1]).objects) == len(expected)
        imports = linking(silent, edges)
        other = next_path(path, HAVING)
        again = chiwawa.restore(GRAPH, written[-1], imports=imports, path=other)
        assert shape(again.instance.globals[0].get()) == expected
        assert again.checkpoint() == written[-1]
        assert again.go()
        assert shape(again.results[0]) == expected
    assert len(set(written)) == 1


def linking(tick: Callable[[int], None], edges: Edges) -> dict[str, dict[str, Any]]:
    left = iter([*edges, (0, 0, 0)])
    return {"env": {"tick": tick, "edge": partial(next, left)}}


def graph(path: str, args: list[int], edges: Edges) -> Run:
    """The run of ``GRAPH`` that has made a graph of ``edges``, stopped."""
    imports = linking(lambda n: run.requests.ask(), edges)
    run = chiwawa.start(GRAPH, "run", args, imports=imports, path=path)
    assert not run.go()
    run.requests.take()
    return run


# Where there are no structures, other paths are there, too.

PLAIN = chiwawa.load("""(module
  (import "env" "tick" (func $tick (param i32)))
  (table $t 4 anyref)
  (table $u 2 externref)
  (global $g (mut i31ref) (ref.i31 (i32.const 70000)))
  (global $o (mut externref) (ref.null extern))
  (elem $e anyref (ref.i31 (i32.const 70001)) (ref.i31 (i32.const -5)) (ref.null any))
  (elem $x externref (extern.convert_any (ref.i31 (i32.const 12345))) (ref.null extern))
  (func (export "run") (param $h externref) (param $k anyref) (result i32) (local $a anyref)
    (local.set $a (any.convert_extern (local.get $h)))
    (global.set $o (extern.convert_any (global.get $g)))
    (ref.i31 (i32.const -7))
    (call $tick (i32.const 1))
    (loop)
    (drop)
    (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 3))
    (table.init $u $x (i32.const 0) (i32.const 0) (i32.const 2))
    (i32.add (i31.get_s (ref.cast i31ref (table.get $t (i32.const 0))))
      (i32.add (i31.get_s (ref.cast i31ref (any.convert_extern (table.get $u (i32.const 0)))))
        (i32.add (i31.get_s (ref.cast i31ref (local.get $k)))
          (i32.add (i31.get_s (ref.cast i31ref (any.convert_extern (global.get $o))))
            (ref.test i31ref (local.get $a))))))))""")


def test_unboxed_integers_and_what_is_converted_go_to_each_path() -> None:
    among = running(PLAIN)
    thing = object
    written = []
    for path in among:
        run = stopped_at(PLAIN, path, 1, (thing, 5), {"lamp": thing})
        written.append(run.checkpoint())
    assert len(set(written)) == 1
    snapshot = checkpoint.decode(written[0])
    assert snapshot.frames[0].stack == ((ANYREF, I31(0x7FFFFFF9)),)
    assert snapshot.frames[0].locals[2] == (ANYREF, Carried("lamp"))
    assert snapshot.globals[1].value == I31(70000)
    assert [segment.elements for segment in snapshot.segments] == [
        (I31(70001), I31(0x7FFFFFFB), None),
        (I31(12345), None),
    ]
    for path in among:
        again = chiwawa.restore(
            PLAIN, written[0], imports=ticking(silent), path=path, trust_host_state=True
        )
        assert again.checkpoint() == written[0]
        assert again.go()
        assert again.results == [70001 + 12345 + 5 + 70000]
