"""The host's clocks, sleeps and waits in hand: time goes by only where the program waits for it.

So a test says at what moment something comes, and what moment it must be afterwards, to the
nanosecond, on a machine of any speed.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

import pytest

SECOND = 10**9


class HostTime:
    """``now`` is in nanoseconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000 * SECOND
        self.due: list[tuple[int, Callable[[], object]]] = []
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.now)
        monkeypatch.setattr(time, "monotonic", lambda: self.now / SECOND)
        monkeypatch.setattr(time, "time_ns", lambda: self.now)
        monkeypatch.setattr(time, "sleep", lambda seconds: self.go_by(round(seconds * SECOND)))
        real = select.poll
        monkeypatch.setattr(select, "poll", lambda: _Poll(self, real()))

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Have ``act`` done when so much time has gone by."""
        self.due.append((self.now + round(seconds * SECOND), act))

    def go_by(self, nanoseconds: int) -> None:
        end = self.now + nanoseconds
        for moment, act in sorted(self.due, key=lambda entry: entry[0]):
            if moment <= end:
                self.due.remove((moment, act))
                self.now = max(self.now, moment)
                act()
        self.now = max(self.now, end)


class _Poll:
    """What ``select.poll()`` gives; waiting lets the time go by."""

    def __init__(self, host: HostTime, real: Any) -> None:
        self.host = host
        self.real = real
        self.register = real.register

    def poll(self, milliseconds: float) -> Any:
        found = self.real.poll(0)
        if not found and milliseconds > 0:
            self.host.go_by(round(milliseconds * SECOND / 1000))
            found = self.real.poll(0)
        return found
