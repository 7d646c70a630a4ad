"""Which checkpoints are kept."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiwawa.debug import history
from chiwawa.debug.history import MOST, History, Moment


def moment(count: int, size: int = 1) -> Moment:
    return Moment(count, bytes(size), (0, 0))


def test_many_moments_are_thinned_more_the_longer_ago_they_are() -> None:
    kept = History()
    for count in range(1, 100_001, 10):
        kept.add(moment(count))
    counts = [m.count for m in kept.moments]
    assert len(counts) == MOST == kept.bytes
    assert counts[0] == 1
    assert counts[-1] == 99_991
    gaps = [b - a for a, b in itertools.pairwise(counts)]
    assert sum(gaps[:10]) > 10 * sum(gaps[-10:])
    # Going anywhere, what is run again is in proportion to how far back that is.
    for count in range(1, 100_001, 997):
        assert count - kept.before(count).count <= max(20, (100_000 - count) // 4 + 10)


def test_large_moments_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_BYTES", 1000)
    kept = History()
    for count in range(50):
        kept.add(moment(count, 200))
        assert kept.bytes <= 1000
        assert kept.moments[0].count == 0
        assert kept.moments[-1].count == count
    kept.clear()
    assert kept.bytes == 0


@given(st.lists(st.integers(1, 300), min_size=1, max_size=200))
def test_moments_stay_in_order_whatever_comes_when(counts: list[int]) -> None:
    kept = History()
    kept.add(moment(0))
    for count in counts:
        kept.add(moment(count))
    found = [m.count for m in kept.moments]
    assert found == sorted(set(found))
    assert kept.bytes == sum(len(m.data) for m in kept.moments)
    for count in counts:
        assert kept.before(count).count <= count
