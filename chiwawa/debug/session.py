"""A debugging session: what stepping, going on and going back mean to a user.

It drives a ``Machine`` and keeps breakpoints and watches; it neither reads commands nor prints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chiwawa.debug.instances import End
from chiwawa.debug.listing import Code, Place
from chiwawa.debug.machine import END, INTERRUPT, PLACE, TARGET, Machine
from chiwawa.debug.stops import Breakpoint, Change, GlobalWatch, LocalWatch, MemoryWatch, Watch
from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.state.snapshot import Snapshot

#: Going back from stop to stop, so many boundaries at least are looked through at a time, at first.
_SPAN = 20_000
#: Going on to a breakpoint, so many boundaries are stepped before there is anything swifter.
_LOOKED = 5_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """A place to stop at once: a boundary, in the frame that is ``depth`` frames from the oldest
    and not in one that it called."""

    place: Place
    depth: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the program has stopped. ``end`` is set where it came to its end; it stands before the
    instruction that ended it if ``before_end``. ``gone`` are watches whose frame has returned."""

    breakpoints: tuple[Breakpoint, ...] = ()
    changes: tuple[Change, ...] = ()
    gone: tuple[LocalWatch, ...] = ()
    interrupted: bool = False
    beginning: bool = False
    end: End | None = None
    before_end: bool = False


