"""A large stack for what makes statements of constructs in each other, which recurses into them."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from chiwawa_runtime.errors import UnsupportedError

T = TypeVar("T")

#: Bytes, reserved and not used until the recursion gets there: the first that the host allows.
#: Windows takes less than 256 MiB.
SIZES = (1 << 30, (1 << 28) - (1 << 20), 1 << 26)
#: How many Python frames such a stack, and one that the host made, may be asked to hold.
FRAMES, FRAMES_HERE = 2_000_000, 4_000


def with_large_stack(function: Callable[[], T]) -> T:
    """``function()`` in a thread that may recurse deeply. Where the host has no threads it is
    called here, and UnsupportedError raised where it recurses too deeply for that."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            failure.append(error)

    with allowing(FRAMES):
        thread = started(run)
        if thread is not None:
            thread.join()
    if thread is None:
        return called_here(function)
    if failure:
        raise failure[0]
    return outcome[0]


def started(run: Callable[[], None]) -> threading.Thread | None:
    """A thread that does ``run`` on the largest stack that can be had; None where none can."""
    before = threading.stack_size()
    try:
        for size in SIZES:
            thread = threading.Thread(target=run, daemon=True)
            try:
                threading.stack_size(size)
                thread.start()
            except (RuntimeError, ValueError):
                continue
            return thread
        return None
    finally:
        threading.stack_size(before)


def called_here(function: Callable[[], T]) -> T:
    try:
        with allowing(max(FRAMES_HERE, sys.getrecursionlimit())):
            return function()
    except RecursionError:
        raise UnsupportedError(
            "to translate constructs nested so deeply takes a thread, which this host has not"
        ) from None


@contextlib.contextmanager
def allowing(frames: int) -> Iterator[None]:
    """Have Python allow so many frames, and after it as many as before."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(frames)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
