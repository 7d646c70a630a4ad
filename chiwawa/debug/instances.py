"""The instances of a program that is debugged: which is which, and their boundaries counted
together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from chiwawa.debug.listing import Code, Place
from chiwawa.execution import Source
from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.engine.countdown import Countdown, passed_by
from chiwawa_runtime.errors import ChiwawaError
from chiwawa_runtime.run.instance import Instance, Run


@dataclass(frozen=True, slots=True)
class End:
    """How a program ended: ``error`` is an Abrupt, a WasiExit or a HostError; None: it returned."""

    error: ChiwawaError | None


class Watched(Protocol):
    """Something that is looked at before each instruction. ``of`` is the number of the instance
    that has it."""

    @property
    def of(self) -> int: ...

    def bind(self, instance: Instance) -> None:
        """Watch this instance from now on; what is there now is no change."""

    def changed(self) -> bool: ...


class Instances:
    """Those of one run, which is of granularity ``instruction`` and stands still. ``count`` is how
    many boundaries they have passed together."""

    def __init__(self, run: Run, code: Code, count: int) -> None:
        #: Those that the program leads to by a table alone are looked at, too.
        run.instance.link_with(run.beside)
        self.by_number: dict[int, Instance] = {}
        self.numbers: dict[int, int] = {}
        before: Counter[bytes] = Counter()
        for each in (run.instance, *run.beside):
            source = each.source
            assert isinstance(source, Source)
            number = code.number(source.module, before[source.module.hash])
            before[source.module.hash] += 1
            self.by_number[number] = each
            self.numbers[id(each)] = number
        self.counted = run.instance.budget.linked
        #: Those whose boundaries were not counted from their start, by number.
        self.uncounted = frozenset(
            number for number, each in self.by_number.items() if each.requests.passed is None
        )
        if len(self.by_number) == 1:
            run.requests.count_from(count, None)
        for requests in self.counted:
            if requests.passed is None:
                requests.count_from(0, None)
        self.base = count - passed_by(self.counted)
        self.countdown: Countdown | None = None

    @property
    def alone(self) -> bool:
        return len(self.by_number) == 1

    @property
    def count(self) -> int:
        return self.base + passed_by(self.counted)

    def stop_at(self, count: int | None, do: Callable[[], None]) -> None:
        """Call ``do`` at the boundary ``count`` (None: at none), which is yet to come, and not
        where it was to be called before."""
        if self.countdown is not None and self.countdown.left():
            self.countdown.forget()
        self.countdown = None
        if count is not None:
            self.countdown = Countdown(self.counted, count - self.count, do)

    def place_of(self, frame: RawFrame) -> Place:
        return Place(frame.function, frame.offset, self.numbers[id(frame.instance)])

    def known(self, instances: Sequence[object], uncounted: frozenset[int]) -> list[bool]:
        """Which of ``instances`` are none of ``uncounted``."""
        return [self.numbers[id(each)] not in uncounted for each in instances]


def frames_of(run: Run) -> list[RawFrame]:
    return [] if run.activation is None else run.activation.frames()


def place_of(run: Run) -> Place | None:
    """Where a run of one instance stands."""
    frames = frames_of(run)
    return Place(frames[0].function, frames[0].offset) if frames else None


def passed_in(run: Run) -> int | None:
    """How many boundaries all instances of a run have passed, where all are counted."""
    counts = [each.requests.passed for each in (run.instance, *run.beside)]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
