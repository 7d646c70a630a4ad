"""Defined types (spec 2.3.9, 3.1.2): what a module's types are, whichever module defines them.

The types of a recursive group are made together, once: equal groups of two modules are one, so a
defined type is compared by identity, and knows all its supertypes. ``close`` puts defined types
where a module's own type has type indices, ``opened`` does the reverse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

from chiwawa_runtime.errors import InvalidError
from chiwawa_runtime.state.types import (
    ABOVE,
    ArrayType,
    CompType,
    DefType,
    FuncType,
    Group,
    RefType,
    StructType,
    SubType,
    mapped,
)

T = TypeVar("T")

#: The abstract heap type right above the types of a kind, and below which they all are.
KINDS: dict[type, str] = {FuncType: "func", StructType: "struct", ArrayType: "array"}


_GROUPS: WeakValueDictionary[Any, Group] = WeakValueDictionary()


def define(
    types: Sequence[CompType | SubType], recs: Sequence[tuple[int, int]] = ()
) -> list[DefType]:
    """The defined types of a module that has ``types``; ``recs`` are the first index and the number
    of those that are in a recursive group; all others are groups of their own. Raises InvalidError
    where a type names one that is neither before it nor in its group."""
    defined: list[DefType] = []
    for start, count in groups(len(types), recs):
        if count == 1:
            # Most by far are function types of numbers alone.
            only = types[start]
            known = _GROUPS.get(((True, (), only),)) if isinstance(only, FuncType) else None
            if known is not None and _names_no_type(cast(FuncType, only)):
                defined.append(known.types[0])
                continue
        defined.extend(_define(types[start : start + count], start, defined))
    return defined


def groups(count: int, recs: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """All recursive groups of so many types: the first index, and how many they are."""
    start = 0
    for first, members in recs:
        yield from ((index, 1) for index in range(start, first))
        yield first, members
        start = first + members
    yield from ((index, 1) for index in range(start, count))


def of_functype(functype: FuncType) -> DefType:
    """The defined type that is ``functype``, which is closed, and no more."""
    (deftype,) = _group((sub(functype),)).types
    return deftype


def sub(comp: CompType | SubType) -> tuple[bool, tuple[Any, ...], CompType]:
    """Whether it is final, its supertypes, and what it is made of."""
    return (comp.final, comp.supers, comp.comp) if isinstance(comp, SubType) else (True, (), comp)


def _names_no_type(functype: FuncType) -> bool:
    return not any(
        isinstance(t, RefType) and not isinstance(t.heap, str)
        for t in (*functype.params, *functype.results)
    )


def _define(
    members: Sequence[CompType | SubType], start: int, before: Sequence[DefType]
) -> tuple[DefType, ...]:
    def placed(heap: str | int | DefType) -> str | int | DefType:
        """A place in the group, or a type that comes before it."""
        if not isinstance(heap, int):
            return heap
        if heap >= start + len(members):
            raise InvalidError(f"unknown type {heap}")
        return heap - start if heap >= start else before[heap]

    key = []
    for member in members:
        final, supers, comp = sub(member)
        key.append((final, tuple(map(placed, supers)), mapped(comp, placed)))
    return _group(tuple(key)).types


def _group(key: tuple[Any, ...]) -> Group:
    group = _GROUPS.get(key)
    if group is not None:
        return group
    group = Group(key)
    types = group.types = tuple(
        DefType(group, place, KINDS[type(comp)], final)
        for place, (final, _, comp) in enumerate(key)
    )

    def here(heap: Any) -> Any:
        return types[heap] if isinstance(heap, int) else heap

    for deftype, (_, supers, comp) in zip(types, key, strict=True):
        deftype.comp = mapped(comp, here)
        deftype.supers = frozenset((deftype,)).union(
            # One of the group comes before it, or the module is not valid.
            *(getattr(here(each), "supers", ()) for each in supers)
        )
        deftype.heaps = ABOVE[deftype.kind].union(deftype.supers)
    _GROUPS[key] = group
    return group


def close(thing: T, types: Sequence[DefType]) -> T:
    """A type, or a tuple of types, of a module that has ``types``, closed. Raises InvalidError
    where it names one that is not there."""

    def found(heap: str | int | DefType) -> str | int | DefType:
        if isinstance(heap, int):
            if heap >= len(types):
                raise InvalidError(f"unknown type {heap}")
            return types[heap]
        return heap

    return cast(T, mapped(thing, found))


def opened(thing: T, indexes: Mapping[DefType, int]) -> T:
    """A closed type, or a tuple of types, as a module has it whose types have ``indexes``."""

    def index(heap: str | int | DefType) -> str | int | DefType:
        return indexes[heap] if isinstance(heap, DefType) else heap

    return cast(T, mapped(thing, index))


def type_indexes(types: Sequence[DefType]) -> dict[DefType, int]:
    """The first index of each type."""
    return {deftype: index for index, deftype in reversed([*enumerate(types)])}
