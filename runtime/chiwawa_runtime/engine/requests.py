"""Requests to stop at a safepoint.

``Requests`` keeps why a run is to stop; the instance's engine alone knows how its functions find
out that they are to (``contract.Safepoints``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from chiwawa_runtime.engine.contract import LOOK_EVERY, Safepoints

#: The reason where a run has come to the safepoint at which it was to stop.
BY_COUNT = "count"


class Watched(list[str]):
    """Pending requests on a host without threads. Every so many times that a host function which
    waits tests whether there are any, ``look`` is called, which may ask for more."""

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


class Requests:
    """What a run has been asked for. ``ask`` may be called from any thread or signal handler;
    ``pending`` is for host functions that wait, which only read it. ``beneath`` are the requests of
    instances whose functions the run may be in: those stop for it, too."""

    __slots__ = ("beneath", "pending", "safepoints")

    def __init__(self, safepoints: Safepoints) -> None:
        self.pending: list[str] = []
        self.safepoints = safepoints
        self.beneath: tuple[Requests, ...] = ()

    def ask(self, reason: str = "api") -> None:
        """Ask the run to stop at its next safepoint."""
        self.pending.append(reason)
        self.request(True)

    def request(self, pending: bool) -> None:
        """Have functions stop at their next safepoint, or no longer."""
        self.safepoints.request(pending)
        for requests in self.beneath:
            requests.safepoints.request(pending or len(requests.pending) > 0)

    @property
    def passed(self) -> int | None:
        """How many safepoints have been passed since the start, or None where nobody counts."""
        return self.safepoints.passed

    def count_from(self, passed: int, stop_at: int | None) -> None:
        """Count safepoints from here on, ``passed`` so far; stop at the one that makes the number
        ``stop_at`` (None: at none)."""
        self.safepoints.count_from(passed, stop_at, partial(self.ask, BY_COUNT))

    def stop_at(self, number: int | None) -> None:
        """Stop at the safepoint ``number``, and no longer where ``count_from`` said. Where nobody
        counts, the next safepoint is number 1."""
        self.count_from(self.passed or 0, number)

    def watch(self, look: Callable[[], None]) -> None:
        """Call ``look`` now and then from the program's own thread, at safepoints and where a host
        function waits: for a host that has no other. While nothing counts, each safepoint then
        costs what a counted one does."""
        self.pending = Watched(self.pending, look)
        self.safepoints.watch(look)

    def take(self) -> list[str]:
        """The pending reasons, which are pending no longer."""
        # First: whoever asks from another thread from here on has the engine stop again.
        self.request(False)
        reasons = self.pending[:]
        del self.pending[: len(reasons)]
        return reasons

    def withdraw(self, reason: str) -> bool:
        """Have ``reason`` pending no longer, however often it was asked for; whether it was."""
        if reason not in self.pending:
            return False
        self.request(False)
        while reason in self.pending:
            self.pending.remove(reason)
        if len(self.pending):
            self.request(True)
        return True
