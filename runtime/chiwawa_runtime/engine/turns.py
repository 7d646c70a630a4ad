"""Whose turn it is: an instance is run by one thread at a time.

A program is not made to have another thread in the middle of its instructions, so the second one is
refused. Who is inside already may come in again: a host function may call back. What runs in a
thread of its own only to have room (see ``deep``) is still inside.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from chiwawa_runtime.errors import RunError

Result = TypeVar("Result")


class _Here(threading.local):
    def __init__(self) -> None:
        #: Who this thread is; another thread that it waits for may be the same one.
        self.who = object()


_here = _Here()


class Turn:
    """The turn of one instance."""

    __slots__ = ("brief", "depth", "lock", "over", "who")

    def __init__(self) -> None:
        # Reentrant, for signal handlers.
        self.lock = threading.RLock()
        self.over = threading.Condition(self.lock)
        self.who: object = None
        self.depth = 0
        #: Whether it is over soon, and worth waiting for.
        self.brief = False

    def begin(self, brief: bool) -> bool:
        """Whether it is this thread's turn; if so, ``end`` it."""
        who = _here.who
        with self.lock:
            if self.who is not who:
                while self.brief:
                    self.over.wait()
                if self.who is not None:
                    return False
                self.who = who
                self.brief = brief
            self.depth += 1
            return True

    def end(self) -> None:
        with self.lock:
            self.depth -= 1
            if not self.depth:
                self.who = None
                if self.brief:
                    self.brief = False
                    self.over.notify_all()


def begin(turns: Sequence[Turn], *, brief: bool = False) -> None:
    """Begin all of ``turns``, or none. Raises RunError where another thread has one."""
    for position, turn in enumerate(turns):
        if not turn.begin(brief):
            end(turns[:position])
            raise RunError(
                "the instance is running in another thread: only one at a time can run an "
                "instance, and those whose functions it imports or has tables in common with"
            )


def end(turns: Sequence[Turn]) -> None:
    for turn in turns:
        turn.end()


def handed_on(function: Callable[[], Result]) -> Callable[[], Result]:
    """``function``, for another thread that this one waits for: it is this thread then, while this
    one, which signal handlers may still run in, is somebody else."""
    who = _here.who

    def inside() -> Result:
        _here.who = who
        return function()

    return inside


class Waiting:
    """A context in which this thread waits for one that it has handed its turns on to."""

    def __enter__(self) -> None:
        self.who = _here.who
        _here.who = object()

    def __exit__(self, *exception: object) -> None:
        _here.who = self.who
