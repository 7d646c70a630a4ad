"""Requests to stop at a safepoint, and the count of safepoints passed.

Generated code and the interpreter both test ``if poll:`` at each safepoint and know no more than
that. ``poll`` is False nearly always, which Python tests fastest, and True while a request is
pending; where safepoints are to be counted it is an object that counts whenever it is tested, which
gives both paths the same numbers because they test at the same boundaries. Where no thread can look
for requests, it is one that looks for itself now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

#: How many tests of pending requests lie between two looks for others.
LOOK_EVERY = 100


class Watched(list[str]):
    """Pending requests on a host without threads. Every so many times that they are tested, by
    ``if poll:`` or by a call that waits, ``look`` is called, which may ask for more."""

    __slots__ = ("left", "look")

    def __init__(self, reasons: Iterable[str], look: Callable[[], None]) -> None:
        super().__init__(reasons)
        self.look = look
        self.left = LOOK_EVERY

    def __bool__(self) -> bool:
        self.left -= 1
        if self.left <= 0:
            self.left = LOOK_EVERY
            self.look()
        return len(self) > 0


class Counter:
    """A ``poll`` that counts. ``count`` is how many safepoints have been passed since the start. It
    asks once for each ``target``."""

    __slots__ = ("asked", "count", "pending", "target")

    def __init__(self, pending: list[str], count: int, target: int | None) -> None:
        self.pending = pending
        self.count = count
        self.target = target
        self.asked: int | None = None

    def __bool__(self) -> bool:
        self.count += 1
        if self.count == self.target != self.asked:
            # The same safepoint may be tested again (see ``Requests.repeat``).
            self.asked = self.count
            self.pending.append("count")
        return bool(self.pending)


class Requests:
    """What a run has been asked for. ``ask`` may be called from any thread or signal handler."""

    __slots__ = ("counter", "names", "pending")

    def __init__(self) -> None:
        self.pending: list[str] = []
        self.counter: Counter | None = None
        #: The namespace in which a program finds ``poll``.
        self.names: dict[str, Any] = {}

    def ask(self, reason: str = "api") -> None:
        """Ask the run to stop at its next safepoint."""
        self.pending.append(reason)
        self.tell()

    def count_from(self, passed: int, target: int | None) -> None:
        """Count safepoints from here on; stop at the one that makes the number ``target``."""
        self.counter = Counter(self.pending, passed, target)
        self.tell()

    def watch(self, look: Callable[[], None]) -> None:
        """Call ``look`` every so many safepoints, from the program's own thread: for a host that
        has no other. While nothing counts, each safepoint then costs what a counted one does."""
        self.pending = Watched(self.pending, look)
        if self.counter is not None:
            self.counter.pending = self.pending
        self.tell()

    def repeat(self) -> None:
        """The safepoint tested next has been counted already."""
        if self.counter is not None:
            self.counter.count -= 1

    def tell(self, names: dict[str, Any] | None = None) -> None:
        """Put the present ``poll`` into the namespace where a program tests it; from now on into
        ``names``, where that is given."""
        if names is not None:
            self.names = names
        if self.counter is not None:
            self.names["poll"] = self.counter
        else:
            watched = isinstance(self.pending, Watched)
            self.names["poll"] = self.pending if watched else bool(self.pending)

    def take(self) -> list[str]:
        """The pending reasons, which are pending no longer."""
        if self.counter is None and not isinstance(self.pending, Watched):
            # First: a request that arrives from another thread from here on tells again.
            self.names["poll"] = False
        reasons = self.pending[:]
        del self.pending[: len(reasons)]
        return reasons
