"""The thread that a guest runs in: one with a stack for a hundred thousand calls, while the thread
that asked waits for it and hears of signals."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from chiwawa.native.stacks import stack_size, start_thread
from chiwawa_runtime.engine.deep import Elsewhere

_inside = threading.local()


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
        return function()

    job = Elsewhere(inside)
    start_thread(job.run, stack_size())
    return job.wait(interrupt)
