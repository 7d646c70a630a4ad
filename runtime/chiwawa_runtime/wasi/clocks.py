"""The guest's four clocks: the host's, or virtual ones that only the guest's own deeds move.

What a checkpoint keeps of a clock is the last value that the guest has seen, not the present one:
so the same state gives the same bytes whenever it is written, and a clock never goes back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from chiwawa_runtime.wasi.abi import (
    INVAL,
    MONOTONIC,
    OVERFLOW,
    PROCESS_CPUTIME,
    REALTIME,
    THREAD_CPUTIME,
    WasiError,
)

CLOCKS = (REALTIME, MONOTONIC, PROCESS_CPUTIME, THREAD_CPUTIME)
#: Where the virtual wall clock starts: 2000-01-01, in nanoseconds since 1970.
VIRTUAL_EPOCH = 946_684_800_000_000_000
#: The last moment of the clocks that start at zero, such that the virtual wall clock has a number
#: for it too: five centuries.
LAST = (1 << 64) - 1 - VIRTUAL_EPOCH
#: By how much looking at a virtual clock moves it, in nanoseconds.
VIRTUAL_TICK = 1_000

# A host without threads need not have a clock for each of them: the process is the thread there.
_thread_time_ns: Callable[[], int] = getattr(time, "thread_time_ns", time.process_time_ns)

_RESOLUTIONS = {
    REALTIME: time.get_clock_info("time").resolution,
    MONOTONIC: time.get_clock_info("monotonic").resolution,
    PROCESS_CPUTIME: time.get_clock_info("process_time").resolution,
    THREAD_CPUTIME: time.get_clock_info(
        "thread_time" if hasattr(time, "thread_time_ns") else "process_time"
    ).resolution,
}


class Clock(Protocol):
    """Times are in nanoseconds. An id that there is not is EINVAL, a time after LAST EOVERFLOW."""

    virtual: bool

    def now(self, clock: int) -> int:
        """The time, shown to the guest."""

    def peek(self, clock: int) -> int:
        """The time, for reckoning with; not shown."""

    def deadline(self, clock: int, until: int) -> int:
        """A moment of ``clock`` to wait for, not later than there is one."""

    def resolution(self, clock: int) -> int: ...

    def sleep(self, nanoseconds: int) -> None:
        """Of virtual clocks: let the time go by."""

    def seen(self) -> tuple[int, int, int]:
        """The last values shown of the clocks but REALTIME; zero for those never shown."""


class HostClock:
    """The host's clocks. All but the wall clock start at ``seen``, zero in a new program."""

    __slots__ = ("_seen", "_start", "virtual")

    def __init__(self, seen: tuple[int, int, int] = (0, 0, 0)) -> None:
        self.virtual = False
        self._seen = [0, *seen]
        readings = (time.monotonic_ns(), time.process_time_ns(), _thread_time_ns())
        self._start = [0, *(r - s for r, s in zip(readings, seen, strict=True))]

    def peek(self, clock: int) -> int:
        if clock == REALTIME:
            return time.time_ns()
        if clock == MONOTONIC:
            value = time.monotonic_ns()
        elif clock == PROCESS_CPUTIME:
            value = time.process_time_ns()
        elif clock == THREAD_CPUTIME:
            value = _thread_time_ns()
        else:
            raise WasiError(INVAL)
        # A guest may go on in another thread, whose own clock is behind.
        return max(value - self._start[clock], self._seen[clock])

    def now(self, clock: int) -> int:
        value = self.peek(clock)
        if clock != REALTIME:
            if value > LAST:
                raise WasiError(OVERFLOW)
            self._seen[clock] = value
        return value

    def deadline(self, clock: int, until: int) -> int:
        return until

    def resolution(self, clock: int) -> int:
        if clock not in CLOCKS:
            raise WasiError(INVAL)
        return max(1, round(_RESOLUTIONS[clock] * 1e9))

    def sleep(self, nanoseconds: int) -> None:
        raise AssertionError("the host's time goes by itself")

    def seen(self) -> tuple[int, int, int]:
        return (self._seen[1], self._seen[2], self._seen[3])


class VirtualClock:
    """One virtual time behind all four clocks. It moves by a tick when it is looked at, and by the
    length of a sleep."""

    __slots__ = ("_now", "virtual")

    def __init__(self, now: int = 0) -> None:
        self.virtual = True
        self._now = now

    def peek(self, clock: int) -> int:
        if clock not in CLOCKS:
            raise WasiError(INVAL)
        return self._now + (VIRTUAL_EPOCH if clock == REALTIME else 0)

    def now(self, clock: int) -> int:
        value = self.peek(clock) + VIRTUAL_TICK
        if self._now + VIRTUAL_TICK > LAST:
            raise WasiError(OVERFLOW)
        self._now += VIRTUAL_TICK
        return value

    def deadline(self, clock: int, until: int) -> int:
        return min(until, LAST + (VIRTUAL_EPOCH if clock == REALTIME else 0))

    def resolution(self, clock: int) -> int:
        if clock not in CLOCKS:
            raise WasiError(INVAL)
        return VIRTUAL_TICK

    def sleep(self, nanoseconds: int) -> None:
        self._now = min(self._now + nanoseconds, LAST)

    def seen(self) -> tuple[int, int, int]:
        return (self._now, 0, 0)
