"""Which object of one snapshot is which of another: that to which the same path leads, from a
global, a table's element, a frame's local and the like, by the same fields.

Numbers say nothing of that: one object more, and all that are met after it have others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from chiwawa.inspect import stored_in
from chiwawa_runtime.state.snapshot import (
    ArrayImage,
    ExceptionImage,
    ObjectImage,
    ObjIdx,
    Snapshot,
    Value,
)

Both = tuple[Value, Value]


class Matching:
    """Of the objects of ``a`` and ``b``. ``other`` is by those of ``a``, ``own`` by those of ``b``.
    Of two of different types none is the other."""

    def __init__(self, a: Snapshot, b: Snapshot) -> None:
        self.a = a
        self.b = b
        self.other: dict[int, int] = {}
        self.own: dict[int, int] = {}
        if a.objects and b.objects:
            # The shortest paths first. What no path leads to is in no file that a run has written.
            self.pair_up(deque(roots(a, b)))
            for index in range(len(a.objects)):
                self.pair_up(deque([(ObjIdx(index), ObjIdx(index))]))

    def pair_up(self, work: deque[Both]) -> None:
        while work:
            left, right = work.popleft()
            if isinstance(left, ObjIdx) and isinstance(right, ObjIdx):
                work += self.match(left.index, right.index)

    def match(self, left: int, right: int) -> Iterable[Both]:
        """Note that they are the same, if they can be; what they refer to, if that is new."""
        if left in self.other or right in self.own:
            return ()
        if left >= len(self.a.objects) or right >= len(self.b.objects):
            return ()
        one, another = self.a.objects[left], self.b.objects[right]
        if kind_of(one) != kind_of(another):
            return ()
        self.other[left], self.own[right] = right, left
        if isinstance(one, ArrayImage) and isinstance(one.elements, bytes):
            return ()
        return zip(values_in(one), values_in(another), strict=False)

    def pairs(self) -> Iterator[tuple[int | None, int | None]]:
        """All objects: those of ``a`` with those of ``b``, then what only ``b`` has."""
        for index in range(len(self.a.objects)):
            yield index, self.other.get(index)
        for index in range(len(self.b.objects)):
            if index not in self.own:
                yield None, index

    def seen(self) -> Snapshot:
        """``b`` with the numbers that its objects have in ``a``, and others that ``a`` has none
        for."""
        return renumbered(self.b, self.renumber) if self.b.objects else self.b

    def renumber(self, value: Value) -> Value:
        if not isinstance(value, ObjIdx) or value.index >= len(self.b.objects):
            return value
        return ObjIdx(self.own.get(value.index, len(self.a.objects) + value.index))


def kind_of(image: ObjectImage) -> object:
    """What is equal for objects whose contents can be compared."""
    if isinstance(image, ExceptionImage):
        return image.tag
    return type(image), image.type


def values_in(image: ObjectImage) -> Iterator[Value]:
    return (value for _, value in stored_in(image))


def roots(a: Snapshot, b: Snapshot) -> Iterator[Both]:
    """What both have in the same places outside of objects. Frames are matched from the oldest."""
    for one, another in zip(a.globals, b.globals, strict=False):
        yield one.value, another.value
    for left, right in zip(a.tables, b.tables, strict=False):
        yield from zip(left.elements, right.elements, strict=False)
    held = {(each.instance, each.index): each for each in b.segments}
    for segment in a.segments:
        same = held.get((segment.instance, segment.index))
        if same is not None:
            yield from zip(segment.elements, same.elements, strict=False)
    for frame, other in zip(a.frames[::-1], b.frames[::-1], strict=False):
        if (frame.function, frame.instance) == (other.function, other.instance):
            for typed, others in ((frame.locals, other.locals), (frame.stack, other.stack)):
                yield from ((v, w) for (_, v), (_, w) in zip(typed, others, strict=False))
    for call, again in zip(a.plan, b.plan, strict=False):
        yield from ((v, w) for (_, v), (_, w) in zip(call.args, again.args, strict=False))


def renumbered(snapshot: Snapshot, renumber: Callable[[Value], Value]) -> Snapshot:
    """``snapshot`` with other numbers in all references to its objects, which stay in order."""

    def typed(values: Any) -> Any:
        return tuple([(valtype, renumber(value)) for valtype, value in values])

    def image_of(image: ObjectImage) -> ObjectImage:
        if not isinstance(image, ArrayImage):
            return replace(image, fields=typed(image.fields))
        if isinstance(image.elements, bytes):
            return image
        return replace(image, elements=tuple(map(renumber, image.elements)))

    def elements(images: Any) -> Any:
        return tuple([replace(i, elements=tuple(map(renumber, i.elements))) for i in images])

    return replace(
        snapshot,
        globals=tuple([replace(each, value=renumber(each.value)) for each in snapshot.globals]),
        tables=elements(snapshot.tables),
        segments=elements(snapshot.segments),
        frames=tuple(
            [f._replace(locals=typed(f.locals), stack=typed(f.stack)) for f in snapshot.frames]
        ),
        plan=tuple([replace(call, args=typed(call.args)) for call in snapshot.plan]),
        objects=tuple(map(image_of, snapshot.objects)),
    )
