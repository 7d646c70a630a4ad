"""The large stack that deeply nested constructs take, on hosts that have none."""

from __future__ import annotations

import sys
import threading

import pytest

import chiwawa
from chiwawa.aot import roomy
from chiwawa_runtime.errors import UnsupportedError


def nested(depth: int) -> chiwawa.Module:
    ifs = "(if (local.get 0) (then " * depth + "(local.set 0 (i32.const 7))" + "))" * depth
    return chiwawa.load(f'(module (func (export "f") (param i32) (result i32) {ifs} local.get 0))')


def result(module: chiwawa.Module) -> object:
    return chiwawa.instantiate(module, path="aot").invoke("f", [1])


def test_where_the_largest_stack_is_refused_a_smaller_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on Windows."""
    sizes = []
    set_size = threading.stack_size

    def stack_size(size: int = 0) -> int:
        sizes.append(size)
        if size >= 1 << 28:
            raise ValueError(f"size not valid: {size} bytes")
        return set_size(size)

    monkeypatch.setattr(threading, "stack_size", stack_size)
    before = set_size()
    assert result(nested(3000)) == [7]
    assert any(1 << 26 < size < 1 << 28 for size in sizes)
    assert set_size() == before


def test_without_threads_what_is_nested_less_deeply_is_translated_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As under WASI and in Pyodide."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    limit = sys.getrecursionlimit()
    assert result(nested(1000)) == [7]
    with pytest.raises(UnsupportedError, match="nested so deeply takes a thread"):
        chiwawa.instantiate(nested(10_000), path="aot").invoke("f", [1])
    assert sys.getrecursionlimit() == limit


def test_what_fails_in_the_thread_fails_here() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        roomy.with_large_stack(fail)
