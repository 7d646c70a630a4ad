"""A thread with a stack large enough for deep Wasm recursion.

Generators that delegate to each other use the native stack for each, and a main thread's is small
and fixed. Signals still reach the main thread, which waits here and can be interrupted.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

#: Bytes. Reserved, not used, until the recursion gets there.
STACK = 1 << 30
#: Python frames that a program at its deepest may need, with what helpers and hosts add.
RECURSION = 2_000_000

_lock = threading.Lock()
_local = threading.local()


def call_deep(function: Callable[[], Any], interrupt: Callable[[], None] | None = None) -> Any:
    """``function()``, with room for deep recursion; what it raises is raised here. Where the
    waiting thread is interrupted (Ctrl-C), ``interrupt`` is called, which should make ``function``
    return soon, and then the interruption goes on."""
    if getattr(_local, "deep", False):
        return function()
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        _local.deep = True
        try:
            outcome.append(function())
        except BaseException as error:
            failure.append(error)

    with _lock:
        if sys.getrecursionlimit() < RECURSION:
            # Threads that have a large stack may use it; the rest keep their own discipline.
            sys.setrecursionlimit(RECURSION)
        before = threading.stack_size(STACK)
        try:
            thread = threading.Thread(target=run, name="chiwawa", daemon=True)
            thread.start()
        finally:
            threading.stack_size(before)
    try:
        thread.join()
    except BaseException:
        if interrupt is not None:
            interrupt()
            thread.join()
        raise
    if failure:
        raise failure[0]
    return outcome[0]
