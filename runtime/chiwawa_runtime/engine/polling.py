"""How functions in Python find out at a safepoint whether they are to stop there.

Generated code and the interpreter both test ``if poll:`` at each safepoint and know no more than
that. ``poll`` is False nearly always, which Python tests fastest, and True while a request is
pending. Where safepoints are counted or somebody looks for requests at them, it is a ``Polling``,
which does both whenever its truth is tested. Both engines count alike because they test ``poll`` at
the same boundaries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chiwawa_runtime.engine.contract import LOOK_EVERY


class Polling:
    """The ``contract.Safepoints`` of the functions that find ``poll`` among ``names``."""

    __slots__ = (
        "every",
        "left",
        "look",
        "names",
        "passed",
        "pending",
        "reached",
        "reached_at",
        "stop_at",
    )

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.pending = False
        self.passed: int | None = None
        self.stop_at: int | None = None
        self.reached: Callable[[], None] = lambda: None
        #: The number of the safepoint at which ``reached`` was called.
        self.reached_at: int | None = None
        self.look: Callable[[], None] | None = None
        self.every = LOOK_EVERY
        #: How many safepoints are left until the next look.
        self.left = LOOK_EVERY
        self.place()

    def __bool__(self) -> bool:
        """Whether the functions are to stop at the safepoint where they test ``poll``."""
        if self.passed is not None:
            self.passed += 1
            # The same safepoint may be tested again (see ``repeat``).
            if self.passed == self.stop_at != self.reached_at:
                self.reached_at = self.passed
                self.reached()
        if self.look is not None:
            self.left -= 1
            if self.left <= 0:
                self.left = self.every
                self.look()
        return self.pending

    def request(self, pending: bool) -> None:
        self.pending = pending
        self.place()

    def count_from(self, passed: int, stop_at: int | None, reached: Callable[[], None]) -> None:
        self.passed = passed
        self.stop_at = stop_at
        self.reached = reached
        self.reached_at = None
        self.place()

    def watch(self, look: Callable[[], None] | None, every: int = LOOK_EVERY) -> None:
        self.look = look
        self.every = self.left = every
        self.place()

    def repeat(self) -> None:
        """The engine says that the safepoint tested next has been counted already."""
        if self.passed is not None:
            self.passed -= 1

    def poll(self) -> bool | Polling:
        """What ``poll`` is to be."""
        return self.pending if self.passed is None and self.look is None else self

    def place(self) -> None:
        """Put ``poll`` where the functions test it. Two threads may do so at once: whichever writes
        last sees what the other has changed before."""
        poll = None
        while poll is not self.poll():
            self.names["poll"] = poll = self.poll()
