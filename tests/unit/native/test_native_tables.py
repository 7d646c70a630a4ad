"""The tables of a rewritten module as bytes: each function's come back, and hostile ones are
refused."""

from __future__ import annotations

import contextlib
import random

import pytest

from chiwawa.native.scopes import Places
from chiwawa.native.tables import (
    CALL,
    ENTRY,
    HOST,
    LOOP,
    Entry,
    FunctionTable,
    Tables,
    write_places,
    write_table,
    write_tables,
)
from chiwawa_runtime.errors import MalformedError
from chiwawa_runtime.state.types import EXTERNREF, F32, F64, FUNCREF, I32, I64

ORIGINAL = bytes(range(32))
TABLE = FunctionTable(
    (I32, I32, I64, FUNCREF, EXTERNREF, I32),
    (
        Entry(ENTRY, 2, ()),
        Entry(LOOP, 300, (F32, F64)),
        Entry(HOST, 70_000, (EXTERNREF,)),
        Entry(CALL, 70_000, (I64,) * 200),
    ),
    Places([3, 90, 4000], [2, ~80, 1 << 22]),
)
ONLY_PLACES = Places([5], [~4])


def facts(places: Places | None) -> tuple[list[int], list[int]] | None:
    return None if places is None else (places.new, places.old)


def read_all(data: bytes) -> None:
    tables = Tables(data)
    for index in range(min(tables.count, 10)):
        tables.places(index)


@pytest.fixture
def data() -> bytes:
    empty = write_table(FunctionTable((), (), Places([], [])))
    functions = [b"", b"", write_table(TABLE), write_places(ONLY_PLACES), b"", empty]
    return write_tables(True, 96, ORIGINAL, functions)


def test_they_come_back(data: bytes) -> None:
    tables = Tables(data)
    assert (tables.counting, tables.segments, tables.original) == (True, 96, ORIGINAL)
    found = tables.function(2)
    assert (found.locals, found.entries) == (TABLE.locals, TABLE.entries)
    assert facts(found.places) == facts(TABLE.places)
    assert found is tables.function(2)
    assert facts(tables.places(2)) == facts(TABLE.places)
    assert facts(tables.places(3)) == facts(ONLY_PLACES)
    assert tables.function(5).entries == ()


@pytest.mark.parametrize("index", [0, 1, 3, 4, 6, 1 << 32])
def test_a_function_that_is_never_suspended_has_no_table(data: bytes, index: int) -> None:
    with pytest.raises(KeyError):
        Tables(data).function(index)


@pytest.mark.parametrize("index", [0, 1, 4, 6])
def test_a_function_that_is_as_it_was_has_no_places(data: bytes, index: int) -> None:
    assert Tables(data).places(index) is None


def test_another_version_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match=r"of version 7, and .*: compile it again"):
        Tables(b"\7" + data[1:])


def test_whatever_is_cut_off_is_refused(data: bytes) -> None:
    for size in range(len(data)):
        with pytest.raises(MalformedError, match="the tables of a rewritten module are "):
            read_all(data[:size])


def test_whatever_is_changed_is_read_or_refused(data: bytes) -> None:
    chance = random.Random(5)
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 8))):
            changed[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0xFF, 0x80))
        with contextlib.suppress(MalformedError):
            read_all(bytes(changed))
