"""Structures, arrays and unboxed integers in checkpoints: alike on each path that has them, stopped
anywhere and restored on another, with all that refers to them and all that they refer to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chiwawa
from chiwawa import paths
from chiwawa_runtime import checkpoint
from chiwawa_runtime.run.driver import Run
from chiwawa_runtime.state.heap import External
from chiwawa_runtime.state.snapshot import (
    I31,
    ArrayImage,
    Carried,
    ExceptionImage,
    FuncIdx,
    GlobalImage,
    ObjectImage,
    ObjIdx,
    SegmentImage,
    Snapshot,
    StructImage,
    TableImage,
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
from tests.path_helpers import next_path, running

#: A program that keeps something of each kind in each place there is.
MODULE = chiwawa.load("""(module
  (import "env" "tick" (func $tick (param i32)))
  (type $list (struct (field (mut i32)) (field (mut (ref null $list)))))
  (type $bytes (array (mut i8)))
  (type $shorts (array i16))
  (type $mixed (struct (field i8) (field i16) (field i64) (field f32) (field anyref)
    (field externref) (field funcref) (field v128) (field exnref)))
  (type $anys (array (mut anyref)))
  (tag $e (param i32 anyref))
  (global $any (mut anyref) (ref.null any))
  (global $ring (mut (ref $list)) (struct.new $list (i32.const 1) (ref.null $list)))
  (global $out (mut externref) (ref.null extern))
  (table $t 3 eqref)
  (elem $made anyref (struct.new $list (i32.const 9) (ref.null $list)) (ref.i31 (i32.const -1))
    (ref.null any))
  (elem $functions funcref (ref.func $make) (ref.null func))
  (data $d "hello")
  (func $make (param $n i32) (result (ref null $list)) (local $l (ref null $list))
    (loop $x
      (local.set $l (struct.new $list (local.get $n) (local.get $l)))
      (br_if $x (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $l))
  (func $sum (param $l (ref null $list)) (result i32) (local $s i32)
    (block $done
      (loop $x
        (br_if $done (ref.is_null (local.get $l)))
        (local.set $s (i32.add (local.get $s) (struct.get $list 0 (local.get $l))))
        (local.set $l (struct.get $list 1 (local.get $l)))
        (br $x)))
    (local.get $s))
  (func $fill (param $a (ref $anys)) (param $first (ref $list)) (result anyref)
    (local $copy (ref $list))
    (local.get $a)
    (local.set $copy (struct.new $list (i32.const 5) (local.get $first)))
    (call $tick (i32.const 3))
    (loop $l)
    (array.set $anys (local.get $a) (i32.const 2) (local.get $copy))
    (array.get $anys (i32.const 2)))
  (func (export "run") (param $n i32) (result i32)
    (local $x (ref null $anys)) (local $a anyref)
    (local.set $x (array.new_elem $anys $made (i32.const 0) (i32.const 3)))
    (local.set $a (array.get $anys (local.get $x) (i32.const 0)))
    (global.set $any (struct.new $mixed (i32.const -3) (i32.const 70000) (i64.const -5)
      (f32.const 1.5) (local.get $x) (extern.convert_any (global.get $ring)) (ref.func $make)
      (v128.const i64x2 1 2)
      (block $b (result exnref)
        (try_table (catch_all_ref $b) (throw $e (i32.const 4) (global.get $ring)))
        (unreachable))))
    (table.set $t (i32.const 1) (array.new_data $bytes $d (i32.const 0) (i32.const 5)))
    (table.set $t (i32.const 2) (array.new $shorts (i32.const 65537) (i32.const 2)))
    (global.set $out (extern.convert_any (ref.i31 (i32.const 7))))
    (struct.set $list 1 (global.get $ring) (global.get $ring))
    (array.set $anys (local.get $x) (i32.const 2) (global.get $any))
    (struct.set $list 0 (ref.cast (ref $list) (local.get $a)) (i32.const 77))
    (call $tick (i32.const 1))
    (drop (call $fill (ref.as_non_null (local.get $x)) (global.get $ring)))
    (array.set $anys (local.get $x) (i32.const 2) (ref.null none))
    (global.set $ring (ref.as_non_null (call $make (local.get $n))))
    (call $tick (i32.const 2))
    (call $sum (global.get $ring))
    (struct.get $list 0 (ref.cast (ref $list)
      (array.get $anys (array.new_elem $anys $made (i32.const 0) (i32.const 1)) (i32.const 0))))
    (i32.add)))""")
HAVING = running(MODULE)
each_having = pytest.mark.parametrize("path", HAVING)
RESULT = [77 + 1 + 2 + 3]


def ticking(tick: Callable[[int], None]) -> dict[str, dict[str, Callable[..., Any]]]:
    return {"env": {"tick": tick}}


def silent(n: int) -> None:
    """Does nothing."""


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


def stopped_at(
    module: chiwawa.Module,
    path: str,
    tick: int,
    args: tuple[Any, ...] = (3,),
    carry: Mapping[str, object] | None = None,
) -> Run:
    """The run of ``module``, stopped after the ``tick`` that has that number."""

    def ticked(n: int) -> None:
        if n == tick:
            run.requests.ask()

    run = chiwawa.start(
        module, "run", args, imports=ticking(ticked), path=path, carry=dict(carry or {})
    )
    assert not run.go()
    run.requests.take()
    return run


@cache
def snapshot_of(path: str) -> Snapshot:
    return checkpoint.decode(stopped_at(MODULE, path, 3).checkpoint())


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


# What somebody may have changed, the digest made right.


def with_object(number: int, new: ObjectImage) -> Callable[[Snapshot], Snapshot]:
    return lambda s: replace(s, objects=(*s.objects[:number], new, *s.objects[number + 1 :]))


def with_fields(
    number: int, *fields: Any, type_: int | None = None
) -> Callable[[Snapshot], Snapshot]:
    def tampered(snapshot: Snapshot) -> Snapshot:
        image = snapshot.objects[number]
        assert isinstance(image, StructImage)
        told = image.type if type_ is None else TypeIdx(type_)
        return with_object(number, StructImage(told, fields))(snapshot)

    return tampered


def with_elements(
    number: int, elements: tuple[Any, ...] | bytes, **changes: Any
) -> Callable[[Snapshot], Snapshot]:
    def tampered(snapshot: Snapshot) -> Snapshot:
        image = snapshot.objects[number]
        assert isinstance(image, ArrayImage)
        return with_object(number, replace(image, elements=elements, **changes))(snapshot)

    return tampered


def with_global(index: int, value: Any) -> Callable[[Snapshot], Snapshot]:
    def tampered(snapshot: Snapshot) -> Snapshot:
        globals_ = list(snapshot.globals)
        globals_[index] = GlobalImage(globals_[index].type, value)
        return replace(snapshot, globals=tuple(globals_))

    return tampered


def with_table(*elements: Any) -> Callable[[Snapshot], Snapshot]:
    return lambda s: replace(s, tables=(TableImage(s.tables[0].type, elements),))


def with_segments(*segments: SegmentImage) -> Callable[[Snapshot], Snapshot]:
    return lambda s: replace(s, segments=segments)


def with_top(locals_: Any = None, stack: Any = None) -> Callable[[Snapshot], Snapshot]:
    def tampered(snapshot: Snapshot) -> Snapshot:
        top, *others = snapshot.frames
        top = top._replace(locals=locals_ or top.locals, stack=stack or top.stack)
        return replace(snapshot, frames=(top, *others))

    return tampered


def renumbered(snapshot: Snapshot) -> Snapshot:
    """``snapshot`` with all objects that are reached numbered as they are met."""
    met: dict[int, int] = {}

    def placed(value: Any) -> Any:
        return ObjIdx(met.setdefault(value.index, len(met))) if type(value) is ObjIdx else value

    def typed(values: Any) -> Any:
        return tuple([(t, placed(v)) for t, v in values])

    globals_ = [replace(each, value=placed(each.value)) for each in snapshot.globals]
    tables = [replace(t, elements=tuple(map(placed, t.elements))) for t in snapshot.tables]
    held = [replace(s, elements=tuple(map(placed, s.elements))) for s in snapshot.segments]
    frames = [
        frame._replace(locals=typed(frame.locals), stack=typed(frame.stack))
        for frame in reversed(snapshot.frames)
    ]
    objects: list[Any] = []
    while len(objects) < len(met):
        image: Any = snapshot.objects[next(i for i, n in met.items() if n == len(objects))]
        if isinstance(image, ArrayImage):
            elements = image.elements if image.storage == I8 else map(placed, image.elements)
            objects.append(replace(image, elements=type(image.elements)(elements)))
        else:
            objects.append(replace(image, fields=typed(image.fields)))
    return replace(
        snapshot,
        globals=tuple(globals_),
        tables=tuple(tables),
        segments=tuple(held),
        frames=tuple(reversed(frames)),
        objects=tuple(objects),
    )


def well_numbered(tamper: Callable[[Snapshot], Snapshot]) -> Callable[[Snapshot], Snapshot]:
    return lambda snapshot: renumbered(tamper(snapshot))


NODE = ((I32, 1), (ANYREF, ObjIdx(1)))
HELD = (ObjIdx(4), I31(0x7FFFFFFF), None)
TAMPERED: dict[str, tuple[Callable[[Snapshot], Snapshot], str]] = {
    "an object that is not there": (with_global(0, ObjIdx(9)), "refers to no object"),
    "numbers in another order": (with_global(0, ObjIdx(1)), "refers to no object"),
    "an object too many": (
        lambda s: replace(s, objects=(*s.objects, s.objects[1])),
        "objects that nothing refers to",
    ),
    "an object too few": (lambda s: replace(s, objects=s.objects[:-1]), "refers to no object"),
    "a field too many": (with_fields(1, *NODE, (I32, 1)), "object 1 has values of other types"),
    "a field too few": (with_fields(1, NODE[0]), "object 1 has values of other types"),
    "a field of another type": (
        with_fields(1, (I64, 1), NODE[1]),
        "object 1 has values of other types",
    ),
    "a packed field unpacked": (
        with_elements(2, (1, 2), storage=I32),
        "object 2 has values of other types",
    ),
    "elements of another type": (
        with_elements(5, (I31(1), ObjIdx(4), ObjIdx(0)), storage=EXTERNREF),
        "object 5 has values of other types",
    ),
    "a structure of an array's type": (
        with_fields(1, *NODE, type_=2),
        "object 1 is a structure of type",
    ),
    "an array of a structure's type": (
        with_elements(2, b"hello", type=TypeIdx(0)),
        "object 2 is an array of type",
    ),
    "a structure of a function's type": (
        with_fields(1, *NODE, type_=5),
        "object 1 is a structure of type",
    ),
    "a type that is not there": (
        with_fields(1, *NODE, type_=99),
        "object 1 is of type 99, which is not there",
    ),
    "a type of an instance that is not there": (
        with_object(1, StructImage(TypeIdx(1, 1), NODE)),
        "a type of an instance that is not there",
    ),
    "a structure in a place of another one": (
        with_fields(6, (I32, 5), (ANYREF, ObjIdx(0))),
        "object 6 holds a value that is no",
    ),
    "an exception where a structure belongs": (
        with_fields(6, (I32, 5), (ANYREF, ObjIdx(7))),
        "object 6 holds a value that is no",
    ),
    "an i31 where a structure belongs": (
        with_fields(6, (I32, 5), (ANYREF, I31(7))),
        "object 6 holds a value that is no",
    ),
    "a structure of another type": (
        well_numbered(with_global(1, ObjIdx(0))),
        "global 1 holds a value that is no",
    ),
    "null where null may not be": (
        well_numbered(with_global(1, None)),
        "global 1 holds a value that is no",
    ),
    "an array in a place of a structure": (
        well_numbered(with_global(1, ObjIdx(2))),
        "global 1 holds a value that is no",
    ),
    "a function among those of any": (well_numbered(with_global(0, FuncIdx(1))), "global 0 holds"),
    "a host's value that is not there": (
        with_table(Carried("x"), ObjIdx(2), ObjIdx(3)),
        'table 0 refers to the carried value "x"',
    ),
    "a structure for a function": (
        with_fields(
            0,
            (I8, 0xFD),
            (I16, 1),
            (I64, 5),
            (F32, 1.5),
            (ANYREF, ObjIdx(5)),
            (EXTERNREF, ObjIdx(1)),
            (FUNCREF, ObjIdx(1)),
            (V128, bytes(16)),
            (EXNREF, ObjIdx(7)),
        ),
        "object 0 holds a value that is no funcref",
    ),
    "an exception outside": (
        with_fields(
            0,
            (I8, 0xFD),
            (I16, 1),
            (I64, 5),
            (F32, 1.5),
            (ANYREF, ObjIdx(5)),
            (EXTERNREF, ObjIdx(7)),
            (FUNCREF, None),
            (V128, bytes(16)),
            (EXNREF, ObjIdx(7)),
        ),
        "object 0 holds a value that is no externref",
    ),
    "a local of another type": (
        with_top(locals_=((ANYREF, ObjIdx(5)), (ANYREF, ObjIdx(5)), (ANYREF, ObjIdx(6)))),
        "the frame of function 3 at",
    ),
    "a null local where null may not be": (
        with_top(locals_=((ANYREF, None), (ANYREF, ObjIdx(1)), (ANYREF, ObjIdx(6)))),
        "the frame of function 3 at",
    ),
    "an operand of another type": (
        with_top(stack=((ANYREF, I31(0)),)),
        "the frame of function 3 at",
    ),
    "no segment": (
        well_numbered(with_segments()),
        "element segment 0 has not the elements",
    ),
    "a segment of another type": (
        with_segments(SegmentImage(0, 0, EXTERNREF, HELD)),
        "element segment 0 has values of other types",
    ),
    "a segment that is shorter": (
        with_segments(SegmentImage(0, 0, ANYREF, HELD[:2])),
        "element segment 0 has not the elements",
    ),
    "a segment that holds functions alone": (
        with_segments(
            SegmentImage(0, 0, ANYREF, HELD), SegmentImage(0, 1, FUNCREF, (FuncIdx(1), None))
        ),
        "its segments are not those of the module",
    ),
    "a segment that was dropped": (
        lambda s: replace(s, dropped_elems=(True, *s.dropped_elems[1:])),
        "dropped or not there",
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
@each_having
def test_a_tampered_copy_is_refused_in_a_line(path: str, what: str) -> None:
    tamper, message = TAMPERED[what]
    snapshot = snapshot_of(path)

    def restore() -> None:
        data = checkpoint.encode(tamper(snapshot))
        chiwawa.restore(MODULE, data, imports=ticking(silent), path=path)

    with pytest.raises(chiwawa.CheckpointError, match=message) as refused:
        restore()
    assert "\n" not in str(refused.value)


def test_an_integer_that_is_none_of_31_bits_is_not_written() -> None:
    with pytest.raises(chiwawa.CheckpointError, match="no i31"):
        checkpoint.encode(with_global(2, I31(1 << 31))(snapshot_of("interp")))


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
