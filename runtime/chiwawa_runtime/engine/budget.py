"""What is left to an instance of the fuel and the time that its host allows.

Fuel is safepoints, which are counted where there is a limit, and nowhere else: those of the
instance and of all that it is linked with, while the instance is run. Time is measured meanwhile.
Where either is spent, the run is asked to stop, as by anybody else.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from chiwawa_runtime.engine.alarms import alarms
from chiwawa_runtime.engine.countdown import Countdown
from chiwawa_runtime.engine.requests import BY_FUEL, BY_TIME, Requests
from chiwawa_runtime.state.host_limits import Limits

#: What a trap says, by the reason that it would have been to stop.
MESSAGES = {BY_FUEL: "out of fuel", BY_TIME: "out of time"}


class Budget:
    """Of the instance with these ``requests``. ``traps``: to spend all is a trap."""

    __slots__ = (
        "__weakref__",
        "asked_at",
        "countdown",
        "counted",
        "due",
        "fuel",
        "limited",
        "looks",
        "requests",
        "seconds",
        "traps",
    )

    def __init__(self, requests: Requests, limits: Limits) -> None:
        self.requests = requests
        self.traps = limits.trap
        #: How many safepoints are left, while the instance is not run.
        self.fuel: int | None = limits.fuel
        #: Whose safepoints are counted, while it is run, and what counts them where any are left.
        self.counted: Sequence[Requests] = ()
        self.countdown: Countdown | None = None
        #: How many are left, while the instance is not run.
        self.seconds: float | None = limits.time
        #: When they are over, while it is.
        self.due: float | None = None
        self.asked_at: float | None = None
        #: Whether there is a limit at all.
        self.limited = self.fuel is not None or self.seconds is not None
        #: Whether the program itself looks at the clock: where the host has no threads.
        self.looks = False

    @property
    def begun(self) -> bool:
        """Whether the instance is run."""
        return len(self.counted) > 0

    @property
    def linked(self) -> Sequence[Requests]:
        """Those of the instance and of all that it is linked with."""
        return self.requests, *self.requests.beneath_of()

    def prepare(self) -> None:
        """Have the safepoints counted of all that the instance is linked with so far."""
        if self.fuel is not None:
            for requests in self.linked:
                if requests.passed is None:
                    requests.count_from(0, None)

    def give(self, fuel: int | None, seconds: float | None) -> None:
        """Have so much left from here on; None: what is left stays. Raises UnsupportedError where
        safepoints cannot be counted any more."""
        if fuel is not None:
            counted = self.counted
            self.stop_counting()
            before, self.fuel = self.fuel, fuel
            try:
                self.prepare()
            except BaseException:
                self.fuel = before
                raise
            self.limited = True
            self.requests.withdraw(BY_FUEL)
            if counted:
                self.count(counted)
        if seconds is not None:
            self.limited = True
            with alarms.lock:
                self.requests.withdraw(BY_TIME)
                self.seconds = seconds
                if self.due is not None:
                    self.begin_time()

    def spent(self) -> str | None:
        """The reason to stop, where nothing is left of something."""
        if self.fuel == 0:
            return BY_FUEL
        if self.seconds is not None and self.seconds <= 0 and self.due is None:
            return BY_TIME
        return None

    def begin(self) -> None:
        """The instance is run from now on."""
        self.count(self.linked)
        self.begin_time()

    def end(self) -> None:
        """It is not, any more."""
        self.stop_counting()
        if self.seconds is not None:
            with alarms.lock:
                if self.due is not None:
                    self.seconds = max(0.0, self.due - time.monotonic())
                    self.due = None

    # Fuel.

    def count(self, linked: Sequence[Requests]) -> None:
        """Have all of these together stop where fuel is spent."""
        self.counted = linked
        if self.fuel:
            self.countdown = Countdown(linked, self.fuel, self.exhausted)

    def left(self) -> int | None:
        """How much is left."""
        return self.fuel if self.countdown is None else self.countdown.left()

    def extend(self) -> None:
        """The instance is linked with more than when it began to be run."""
        self.stop_counting()
        self.count(self.linked)

    def stop_counting(self) -> None:
        self.fuel = self.left()
        if self.countdown is not None:
            self.countdown.forget()
            self.countdown = None
        self.counted = ()

    def exhausted(self) -> None:
        self.fuel = 0
        self.countdown = None
        self.requests.ask(BY_FUEL)

    # Time.

    def begin_time(self) -> None:
        if not self.seconds:
            return
        self.due = due = time.monotonic() + self.seconds
        if not alarms.set(self, due) and not self.looks:
            self.looks = True
            self.requests.watch(self.look)

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
