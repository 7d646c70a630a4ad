"""What is left to an instance of the fuel and the time that its host allows.

Fuel is safepoints, which are counted where there is a limit, and nowhere else; time is measured
while the instance is run. Where either is spent, the run is asked to stop, as by anybody else.
"""

from __future__ import annotations

import math
import threading
import time

from chiwawa_runtime.engine.requests import BY_FUEL, BY_TIME, Requests
from chiwawa_runtime.state.host_limits import Limits

#: What a trap says, by the reason that it would have been to stop.
MESSAGES = {BY_FUEL: "out of fuel", BY_TIME: "out of time"}


class Budget:
    """Of the instance with these ``requests``. ``traps``: to spend all is a trap."""

    __slots__ = ("clock", "limited", "looks", "requests", "seconds", "traps")

    def __init__(self, requests: Requests, limits: Limits) -> None:
        self.requests = requests
        self.traps = limits.trap
        #: How many are left, while the instance is not run.
        self.seconds: float | None = None
        self.clock: Clock | None = None
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
            self.requests.withdraw(BY_TIME)
            self.seconds = seconds
            if self.clock is not None:
                self.end()
                self.begin()

    def spent(self) -> str | None:
        """The reason to stop, where nothing is left of something."""
        if not self.limited:
            return None
        if self.requests.left(BY_FUEL) == 0:
            return BY_FUEL
        if self.seconds is not None and self.seconds <= 0 and self.clock is None:
            return BY_TIME
        return None

    def begin(self) -> None:
        """The instance is run from now on."""
        if self.seconds is not None:
            self.clock = clock = Clock(self.requests, self.seconds)
            if not clock.start() and not self.looks:
                self.looks = True
                self.requests.watch(self.look)

    def look(self) -> None:
        if self.clock is not None:
            self.clock.look()

    def end(self) -> None:
        """It is not, any more."""
        if self.clock is not None and self.seconds is not None:
            self.seconds = max(0.0, self.seconds - self.clock.stop())
            self.clock = None


class Clock:
    """Asks to stop after so many ``seconds``, if it has not been stopped."""

    def __init__(self, requests: Requests, seconds: float) -> None:
        self.requests = requests
        self.began = time.monotonic()
        self.due = self.began + seconds
        #: Held to ask, and to see to it that nobody does any more.
        self.lock = threading.Lock()
        self.stopped = False
        # What takes longer can as well take for ever.
        self.timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self.ask)
        self.timer.daemon = True

    def start(self) -> bool:
        """Whether it asks by itself. Else somebody has to ``look``: the host has no threads."""
        try:
            self.timer.start()
        except RuntimeError:
            return False
        return True

    def look(self) -> None:
        if time.monotonic() >= self.due:
            self.ask()

    def ask(self) -> None:
        with self.lock:
            if not self.stopped:
                self.stopped = True
                self.requests.ask(BY_TIME)

    def stop(self) -> float:
        """How many seconds it went; more than any, where it has asked."""
        with self.lock:
            gone = math.inf if self.stopped else time.monotonic() - self.began
            self.stopped = True
        self.timer.cancel()
        return gone
