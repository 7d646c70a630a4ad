"""The checkpoints that are kept while a program runs, so that one can go back."""

from __future__ import annotations

from dataclasses import dataclass

from chiwawa_runtime.run.host_calls import Standing

#: Where there are no calls, or none has been made.
START = Standing()
#: So many checkpoints are kept at most, and so many bytes of them but for the first and the last.
MOST = 64
MOST_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Moment:
    """A checkpoint. ``count`` is the boundary that it stands at, ``written`` how many bytes the
    program had written to standard output and error. ``entered``: it stands at a safepoint, from
    which every path can go on. ``standing`` is where it is among the calls of the host, where they
    are kept."""

    count: int
    data: bytes
    written: tuple[int, int]
    entered: bool = False
    standing: Standing = START


class History:
    """Moments in order. The first is where the program began, and stays. The rest are thinned where
    they are many, so that what is long ago is kept at greater distances than what is not."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self.bytes = 0

    def clear(self) -> None:
        self.moments.clear()
        self.bytes = 0

    def add(self, moment: Moment) -> None:
        """Keep a moment, unless there is one of that count."""
        at = len(self.moments)
        while at and self.moments[at - 1].count > moment.count:
            at -= 1
        if at and self.moments[at - 1].count == moment.count:
            return
        self.moments.insert(at, moment)
        self.bytes += len(moment.data)
        while len(self.moments) > 2 and (len(self.moments) > MOST or self.bytes > MOST_BYTES):
            self.thin()

    def thin(self) -> None:
        """Drop the one that is missed least: whose neighbours are nearest to each other, for how
        long ago it is."""
        now = self.moments[-1].count
        least = min(
            range(1, len(self.moments) - 1),
            key=lambda i: (
                (self.moments[i + 1].count - self.moments[i - 1].count)
                / (now - self.moments[i].count)
            ),
        )
        self.bytes -= len(self.moments.pop(least).data)

    def before(self, count: int) -> Moment:
        """The last moment that is not after ``count``. There is one, the first."""
        return next(moment for moment in reversed(self.moments) if moment.count <= count)
