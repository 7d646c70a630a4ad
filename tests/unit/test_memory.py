from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiwawa_runtime.errors import Trap
from chiwawa_runtime.state.data_segments import DataSegment
from chiwawa_runtime.state.interface import REFUSED
from chiwawa_runtime.state.memory import Memory
from chiwawa_runtime.state.types import PAGE, Limits, MemoryType


def memory(pages: int = 1, limit: int | None = None) -> Memory:
    return Memory(MemoryType(Limits(pages, limit)))


def test_growing_keeps_every_alias_alive() -> None:
    mem = memory()
    alias = mem.data
    alias[0] = 7
    assert mem.grow(2) == 1
    assert mem.size() == 3
    assert len(alias) == 3 * PAGE
    assert alias[0] == 7
    assert not any(alias[PAGE:])


def test_growing_is_refused_beyond_the_declared_maximum_and_beyond_4_gib() -> None:
    mem = memory(1, 3)
    assert mem.try_grow(3) == REFUSED
    assert mem.try_grow(REFUSED) == REFUSED
    assert mem.grow(2) == 1
    assert mem.grow(0) == 3
    assert memory().try_grow(65536) == REFUSED


def test_a_host_without_memory_refuses_politely(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_bytes(_n: int) -> bytes:
        raise MemoryError

    monkeypatch.setattr("chiwawa_runtime.state.reserve.bytes", no_bytes, raising=False)
    mem = memory()
    assert mem.try_grow(1) == REFUSED
    assert mem.size() == 1


@pytest.mark.parametrize("dst", [0, 5, PAGE - 3, PAGE])
def test_empty_ranges_at_the_end_are_in_bounds(dst: int) -> None:
    mem = memory()
    mem.fill(dst, 1, 0)
    mem.copy(mem, dst, dst, 0)
    mem.init(DataSegment(b""), dst, 0, 0)
    assert not any(mem.data)


def test_what_passes_the_end_traps_and_writes_nothing() -> None:
    mem = memory()
    segment = DataSegment(b"abc")
    for act in (
        lambda: mem.fill(PAGE - 1, 1, 2),
        lambda: mem.fill(PAGE + 1, 1, 0),
        lambda: mem.copy(mem, PAGE - 1, 0, 2),
        lambda: mem.copy(mem, 0, PAGE - 1, 2),
        lambda: mem.init(segment, PAGE - 1, 0, 2),
        lambda: mem.init(segment, 0, 2, 2),
        lambda: mem.write(PAGE - 1, b"xx"),
        lambda: mem.read(PAGE - 1, 2),
        lambda: mem.read(-1, 1),
    ):
        with pytest.raises(Trap, match=r"^out of bounds memory access$"):
            act()
    assert not any(mem.data)
    assert len(mem.data) == PAGE


def test_a_dropped_segment_is_empty() -> None:
    mem, segment = memory(), DataSegment(b"abc")
    mem.init(segment, 1, 1, 2)
    assert mem.read(0, 4) == b"\0bc\0"
    segment.drop()
    mem.init(segment, 0, 0, 0)
    with pytest.raises(Trap):
        mem.init(segment, 0, 0, 1)


@given(st.integers(0, 64), st.integers(0, 64), st.integers(0, 64))
def test_copying_onto_itself_goes_through_a_buffer(dst: int, src: int, n: int) -> None:
    mem = memory()
    mem.write(0, bytes(range(128)))
    before = bytes(mem.data)
    mem.copy(mem, dst, src, n)
    assert mem.data == before[:dst] + before[src : src + n] + before[dst + n :]


def test_a_large_fill_fills_all_of_it_and_no_more() -> None:
    mem = memory(40)
    mem.fill(10, 0x1FF, 2_500_001)
    assert mem.data[:].count(0xFF) == 2_500_001
    assert mem.data[9] == 0
    assert mem.data[10] == 0xFF
    assert mem.data[2_500_011] == 0
