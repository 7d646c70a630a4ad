"""A number of safepoints that several instances pass together.

Each instance's engine counts its own. Each says when it has passed its share of what is left; what
is left then is shared out anew, so that the last safepoint is found exactly, whose ever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chiwawa_runtime.engine.requests import Requests


class Countdown:
    """Calls ``do`` at the ``number``-th safepoint, at least the first, that ``counted`` pass from
    here on, before that instance's engine goes on from it. A function that cannot be stopped may
    pass more before ``do`` is called."""

    __slots__ = ("_left", "counted", "do", "share")

    def __init__(self, counted: Sequence[Requests], number: int, do: Callable[[], None]) -> None:
        self.counted = counted
        self.do = do
        self._left = number
        self.share = 0
        self.place()

    def place(self) -> None:
        """Share out what is left."""
        self.share = max(1, self._left // len(self.counted))
        for requests in self.counted:
            requests.do_after(self.share, self, self.reached)

    def left(self) -> int:
        """How many safepoints are left; after the last, none."""
        if not self._left:
            return 0
        passed = sum(self.share - requests.left(self) for requests in self.counted)
        return max(0, self._left - passed)

    def reached(self) -> None:
        """One has passed its share."""
        self._left = self.left()
        if self._left:
            self.place()
            return
        self.forget()
        self.do()

    def forget(self) -> None:
        """Do nothing any more."""
        self._left = self.left()
        for requests in self.counted:
            requests.forget(self)


def passed_by(counted: Sequence[Requests]) -> int:
    """How many safepoints all of these have passed together since they are counted."""
    return sum(requests.passed or 0 for requests in counted)
