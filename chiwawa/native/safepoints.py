"""What the native engine does at safepoints: the guest looks at cells, and unwinds where they say
so; what that was for is found out here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from chiwawa.native.layout import NO_LIMIT, NOTHING
from chiwawa.native.machine import Machine
from chiwawa_runtime.engine.contract import LOOK_EVERY
from chiwawa_runtime.errors import UnsupportedError


class NativeSafepoints:
    """The ``contract.Safepoints`` of a native engine. ``counts`` is what its functions count, from
    when somebody wants to know: that takes others than those that only look, and ``change_machine``
    brings them. It is ``countable`` (see ``layout``) then. ``going`` are the activations that are
    going on."""

    def __init__(
        self, change_machine: Callable[[], None], going: list[Any], countable: int
    ) -> None:
        self.countable = countable
        self.change_machine = change_machine
        self.going = going
        self.machine: Machine | None = None
        self.pending = False
        self.counts = NOTHING
        #: The count where the machine was made, until it is.
        self.first = 0
        #: Whether somebody wants to know the count.
        self.counting = False
        #: The count from which on it was to be stopped at ``stop_at``.
        self.started_at = 0
        self.stop_at: int | None = None
        self.reached: Callable[[], None] = lambda: None
        self.reached_at: int | None = None
        #: The functions that stop where they begin, and what is called then.
        self.armed: Collection[int] = ()
        self.begun: Callable[[], None] = lambda: None
        self.look: Callable[[], None] | None = None
        self.every = LOOK_EVERY
        self.look_at = 0

    def begin(self, machine: Machine) -> None:
        """The engine has a machine."""
        self.machine = machine
        if self.counts:
            machine.set_count(self.first)
        for function in self.armed:
            machine.arm(function)
        self.place_limit()
        self.show_request()

    @property
    def count(self) -> int:
        """How many safepoints have been passed, where they are counted."""
        machine = self.machine
        return self.first if machine is None or machine.count is None else machine.read_count()

    @property
    def passed(self) -> int | None:
        if not self.counting:
            return None
        going = self.going
        # While frames are entered again the count says something else.
        return going[-1].count if going and going[-1].count is not None else self.count

    def request(self, pending: bool) -> None:
        self.pending = pending
        self.show_request()

    def show_request(self) -> None:
        machine = self.machine
        shown = None
        # Somebody may ask meanwhile.
        while machine is not None and shown is not self.pending:
            shown = self.pending
            machine.request(shown)

    def count_from(self, passed: int, stop_at: int | None, reached: Callable[[], None]) -> None:
        self.begin_counting()
        self.counting = True
        self.started_at = passed
        self.stop_at = stop_at
        self.reached = reached
        self.reached_at = None
        self.want_count(passed)

    def watch(self, look: Callable[[], None] | None, every: int = LOOK_EVERY) -> None:
        self.look = look
        self.every = every
        if look is not None:
            self.want_count(self.count)
            self.look_at = self.count + every
        self.place_limit()

    def arm(self, functions: Collection[int], begun: Callable[[], None]) -> None:
        """Have these stop where they begin (see ``layout.DROPPED``), and wherever anything stops,
        but where it goes on from, ``begun`` called. Boundaries are counted."""
        self.armed = functions
        self.begun = begun
        if self.machine is not None:
            for function in functions:
                self.machine.arm(function)

    def begin_counting(self) -> None:
        """Have functions count. Raises UnsupportedError."""
        if not self.counts:
            self.counts = self.countable
            try:
                self.change_machine()
            except UnsupportedError:
                self.counts = NOTHING
                raise

    def want_count(self, passed: int) -> None:
        self.begin_counting()
        if self.machine is None:
            self.first = passed
        else:
            self.machine.set_count(passed)
        self.place_limit()

    def place_limit(self) -> None:
        machine = self.machine
        if machine is None or not self.counts:
            return
        count = machine.read_count()
        limits = [NO_LIMIT]
        stop_at = self.stop_at
        if stop_at is not None and self.started_at < stop_at != self.reached_at:
            # It may have been passed where nothing could stop.
            limits.append(max(stop_at, count + 1))
        if self.look is not None:
            limits.append(self.look_at)
        machine.set_limit(min(limits))

    def is_reached(self, count: int) -> bool:
        """Whether it is to be stopped where the count is this. It may have been passed: at a
        boundary that is no safepoint, or while nothing could stop."""
        return self.stop_at is not None and self.started_at < self.stop_at <= count

    def arrive(self) -> bool:
        """What runs is suspended at a safepoint: whether it is to stay there."""
        if self.counts:
            count = self.count
            if self.counting and self.stop_at != self.reached_at and self.is_reached(count):
                self.reached_at = self.stop_at
                self.reached()
            if self.armed and count != self.started_at:
                self.begun()
            if self.look is not None and count >= self.look_at:
                self.look_at = count + self.every
                self.look()
            self.place_limit()
        return self.pending
