from __future__ import annotations

import pytest

from chiwawa_runtime.errors import ResourceError, Trap
from chiwawa_runtime.state.interface import REFUSED
from chiwawa_runtime.state.table import ElemSegment, Table
from chiwawa_runtime.state.types import EXTERNREF, Limits, TableType


def table(n: int = 3, limit: int | None = None) -> Table:
    return Table(TableType(Limits(n, limit), EXTERNREF))


def test_growing_keeps_every_alias_alive_and_respects_the_maximum() -> None:
    tab = table(3, 5)
    alias = tab.raw
    assert tab.try_grow(3, "f") == REFUSED
    assert tab.try_grow(REFUSED, "f") == REFUSED
    with pytest.raises(ResourceError, match="a table of 3 elements cannot grow by 4294967295"):
        tab.grow(-1, "f")
    assert tab.grow(2, "f") == 3
    assert tab.size() == len(tab) == 5
    assert alias is tab.raw
    assert alias == [None, None, None, "f", "f"]


def test_copying_onto_itself_goes_through_a_buffer() -> None:
    tab = table(5)
    tab.raw_init(ElemSegment("abcde"), 0, 0, 5)
    tab.copy(tab, 1, 0, 3)
    assert tab.elements == tuple("aabce")
    tab.copy(tab, 0, 1, 4)
    assert tab.elements == tuple("abcee")
    tab.fill(3, "z", 2)
    assert tab.elements == tuple("abczz")


def test_what_passes_the_end_traps_and_changes_nothing() -> None:
    tab, segment = table(), ElemSegment("ab")
    for act in (
        lambda: tab.get(3),
        lambda: tab.get(-1),
        lambda: tab.set(3, "x"),
        lambda: tab.set(-1, "x"),
        lambda: tab.get(REFUSED),
        lambda: tab.fill(2, "x", 2),
        lambda: tab.fill(4, "x", 0),
        lambda: tab.fill(2, "x", -1),
        lambda: tab.fill(-1, "x", 1),
        lambda: tab.copy(tab, 2, 0, 2),
        lambda: tab.copy(tab, 0, 2, 2),
        lambda: tab.copy(tab, -1, 0, 1),
        lambda: tab.copy(tab, 0, -1, 1),
        lambda: tab.copy(tab, 0, 0, -1),
        lambda: tab.raw_init(segment, 0, 1, 2),
        lambda: tab.raw_init(segment, 2, 0, 2),
    ):
        with pytest.raises(Trap, match=r"^out of bounds table access$"):
            act()
    assert tab.elements == (None,) * 3


def test_a_dropped_segment_is_empty() -> None:
    tab, segment = table(), ElemSegment("ab")
    segment.drop()
    tab.raw_init(segment, 3, 0, 0)
    with pytest.raises(Trap):
        tab.raw_init(segment, 0, 0, 1)
