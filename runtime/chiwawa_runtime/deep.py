"""Threads with a stack large enough for deep Wasm recursion.

Generators that delegate to each other use the native stack for each, and a main thread's is small
and fixed. Signals still reach the main thread, which waits here and can be interrupted. A thread is
kept a moment for the next call, because to start one takes longer than most calls do.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

#: Bytes. Reserved, not used, until the recursion gets there.
STACK = 1 << 30
#: Python frames that a program at its deepest may need, with what helpers and hosts add.
RECURSION = 2_000_000
#: Seconds that a thread waits for another call. What a deep recursion used is given back after.
PATIENCE = 1.0

_lock = threading.Lock()
_here = threading.local()


class _Job:
    """A call, and how it ended."""

    __slots__ = ("done", "failure", "function", "outcome")

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.outcome: Any = None
        self.failure: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def run(self) -> None:
        try:
            self.outcome = self.function()
        except BaseException as error:
            self.failure = error
        finally:
            self.done.release()


class _Worker:
    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        if sys.getrecursionlimit() < RECURSION:
            # Threads that have a large stack may use it; the rest keep their own discipline.
            sys.setrecursionlimit(RECURSION)
        before = threading.stack_size(STACK)
        try:
            threading.Thread(target=self.work, name="chiwawa", daemon=True).start()
        finally:
            threading.stack_size(before)

    def work(self) -> None:
        _here.deep = True
        while True:
            try:
                job = self.jobs.get(timeout=PATIENCE)
            except queue.Empty:
                with _lock:
                    if self in _idle:
                        _idle.remove(self)
                        return
                # Somebody has just taken this one, and is about to put a job.
                continue
            job.run()
            # Not to keep what the call referred to.
            del job


_idle: list[_Worker] = []
if hasattr(os, "register_at_fork"):
    # A child has none of its parent's threads.
    os.register_at_fork(after_in_child=_idle.clear)


def call_deep(function: Callable[[], Any], interrupt: Callable[[], None] | None = None) -> Any:
    """``function()``, with room for deep recursion; what it raises is raised here. Where the
    waiting thread is interrupted, ``interrupt`` is called, which should make ``function`` return
    soon, and then the interruption goes on."""
    if getattr(_here, "deep", False):
        return function()
    with _lock:
        worker = _idle.pop() if _idle else _Worker()
    job = _Job(function)
    worker.jobs.put(job)
    try:
        job.done.acquire()
    except BaseException:
        if interrupt is not None:
            interrupt()
            job.done.acquire()
            with _lock:
                _idle.append(worker)
        raise
    with _lock:
        _idle.append(worker)
    if job.failure is not None:
        try:
            raise job.failure
        finally:
            # The traceback refers to this frame, and this frame to the job.
            del job
    return job.outcome
