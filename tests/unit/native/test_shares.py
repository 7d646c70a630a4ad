"""A module that several processes rewrite is the same as if one had done it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import chiwawa
from chiwawa.native import module, shares

SAMPLE = Path(__file__).resolve().parents[3] / "samples" / "wc.wasm"


@pytest.mark.parametrize("counting", [False, True])
def test_it_is_the_same(monkeypatch: pytest.MonkeyPatch, counting: bool) -> None:
    given = chiwawa.load(SAMPLE)
    alone = module.rewrite(given, counting, 1)
    monkeypatch.setattr(shares, "ENOUGH", 1)
    helped: list[bool] = []
    result = shares._result
    monkeypatch.setattr(
        shares, "_result", lambda helper: helped.append(bool(found := result(helper))) or found
    )
    together = module.rewrite(given, counting, 3)
    assert helped == [True, True]
    assert together.binary == alone.binary
    assert together.tables.data == alone.tables.data


@pytest.mark.parametrize("executable", ["/nowhere/python", None, "false"])
def test_where_there_are_no_helpers_it_is_the_same(
    monkeypatch: pytest.MonkeyPatch, executable: str | None
) -> None:
    given = chiwawa.load(SAMPLE)
    alone = module.rewrite(given, False, 1)
    monkeypatch.setattr(shares, "ENOUGH", 1)
    monkeypatch.setattr(sys, "executable", executable)
    together = module.rewrite(given, False, 2)
    assert together.binary == alone.binary


@pytest.mark.parametrize(
    ("lengths", "most", "expected"),
    [
        ([], 4, [(0, 0)]),
        ([5], 4, [(0, 1)]),
        ([3, 3, 3, 3], 2, [(0, 2), (2, 4)]),
        ([3, 3, 3, 3], 8, [(0, 1), (1, 2), (2, 3), (3, 4)]),
        ([1, 1, 100, 1], 2, [(0, 3), (3, 4)]),
        ([100, 1, 1], 3, [(0, 1), (1, 1), (1, 3)]),
    ],
)
def test_the_shares_are_much_the_same_work(
    monkeypatch: pytest.MonkeyPatch,
    lengths: list[int],
    most: int,
    expected: list[tuple[int, int]],
) -> None:
    monkeypatch.setattr(shares, "ENOUGH", 3)
    assert [(s.start, s.stop) for s in shares.shares(lengths, most)] == expected


def test_little_is_not_shared() -> None:
    assert len(shares.shares([1000] * 100, 8)) == 1
