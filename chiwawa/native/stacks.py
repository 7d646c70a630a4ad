"""Threads with stacks as large as they can be, which deep programs want."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache

#: The stacks that are tried, in bytes, the largest first: a program may be a hundred thousand calls
#: deep. What is never written to takes no memory.
STACKS = (1 << 30, 1 << 28, 1 << 26, 1 << 24)
#: Of that, what is left for host functions.
FOR_HOSTS = 1 << 23
#: What threads are given before they start is the whole process's.
_STARTING = threading.Lock()


def start_thread(target: Callable[[], object], size: int) -> None:
    """Start a thread with a stack of ``size`` bytes. Raises RuntimeError."""

    def run() -> None:
        # Not before the size is what it was: what it calls may start threads.
        with _STARTING:
            pass
        target()

    with _STARTING:
        before = threading.stack_size(size)
        try:
            threading.Thread(target=run, name="chiwawa native", daemon=True).start()
        finally:
            threading.stack_size(before)


@lru_cache(maxsize=1)
def stack_size() -> int:
    """The largest stack that a thread can have here."""
    for size in STACKS:
        try:
            start_thread(lambda: None, size)
        except (RuntimeError, ValueError):
            continue
        return size
    return STACKS[-1]
