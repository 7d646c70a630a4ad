"""A checkpoint with structures, arrays or unboxed integers that somebody has changed is refused in
a line, whatever it says now; the digest is made right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import chiwawa
from chiwawa_runtime import checkpoint
from chiwawa_runtime.state.snapshot import (
    I31,
    ArrayImage,
    Carried,
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
from tests.nodiff.heap_helpers import (
    MODULE,
    each_having,
    silent,
    snapshot_of,
    ticking,
)


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
