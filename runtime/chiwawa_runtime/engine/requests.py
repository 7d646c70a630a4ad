"""Requests to stop at a safepoint.

``Requests`` keeps why a run is to stop; the instance's engine alone knows how its functions find
out that they are to (``contract.Safepoints``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from chiwawa_runtime.engine.contract import LOOK_EVERY, Safepoints

#: The reason where a run has come to the safepoint at which it was to stop; and where it has spent
#: the fuel, or the time, that it was given.
BY_COUNT, BY_FUEL, BY_TIME = "count", "fuel", "timeout"
#: Where an embedder has stopped it, from outside or where a probe looks at it.
BY_CALLER, BY_STOP, BY_PROBE = "stopped", "stop", "probe"
#: The reasons that stop a call from Python as well as a run.
STOPPING_CALLS = frozenset({BY_CALLER, BY_STOP, BY_PROBE, BY_FUEL, BY_TIME})
#: Where a run gives way to others in its thread; it never stops for whoever runs it.
BY_TURN = "turn"


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
    ``pending`` is for host functions that wait, which only read it. ``beneath_of`` gives the
    requests of the other instances whose functions the run may be in: those stop for it, too."""

    __slots__ = ("beneath_of", "due", "looks", "pending", "safepoints", "stops")

    def __init__(self, safepoints: Safepoints) -> None:
        self.pending: list[str] = []
        self.safepoints = safepoints
        self.beneath_of: Callable[[], Iterable[Requests]] = tuple
        #: The numbers of the safepoints at which something is done, with that, by whose they are:
        #: a reason to stop, or whatever somebody keeps them by; and the one that is next.
        self.stops: dict[object, tuple[int, Callable[[], None]]] = {}
        self.due: int | None = None
        #: What is called now and then.
        self.looks: list[Callable[[], None]] = []

    def ask(self, reason: str = "api") -> None:
        """Ask the run to stop at its next safepoint."""
        self.pending.append(reason)
        self.request(True)

    def request(self, pending: bool) -> None:
        """Have functions stop at their next safepoint, or no longer."""
        self.safepoints.request(pending)
        for requests in self.beneath_of():
            requests.safepoints.request(pending or len(requests.pending) > 0)

    @property
    def passed(self) -> int | None:
        """How many safepoints have been passed since the start, or None where nobody counts."""
        return self.safepoints.passed

    def count_from(self, passed: int, stop_at: int | None) -> None:
        """Count safepoints from here on, ``passed`` so far; stop at the one that makes the number
        ``stop_at`` (None: at none). It is as far as before to where another reason has it stop."""
        moved = passed - (self.passed or 0)
        self.stops = {
            key: (number + moved, do) for key, (number, do) in self.stops.items() if key != BY_COUNT
        }
        if stop_at is not None:
            self.stops[BY_COUNT] = stop_at, partial(self.ask, BY_COUNT)
        self.place_stop(passed)

    def place_stop(self, passed: int) -> None:
        """Have the engine say when the next number is reached."""
        self.due = min((n for n, _ in self.stops.values() if n > passed), default=None)
        self.safepoints.count_from(passed, self.due, self.reached)

    def reached(self) -> None:
        """The next number has been reached, or passed, where the engine does not stop everywhere
        where it counts."""
        passed, due = self.passed, self.due
        assert passed is not None
        assert due is not None
        for number, do in list(self.stops.values()):
            if due <= number <= passed:
                do()
        if any(number > passed for number, _ in self.stops.values()):
            self.place_stop(passed)

    def stop_at(self, number: int | None) -> None:
        """Stop at the safepoint ``number``, and no longer where ``count_from`` said. Where nobody
        counts, the next safepoint is number 1."""
        self.count_from(self.passed or 0, number)

    def stop_after(self, count: int, reason: str) -> None:
        """Stop for ``reason`` at the safepoint that is so many from here, and no longer where it
        was to be before."""
        self.do_after(count, reason, partial(self.ask, reason))

    def do_after(self, count: int, key: object, do: Callable[[], None]) -> None:
        """The same, where something else is done than to ask these to stop. ``key`` is whose it
        is."""
        passed = self.passed or 0
        self.stops[key] = passed + count, do
        self.place_stop(passed)

    def forget(self, key: object) -> None:
        """Do nothing any more at the number that has this ``key``. Safepoints are counted on."""
        if self.stops.pop(key, None) is not None:
            self.place_stop(self.passed or 0)

    def left(self, key: object) -> int:
        """How many safepoints there are until the number that has this ``key``; it is negative
        where that has been passed, which an engine may have done that could not stop."""
        return self.stops[key][0] - (self.passed or 0)

    def watch(self, look: Callable[[], None]) -> None:
        """Call ``look`` now and then from the program's own thread, at safepoints and where a host
        function waits: for a host that has no other. While nothing counts, each safepoint then
        costs what a counted one does."""
        self.looks.append(look)
        if len(self.looks) == 1:
            self.pending = Watched(self.pending, self.look)
            self.safepoints.watch(self.look)

    def look(self) -> None:
        for look in self.looks:
            look()

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
