"""The thread that a guest runs in: one with a stack for a hundred thousand calls, while the thread
that asked waits for it and hears of signals."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from chiwawa.native.stacks import stack_size, start_thread
from chiwawa_runtime.engine.deep import Elsewhere
from chiwawa_runtime.errors import ResourceError

_inside = threading.local()


class _Recursion:
    """A context in which callbacks may begin however deep the guest is that calls. PyPy takes its
    limit on recursion for one on the stack, in units of 768 bytes, and has a callback that begins
    further down return at once, as if it had done its work. The limit is the process's."""

    UNIT = 768

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.before = 0

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.before = sys.getrecursionlimit()
                sys.setrecursionlimit(max(self.before, stack_size() // self.UNIT))
            self.inside += 1

    def __exit__(self, *exc: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                sys.setrecursionlimit(self.before)


_recursion: AbstractContextManager[None] = (
    _Recursion() if sys.implementation.name == "pypy" else nullcontext()
)


def is_in_room() -> bool:
    """Whether this thread has room for a guest."""
    return getattr(_inside, "room", False)


def call_in_thread(function: Callable[[], Any], interrupt: Callable[[], None]) -> Any:
    """``function()`` where there is room for a guest: in another thread, with a copy of the
    context, unless this is such a thread. What it raises is raised here. Where this thread is
    interrupted meanwhile, ``interrupt`` is called, which should make ``function`` return soon."""
    if is_in_room():
        return function()

    def inside() -> Any:
        _inside.room = True
        with _recursion:
            return function()

    job = Elsewhere(inside)
    try:
        start_thread(job.run, stack_size())
    except RuntimeError as error:
        raise ResourceError(f"the native path needs a thread of its own: {error}") from None
    return job.wait(interrupt)