class Session:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.code: Code = machine.code
        self.breakpoints: dict[int, Breakpoint] = {}
        self.watches: dict[int, Watch] = {}
        self.numbers: Iterator[int] = iter(range(1, 1 << 62))

    # Beginnings.

    def begin(self) -> Stop:
        """From the start, or the checkpoint that was given with the program."""
        self.machine.begin()
        return self.begun()

    def load(self, snapshot: Snapshot) -> Stop:
        """From another checkpoint of the program. Raises BadInput, and all is as it was then."""
        self.machine.load(snapshot)
        return self.begun()

    def begun(self) -> Stop:
        gone = tuple(w for w in self.watches.values() if isinstance(w, LocalWatch))
        for watch in gone:
            del self.watches[watch.number]
        return self.stopped(gone=gone)

    # Breakpoints and watches.

    def add_breakpoint(self, place: Place, temporary: bool) -> Breakpoint:
        made = Breakpoint(next(self.numbers), place, temporary)
        self.breakpoints[made.number] = made
        return made

    def add_watch(self, watch: Watch) -> None:
        self.watches[watch.number] = watch
        if isinstance(watch, LocalWatch):
            frame = self.frame_of(watch, self.machine.frames())
            assert frame is not None
            watch.see(frame)

    def delete(self, number: int) -> None:
        """Raises BadInput where there is no such breakpoint or watch."""
        if self.breakpoints.pop(number, None) is None and self.watches.pop(number, None) is None:
            raise BadInput(f"there is no breakpoint or watch {number}")

    def locals_watched(self) -> list[LocalWatch]:
        return [w for w in self.watches.values() if isinstance(w, LocalWatch)]

    def globals_watched(self) -> list[MemoryWatch | GlobalWatch]:
        """Of instances that are there."""
        there = self.machine.instances.by_number
        watches = self.watches.values()
        return [w for w in watches if not isinstance(w, LocalWatch) and w.of in there]

    def frame_of(self, watch: LocalWatch, frames: list[RawFrame]) -> RawFrame | None:
        """The frame watched, as long as it is there."""
        frame = watch.frame(frames)
        if frame is None or self.machine.instances.place_of(frame).instance != watch.of:
            return None
        return frame

    # Forwards.

    def running(self) -> list[RawFrame]:
        """The frames, the youngest first. Raises BadInput where the program has ended."""
        frames = self.machine.frames()
        if not frames:
            raise BadInput("the program has ended: run starts it again, back goes back")
        return frames

    def step(self, count: int) -> Stop:
        """Past so many instructions, at least one, into calls, if nothing comes first."""
        self.running()
        return self.travel(self.machine.count + count)

    def next(self) -> Stop:
        """Past one instruction, and all that it calls."""
        frames = self.running()
        if not self.code.is_call(self.machine.instances.place_of(frames[0])):
            return self.travel(self.machine.count + 1)
        return self.travel(None, self.arrival(frames))

    def finish(self, level: int = 0) -> Stop:
        """Until the frame that is ``level`` calls from the youngest has returned."""
        return self.travel(None, self.arrival(self.running()[level + 1 :]))

    def proceed(self) -> Stop:
        self.running()
        return self.travel(None)

    def arrival(self, frames: list[RawFrame]) -> Arrival | None:
        """Where the program goes on when the call that the youngest of ``frames`` is at has
        returned; None where nothing is left to run in the module."""
        for position, frame in enumerate(frames):
            place = self.code.after_call(self.machine.instances.place_of(frame))
            if place is not None:
                return Arrival(place, len(frames) - 1 - position)
        plan = self.machine.run.plan
        own = self.code[0]
        if not plan or not own.defined(plan[0][0]):
            return None
        entry = own.entry(plan[0][0])
        return None if entry is None else Arrival(entry, 0)

    def travel(self, target: int | None, arrival: Arrival | None = None) -> Stop:
        """Go on to the boundary ``target``, to ``arrival``, a breakpoint, a change, an interrupt
        or the end, whichever comes first."""
        machine = self.machine
        start = machine.count
        try:
            return self.journey(target, arrival)
        except KeyboardInterrupt:
            # A second interrupt ends things anywhere: what is left of the run is of no use.
            machine.torn(start)
            return self.stopped(interrupted=True)

    def journey(self, target: int | None, arrival: Arrival | None) -> Stop:
        machine = self.machine
        if arrival is None and not self.watches:
            reason = self.hurry(target)
            if reason in (INTERRUPT, PLACE):
                return self.stopped(interrupted=reason == INTERRUPT)
        start = machine.count
        returns = self.returns()
        places = {b.place for b in self.breakpoints.values()}
        places |= {place for w in self.locals_watched() for place in w.setters}
        places |= {r.place for r in returns.values() if r is not None}
        if arrival is not None:
            places.add(arrival.place)
        watched = self.globals_watched()
        machine.arm(places, watched)
        here = machine.place()
        while True:
            # After an instruction that may set a local that is watched, there is a look.
            setting = any(here in w.setters for w in self.locals_watched())
            stop_at = machine.count + 1 if setting else target
            reason = machine.forward(stop_at)
            if reason == END:
                return self.ended()
            frames = machine.frames()
            here = machine.place()
            changes, gone = self.changes(frames, returns)
            if changes or gone or reason == INTERRUPT:
                return self.stopped(changes, gone, interrupted=reason == INTERRUPT)
            arrived = arrival is not None and self.at(arrival, frames)
            if arrived or (reason == TARGET and machine.count == target):
                return self.stopped()
            if machine.count != start and any(b.place == here for b in self.breakpoints.values()):
                return self.stopped()

    def hurry(self, target: int | None) -> str:
        """Go on swiftly as far as can be, and not past the next breakpoint (PLACE); or INTERRUPT or
        END, where that came first, or TARGET."""
        machine = self.machine
        places = {b.place for b in self.breakpoints.values()}
        if not machine.can_hasten(places):
            return TARGET
        # One that is near is not worth it.
        near = machine.count + _LOOKED if places else machine.count
        if target is not None:
            near = min(near, target)
        machine.arm(places)
        while machine.count < near:
            reason = machine.forward(near)
            if reason in (INTERRUPT, END):
                return reason
            if machine.place() in places:
                return PLACE
        return machine.hasten(target, places=places)

    def at(self, arrival: Arrival, frames: list[RawFrame]) -> bool:
        here = self.machine.instances.place_of(frames[0])
        return len(frames) - 1 == arrival.depth and arrival.place == here

    def returns(self) -> dict[int, Arrival | None]:
        """Where the program is when the frame of each watched local has returned."""
        frames = self.machine.frames()
        return {
            w.number: self.arrival(frames[len(frames) - w.depth :]) for w in self.locals_watched()
        }

    def changes(
        self, frames: list[RawFrame], returns: dict[int, Arrival | None]
    ) -> tuple[tuple[Change, ...], tuple[LocalWatch, ...]]:
        """What watches have seen, and which of them are of a frame that has returned."""
        changes, gone = [], []
        for watch in list(self.watches.values()):
            change = None
            if isinstance(watch, LocalWatch):
                frame = self.frame_of(watch, frames)
                arrival = returns.get(watch.number)
                if frame is None or (arrival is not None and self.at(arrival, frames)):
                    gone.append(watch)
                    del self.watches[watch.number]
                else:
                    change = watch.take(frame)
            elif watch.of in self.machine.instances.by_number:
                change = watch.take()
            if change is not None:
                changes.append(change)
        return tuple(changes), tuple(gone)

    def stopped(
        self,
        changes: tuple[Change, ...] = (),
        gone: tuple[LocalWatch, ...] = (),
        *,
        interrupted: bool = False,
        beginning: bool = False,
    ) -> Stop:
        """A stop where the program stands."""
        if self.machine.end is not None:
            return self.ended()
        here = self.machine.place()
        met = tuple(b for b in self.breakpoints.values() if b.place == here)
        for breakpoint_ in met:
            if breakpoint_.temporary:
                del self.breakpoints[breakpoint_.number]
        return Stop(met, changes, gone, interrupted, beginning)

    def ended(self) -> Stop:
        """The program is at its end. What a trap or an exit left in the middle of an instruction
        is of no use to anybody: go back to just before it."""
        machine = self.machine
        end = machine.end
        assert end is not None
        if end.error is None or not machine.history.moments:
            return Stop(end=end)
        machine.rewind(machine.count)
        self.see()
        return Stop(end=end, before_end=True)

    # Back.

    def back(self, count: int) -> Stop:
        """So many boundaries back, at least one, or to the beginning."""
        self.machine.check_back()
        return self.go_to(self.machine.now - count)

    def go_to(self, count: int) -> Stop:
        """To the boundary ``count``: back, or on."""
        machine = self.machine
        if machine.end is None and count >= machine.count:
            return self.travel(count) if count > machine.count else self.stopped()
        if count >= machine.now:
            raise BadInput(f"the program has ended: its last boundary is {machine.count}")
        machine.check_back()
        beginning = count < machine.first
        gone = self.rewound(max(count, machine.first))
        return self.stopped(gone=gone, beginning=beginning)

    def rewound(self, count: int) -> tuple[LocalWatch, ...]:
        """Go back, and say which watches are of frames that are not there yet."""
        self.machine.rewind(count)
        return self.see()

    def see(self) -> tuple[LocalWatch, ...]:
        """What is there now is no change."""
        gone = []
        frames = self.machine.frames()
        for watch in self.locals_watched():
            frame = self.frame_of(watch, frames)
            if frame is None:
                gone.append(watch)
                del self.watches[watch.number]
            else:
                watch.see(frame)
        return tuple(gone)

    def reverse(self) -> Stop:
        """Back to where going on would have stopped last, or to the beginning."""
        machine = self.machine
        machine.check_back()
        limit = machine.now
        before = machine.count
        # A stretch at a time, the last one first.
        upper, first = limit - 1, machine.first
        span = _SPAN
        if not self.breakpoints and not self.globals_watched():
            upper = first
        while upper > first:
            found: tuple[int, tuple[Change, ...]] | str | None = machine.approach(upper, span)
            begun = machine.count
            if found == TARGET:
                found = self.last_stop(upper)
            if found == INTERRUPT:
                gone = self.rewound(before)
                return self.stopped(gone=gone, interrupted=True)
            if isinstance(found, tuple):
                count, changes = found
                gone = self.rewound(count)
                return self.stopped(changes, gone)
            upper = begun
            span *= 2
        gone = self.rewound(machine.first)
        return self.stopped(gone=gone, beginning=True)

    def last_stop(self, upper: int) -> tuple[int, tuple[Change, ...]] | str | None:
        """The last stop from here up to the boundary ``upper``; or INTERRUPT. Locals are not
        watched here: the frame that they are of may not be there yet, and another be."""
        machine = self.machine
        places = {b.place for b in self.breakpoints.values()}
        watched = self.globals_watched()
        machine.arm(places, watched)
        machine.passes = True
        found: tuple[int, tuple[Change, ...]] | None = None
        try:
            while machine.count < upper:
                reason = machine.forward(upper)
                if reason == INTERRUPT:
                    return INTERRUPT
                if machine.fired is not None:
                    found = machine.fired, ()
                if reason == END:
                    break
                changes = tuple(filter(None, [each.take() for each in watched]))
                if changes or machine.place() in places:
                    found = machine.count, changes
        finally:
            machine.passes = False
        return found
