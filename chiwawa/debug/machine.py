"""A program on a time axis: forwards to a boundary, a place or a change, and back to any boundary.

The number of boundaries passed since the start is the time: at ``count`` N, N - 1 instructions have
been begun. It knows nothing of commands, breakpoints or text.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from chiwawa.debug.history import History, Moment
from chiwawa.debug.listing import FunctionListing, Place
from chiwawa.debug.streams import Input, Output
from chiwawa.instrument.probes import BY_STOP, At, Match, Probe
from chiwawa_runtime import checkpoint
from chiwawa_runtime.command.beginning import restored_from, started
from chiwawa_runtime.command.options import Options
from chiwawa_runtime.command.runner import Runner
from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.errors import (
    BadInput,
    CheckpointError,
    ChiwawaError,
    HostError,
    Trap,
    WasiExit,
)
from chiwawa_runtime.run.driver import Instance, Run
from chiwawa_runtime.run.triggers import BY_INTERRUPT, BY_SIGNAL, Signals
from chiwawa_runtime.state.snapshot import Snapshot
from chiwawa_runtime.wasi import Wasi
from chiwawa_runtime.wasi.abi import MONOTONIC
from chiwawa_runtime.wasi.clocks import VirtualClock
from chiwawa_runtime.wasi.entropy import Entropy

#: Why ``forward`` came back.
TARGET, PLACE, CHANGE, INTERRUPT, END = "target", "place", "change", "interrupt", "end"
_CHANGED = "changed"

#: Boundaries between two checkpoints at first, and the part of the time that keeping them may take.
_DISTANCE = 20_000
_PART = 0.1
#: A place that is this many boundaries behind a checkpoint gets one of its own a little before it,
#: since who goes back once mostly does so again.
_NEAR = 5_000


class Watched(Protocol):
    """Something that is looked at before each instruction."""

    def bind(self, instance: Instance) -> None:
        """Watch this instance from now on; what is there now is no change."""

    def changed(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class End:
    """How a program ended: ``error`` is a Trap, WasiExit or HostError, or None for a return."""

    error: ChiwawaError | None


@dataclass(frozen=True, slots=True)
class Swift:
    """How to run a program as long as nobody looks: by ``runner``, which has no instruments, on
    ``path``, which may be one that stops at safepoints alone."""

    runner: Runner
    path: str


class Machine:
    """``options`` are as ``run`` has them, deterministic and of granularity ``instruction``. With
    ``swift``, ``hurry`` goes that way."""

    def __init__(
        self,
        runner: Runner,
        code: FunctionListing,
        options: Options,
        path: str,
        given: Input,
        outputs: tuple[Output, Output],
        swift: Swift | None = None,
    ) -> None:
        self.swift = swift
        self.runner = runner
        self.code = code
        self.options = options
        self.path = path
        self.input = given
        self.outputs = outputs
        self.history = History()
        self.closing = contextlib.ExitStack()
        self.run: Run
        self.end: End | None = None
        #: Whether ``count`` is from the program's start, not just from a checkpoint.
        self.counted = True
        #: Whether clocks and randomness were made virtual here.
        self.made_virtual = False
        self.probes: dict[Place, Probe] = {}
        self.watched: tuple[Watched, ...] = ()
        self.distance = _DISTANCE
        self.kept_at = 0.0
        self.next_moment = 0

    # What is there.

    @property
    def count(self) -> int:
        count = self.run.requests.passed
        assert count is not None
        return count

    @property
    def now(self) -> int:
        """The present time: one more than the last boundary where the program has ended."""
        return self.count + (self.end is not None)

    @property
    def first(self) -> int:
        """The earliest time that can be gone back to."""
        return self.history.moments[0].count if self.history.moments else self.count

    @property
    def instance(self) -> Instance:
        return self.run.instance

    def frames(self) -> list[RawFrame]:
        """The youngest first; none where the program has ended."""
        if self.end is not None or self.run.activation is None:
            return []
        return self.run.activation.frames()

    def place(self) -> Place | None:
        """Where the youngest frame is."""
        frames = self.frames()
        return (frames[0].function, frames[0].offset) if frames else None

    def writes_files(self) -> bool:
        """Whether the program can do what going back does not undo."""
        return any(not directory.read_only for directory in self.options.dirs)

    # A beginning.

    def begin(self) -> None:
        """From the program's start, or where ``options`` have a checkpoint, from there. Raises what
        ``started`` does."""
        if self.options.restore is not None:
            self.load(checkpoint.decode(checkpoint.read_file(self.options.restore)))
            return
        closing = contextlib.ExitStack()
        with self.quiet_failure(closing):
            run = started(
                self.runner, self.options, self.path, closing, (self.input, *self.outputs)
            )
        self.input.seek(0)
        self.counted = True
        self.made_virtual = False
        self.replace(run, closing, 0)
        self.settle()

    def load(self, snapshot: Snapshot) -> None:
        """Another beginning: this checkpoint. Raises CheckpointError and UnlinkableError, and
        changes nothing then but what can be read only once."""
        closing = contextlib.ExitStack()
        with self.quiet_failure(closing):
            self.input.forget()
            run = self.restored(snapshot, closing)
        self.made_virtual = self.virtual(run)
        count = run.requests.passed
        self.counted = count is not None
        if count is None:
            # Where it stands is the first boundary, if it stands at one.
            count = int(run.activation is not None)
        self.replace(run, closing, count)
        self.settle()

    @contextlib.contextmanager
    def quiet_failure(self, closing: contextlib.ExitStack) -> Iterator[None]:
        try:
            yield
        except BaseException:
            closing.close()
            raise

    def virtual(self, run: Run) -> bool:
        """Have the clocks and randomness of a checkpoint that has the host's be virtual."""
        wasi = run.wasi
        if not isinstance(wasi, Wasi) or wasi.process.deterministic:
            return False
        process = wasi.process
        process.deterministic = True
        process.clock = VirtualClock(process.clock.peek(MONOTONIC))
        process.entropy = Entropy(0)
        return True

    def settle(self) -> None:
        """Go to the first boundary, which is where going back ends."""
        self.history.clear()
        for output in self.outputs:
            output.forget()
        if self.run.activation is None:
            self.forward(self.count + 1)
        self.keep()

    def restored(
        self, snapshot: Snapshot, closing: contextlib.ExitStack, options: Options | None = None
    ) -> Run:
        streams = (self.input, *self.outputs)
        return restored_from(
            self.runner, snapshot, options or self.options, self.path, closing, streams
        )

    def replace(self, run: Run, closing: contextlib.ExitStack, count: int) -> None:
        self.closing.close()
        self.closing = closing
        self.run = run
        self.end = None
        self.probes = {}
        self.watched = ()
        self.input.pending = run.requests.pending
        run.requests.count_from(count, None)

    def close(self) -> None:
        self.closing.close()

    # Forwards.

    def arm(self, places: Iterable[Place], watched: Sequence[Watched] = ()) -> None:
        """Have ``forward`` stop at these places, and where one of ``watched`` sees a change. It may
        also stop at a place that was armed before."""
        wanted = set(places)
        # The probe here may have fired already, and remembers not to do so again.
        for place in self.probes.keys() - wanted - {self.place()}:
            self.probes.pop(place).remove()
        for place in sorted(wanted - self.probes.keys()):
            probe = self.run.instance.probe(Match(at=place), At.stop)
            self.probes[place] = probe
        if tuple(watched) != self.watched:
            self.watched = tuple(watched)
            for each in watched:
                each.bind(self.instance)
            self.instance.engine.safepoints.watch(self.look if watched else None, every=1)

    def look(self) -> None:
        """Have the program stop at the boundary that it has come to, once for each change."""
        for each in self.watched:
            if each.changed():
                self.run.requests.ask(_CHANGED)

    def forward(self, target: int | None = None) -> str:
        """Run on to the boundary ``target``, or what comes first of a place that was armed, a
        change, an interrupt, and the end. Which it was; several may be true at one boundary."""
        if self.end is not None:
            return END
        start = self.count
        run = self.run
        with Signals() as signals:
            signals.attach(run.requests)
            while True:
                stops = [n for n in (target, self.next_moment) if n is not None and n > self.count]
                run.requests.stop_at(min(stops, default=None))
                error: ChiwawaError | None = None
                try:
                    done = run.go()
                except (Trap, WasiExit, HostError) as raised:
                    done, error = True, raised
                if done:
                    self.end = End(error)
                    return END
                reasons = run.requests.take()
                if self.count == self.next_moment:
                    self.keep()
                if BY_INTERRUPT in reasons or BY_SIGNAL in reasons:
                    return INTERRUPT
                if _CHANGED in reasons:
                    return CHANGE
                if self.count == target:
                    return TARGET
                # A probe fires again where the program has been stopped by something else.
                if BY_STOP in reasons and self.count != start:
                    return PLACE

    # Unseen.

    def hurry(self) -> str | None:
        """Run swiftly, past anything that is armed, to the last safepoint before the end (TARGET),
        or where an interrupt comes (INTERRUPT). Nobody counts boundaries on the way: time begins
        anew there. None, and nothing has changed, where there is no way or no use to do so."""
        if self.swift is None or self.end is not None or self.writes_files():
            return None
        try:
            data = self.run.checkpoint()
        except CheckpointError:
            return None
        stdout, stderr = self.outputs
        here = Moment(self.count, data, (stdout.place, stderr.place))
        # How far the end is, one knows only behind it.
        try:
            reason, passed, data = self.hurried(here, None)
            if reason == END and passed:
                reason, passed, data = self.hurried(here, passed)
        except ChiwawaError:
            self.restore(here)
            raise
        if reason == END:
            self.restore(here)
            return None
        closing = contextlib.ExitStack()
        with self.quiet_failure(closing):
            run = self.restored(checkpoint.decode(data), closing, self.large())
        self.counted = False
        self.replace(run, closing, 1)
        self.history.clear()
        self.keep()
        return reason

    def hurried(self, moment: Moment, target: int | None) -> tuple[str, int, bytes]:
        """Run swiftly from ``moment`` to the safepoint ``target`` after it, an interrupt or the
        end: which it was, the safepoints passed, and a checkpoint where there is one."""
        assert self.swift is not None
        options = dataclasses.replace(self.large(), granularity="safepoint")
        streams = (self.input, *self.outputs)
        self.written(moment)
        with contextlib.ExitStack() as closing, Signals() as signals:
            snapshot = checkpoint.decode(moment.data)
            try:
                run = restored_from(
                    self.swift.runner, snapshot, options, self.swift.path, closing, streams
                )
            except (Trap, WasiExit, HostError):
                # It came to no safepoint where it could be taken up.
                return END, 0, b""
            self.input.pending = run.requests.pending
            run.requests.count_from(0, target)
            signals.attach(run.requests)
            reason = None
            while reason is None:
                try:
                    done = run.go()
                except (Trap, WasiExit, HostError):
                    done = True
                passed = run.requests.passed or 0
                if done:
                    return END, passed, b""
                reasons = run.requests.take()
                if BY_INTERRUPT in reasons or BY_SIGNAL in reasons:
                    reason = INTERRUPT
                elif passed == target:
                    reason = TARGET
            return reason, passed, run.checkpoint()

    # Back.

    def keep(self) -> None:
        """Keep a checkpoint of where the program stands, if there is a use for it, and say when
        there is to be the next."""
        if self.end is not None or self.writes_files():
            self.next_moment = 0
            return
        before = time.monotonic()
        # Where something cannot be written, an earlier one has to do.
        with contextlib.suppress(CheckpointError):
            stdout, stderr = self.outputs
            self.history.add(
                Moment(self.count, self.run.checkpoint(), (stdout.place, stderr.place))
            )
        after = time.monotonic()
        if after - before > _PART * (before - self.kept_at):
            self.distance *= 2
        self.kept_at = after
        self.next_moment = self.count + self.distance

    def restore(self, moment: Moment) -> None:
        """Stand at ``moment``, with nothing armed."""
        closing = contextlib.ExitStack()
        with self.quiet_failure(closing):
            run = self.restored(checkpoint.decode(moment.data), closing, self.large())
        self.replace(run, closing, moment.count)
        self.written(moment)
        self.kept_at = time.monotonic()
        self.next_moment = moment.count + self.distance

    def large(self) -> Options:
        """The options for a program that was as large before."""
        return dataclasses.replace(self.options, max_memory=sys.maxsize)

    def written(self, moment: Moment) -> None:
        """The program has written what it had at ``moment``."""
        for output, place in zip(self.outputs, moment.written, strict=True):
            output.place = place

    def check_back(self) -> None:
        """Raises BadInput where there is no going back."""
        if self.writes_files():
            raise BadInput(
                "there is no going back, as the program would write to its directories again: "
                "give them with :ro"
            )
        if not self.history.moments:
            raise BadInput("there is no going back: no checkpoint could be kept")

    def rewind(self, count: int) -> str:
        """Stand at the boundary ``count``, which is not after ``now``, with nothing armed: TARGET,
        or INTERRUPT where that came first. Raises BadInput."""
        self.check_back()
        self.restore(self.history.before(count))
        reason = TARGET
        if count - self.count > _NEAR:
            reason = self.forward(count - _NEAR // 5)
            self.keep()
        while reason == TARGET and self.count < count:
            reason = self.forward(count)
        if reason == END:
            raise BadInput(
                f"run again, the program ended at {self.count}, before {count}: what it depends on "
                "has changed"
            )
        return reason

    def torn(self, count: int) -> None:
        """Something was raised in the middle of an instruction: stand at the boundary ``count``
        again, or be at the end where there is no going back."""
        if self.writes_files() or not self.history.moments:
            self.end = End(HostError("it was interrupted in the middle of an instruction"))
            return
        self.rewind(count)

    # Checkpoints on disk.

    def checkpoint(self) -> bytes:
        """The bytes of a checkpoint where the program stands. Raises CheckpointError."""
        snapshot = self.run.snapshot()
        if not self.counted:
            snapshot = dataclasses.replace(snapshot, safepoints=None)
        return checkpoint.encode(snapshot)
