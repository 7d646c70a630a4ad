"""One thread that tells budgets when their time is over.

A program that takes turns with others begins and ends thousands of times a second. So whoever is to
be told stays in a list after that, and is asked when it comes up whether it still wants to be: to
begin again costs no more than to look at a number.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
from typing import Protocol
from weakref import ReferenceType, ref


class Sleeper(Protocol):
    """What wants to be told."""

    #: When it is going to be asked, if it is.
    asked_at: float | None

    def ring(self, now: float) -> float | None:
        """It is asked: when it wants to be next, if it does."""


class Alarms:
    """``lock`` is held while one is asked. Reentrant, for signal handlers."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.order = itertools.count()
        self.waiting: list[tuple[float, int, ReferenceType[Sleeper]]] = []
        self.thread: threading.Thread | None = None

    def set(self, sleeper: Sleeper, due: float) -> bool:
        """Have it asked at ``due``, or before; False where the host has no threads."""
        with self.lock:
            if sleeper.asked_at is not None and sleeper.asked_at <= due and self.is_alive():
                return True
            sleeper.asked_at = due
            heapq.heappush(self.waiting, (due, next(self.order), ref(sleeper)))
            if self.is_alive():
                self.changed.notify()
                return True
            thread = threading.Thread(target=self.run, name="chiwawa alarms", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                self.waiting.clear()
                sleeper.asked_at = None
                return False
            self.thread = thread
            return True

    def is_alive(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def run(self) -> None:
        with self.lock:
            while self.waiting:
                left = self.waiting[0][0] - time.monotonic()
                if left > 0:
                    self.changed.wait(min(left, threading.TIMEOUT_MAX))
                    continue
                asked_at, _, found = heapq.heappop(self.waiting)
                sleeper = found()
                # It may be in the list twice.
                if sleeper is not None and sleeper.asked_at == asked_at:
                    sleeper.asked_at = None
                    due = sleeper.ring(time.monotonic())
                    if due is not None:
                        self.set(sleeper, due)
                del sleeper
            self.thread = None


alarms = Alarms()
if hasattr(os, "register_at_fork"):
    # Its thread is not there, in the child, and may have held the lock.
    os.register_at_fork(after_in_child=alarms.__init__)  # type: ignore[misc]
