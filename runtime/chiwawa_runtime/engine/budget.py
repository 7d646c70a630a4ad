"""What is left to an instance of the fuel and the time that its host allows.

Fuel is safepoints, which are counted where there is a limit, and nowhere else; time is measured
while the instance is run. Where either is spent, the run is asked to stop, as by anybody else.
"""

from __future__ import annotations

import time

from chiwawa_runtime.engine.alarms import alarms
from chiwawa_runtime.engine.requests import BY_FUEL, BY_TIME, Requests
from chiwawa_runtime.state.host_limits import Limits

#: What a trap says, by the reason that it would have been to stop.
MESSAGES = {BY_FUEL: "out of fuel", BY_TIME: "out of time"}


class Budget:
    """Of the instance with these ``requests``. ``traps``: to spend all is a trap."""

    __slots__ = (
        "__weakref__",
        "asked_at",
        "due",
        "limited",
        "looks",
        "requests",
        "seconds",
        "traps",
    )

    def __init__(self, requests: Requests, limits: Limits) -> None:
        self.requests = requests
        self.traps = limits.trap
        #: How many are left, while the instance is not run.
        self.seconds: float | None = None
        #: When they are over, while it is.
        self.due: float | None = None
        self.asked_at: float | None = None
        #: Whether there is a limit at all.
        self.limited = False
        #: Whether the program itself looks at the clock: where the host has no threads.
        self.looks = False
        self.give(limits.fuel, limits.time)

    def give(self, fuel: int | None, seconds: float | None) -> None:
        """Have so much left from here on; None: what is left stays."""
        if fuel is not None or seconds is not None:
            self.limited = True
        if fuel is not None:
            self.requests.withdraw(BY_FUEL)
            self.requests.stop_after(fuel, BY_FUEL)
        if seconds is not None:
            with alarms.lock:
                self.requests.withdraw(BY_TIME)
                self.seconds = seconds
                if self.due is not None:
                    self.begin()

    def spent(self) -> str | None:
        """The reason to stop, where nothing is left of something."""
        if not self.limited:
            return None
        if self.requests.left(BY_FUEL) == 0:
            return BY_FUEL
        if self.seconds is not None and self.seconds <= 0 and self.due is None:
            return BY_TIME
        return None

    def begin(self) -> None:
        """The instance is run from now on."""
        if not self.seconds:
            return
        self.due = due = time.monotonic() + self.seconds
        if not alarms.set(self, due) and not self.looks:
            self.looks = True
            self.requests.watch(self.look)

    def end(self) -> None:
        """It is not, any more."""
        if self.seconds is not None:
            with alarms.lock:
                if self.due is not None:
                    self.seconds = max(0.0, self.due - time.monotonic())
                    self.due = None

    def look(self) -> None:
        self.ring(time.monotonic())

    def ring(self, now: float) -> float | None:
        """Ask to stop, where the time is over: when to come again, if it is not."""
        if self.due is None or now < self.due:
            return self.due
        self.due = None
        self.seconds = 0.0
        self.requests.ask(BY_TIME)
        return None
