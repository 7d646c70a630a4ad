"""A program on a time axis: forwards to a boundary, a place or a change, and back to any boundary.

The number of boundaries passed since the start is the time: at ``count`` N, N - 1 instructions have
been begun. It knows nothing of commands, breakpoints or text.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial

from chiwawa.debug.history import History, Moment
from chiwawa.debug.instances import End, Instances, Watched, frames_of, passed_in, place_of
from chiwawa.debug.listing import Code, Place
from chiwawa.debug.streams import Input, Output
from chiwawa.debug.swift import Swift
from chiwawa.instrument.probes import At, Match, Probe
from chiwawa_runtime import checkpoint
from chiwawa_runtime.command.beginning import calls_of, restored_from, started
from chiwawa_runtime.command.options import Options
from chiwawa_runtime.command.runner import Runner
from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.engine.requests import BY_COUNT, BY_STOP
from chiwawa_runtime.errors import (
    Abrupt,
    BadInput,
    CheckpointError,
    ChiwawaError,
    HostError,
    WasiExit,
)
from chiwawa_runtime.run.flight import counted_alone
from chiwawa_runtime.run.host_calls import HostCalls, Standing
from chiwawa_runtime.run.instance import Instance, Run
from chiwawa_runtime.run.triggers import BY_INTERRUPT, BY_SIGNAL, Signals
from chiwawa_runtime.state.host_limits import ANY_SIZE
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
#: Boundaries between two checkpoints at first where it runs swiftly.
_STRIDE = 1_000_000


class Machine:
    """``options`` are as ``run`` has them, deterministic and of granularity ``instruction``. It
    runs on ``path``, and long stretches in which nothing is armed by ``swift``, where it is given:
    that stops at safepoints alone."""

    def __init__(
        self,
        runner: Runner,
        code: Code,
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
        #: The program's calls of the host, where they are kept, or given back; and what is to be
        #: closed after them.
        self.calls: HostCalls | None = None
        self.keeping = contextlib.ExitStack()
        self.run: Run
        self.instances: Instances
        self.end: End | None = None
        #: Whether ``count`` is from the program's start, not just from a checkpoint; and of which
        #: instances, by number, the own boundaries are not.
        self.counted = True
        self.uncounted: frozenset[int] = frozenset()
        #: Whether clocks and randomness were made virtual here.
        self.made_virtual = False
        self.probes: dict[Place, Probe] = {}
        self.watched: tuple[Watched, ...] = ()
        #: Where it has begun to go on, and the first boundary from there whose probe has fired; the
        #: last one, where it ``passes`` places that are armed.
        self.start = 0
        self.fired: int | None = None
        self.passes = False
        self.distance = _DISTANCE
        self.kept_at = 0.0
        self.next_moment = 0
        #: The same of what runs swiftly.
        self.stride = _STRIDE
        #: Whether there are monitors' counts to be gone on with.
        self.monitored = False

    # What is there.

    @property
    def count(self) -> int:
        return self.instances.count

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
        return [] if self.end is not None else frames_of(self.run)

    def place(self) -> Place | None:
        """Where the youngest frame is."""
        frames = self.frames()
        return self.instances.place_of(frames[0]) if frames else None

    def begin_calls(self, keeping: contextlib.ExitStack) -> HostCalls | None:
        """What the calls of the host go through: where there is a record of them, or where the
        program can do what cannot be undone, and is not to be done again."""
        streams = (self.input, *self.outputs)
        if self.options.replay is not None:
            return calls_of(self.options, keeping, streams)
        if all(directory.read_only for directory in self.options.dirs):
            return None
        calls = HostCalls(live=True, show=self.show)
        calls.keeps_state = True
        return calls

    def show(self, stream: int, data: bytes) -> None:
        self.outputs[stream - 1].write(data)

    # A beginning.

    def begin(self) -> None:
        """From the program's start, or where ``options`` have a checkpoint, from there. Raises what
        ``started`` does."""
        if self.options.restore is not None:
            self.load(checkpoint.decode(checkpoint.read_file(self.options.restore)))
            return
        closing, keeping = contextlib.ExitStack(), contextlib.ExitStack()
        with self.quiet_failure(closing), self.quiet_failure(keeping):
            calls = self.begin_calls(keeping)
            run = started(
                self.runner,
                self.options,
                self.path,
                closing if calls is None else keeping,
                (self.input, *self.outputs),
                calls,
            )
        self.keep_calls(calls, keeping)
        self.input.seek(0)
        self.counted = True
        self.made_virtual = False
        self.monitored = False
        self.replace(run, closing, 0)
        self.uncounted = self.instances.uncounted - {0}
        self.settle()

    def load(self, snapshot: Snapshot) -> None:
        """Another beginning: this checkpoint. Raises CheckpointError and UnlinkableError, and
        changes nothing then but what can be read only once."""
        closing, keeping = contextlib.ExitStack(), contextlib.ExitStack()
        with self.quiet_failure(closing), self.quiet_failure(keeping):
            self.input.forget()
            calls = self.begin_calls(keeping)
            run = self.restored(snapshot, closing if calls is None else keeping, calls)
        self.keep_calls(calls, keeping)
        self.made_virtual = self.virtual(run)
        count = passed_in(run)
        self.counted = count is not None
        self.monitored = snapshot.monitors is not None
        if count is None:
            # Where it stands is the first boundary, if it stands at one.
            count = int(run.activation is not None)
        self.replace(run, closing, count)
        self.uncounted = self.instances.uncounted
        self.settle()

    @contextlib.contextmanager
    def quiet_failure(self, closing: contextlib.ExitStack) -> Iterator[None]:
        try:
            yield
        except BaseException:
            closing.close()
            raise

    def keep_calls(self, calls: HostCalls | None, keeping: contextlib.ExitStack) -> None:
        """Let go of those of before."""
        self.keeping.close()
        self.calls, self.keeping = calls, keeping

    def virtual(self, run: Run) -> bool:
        """Have the clocks and randomness of a checkpoint that has the host's be virtual."""
        wasi = run.wasi if self.calls is None else self.calls.state
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
        self,
        snapshot: Snapshot,
        closing: contextlib.ExitStack,
        calls: HostCalls | None,
        options: Options | None = None,
    ) -> Run:
        streams = (self.input, *self.outputs)
        return restored_from(
            self.runner, snapshot, options or self.options, self.path, closing, streams, calls
        )

    def replace(self, run: Run, closing: contextlib.ExitStack, count: int) -> None:
        self.closing.close()
        self.closing = closing
        self.run = run
        self.instances = Instances(run, self.code, count)
        self.end = None
        self.probes = {}
        self.watched = ()
        self.input.pending = run.requests.pending

    def close(self) -> None:
        self.closing.close()
        self.keeping.close()

    # Forwards.

    def arm(self, places: Iterable[Place], watched: Sequence[Watched] = ()) -> None:
        """Have ``forward`` stop at these places, and where one of ``watched`` sees a change. It may
        also stop at a place that was armed before."""
        there = self.instances.by_number
        wanted = {place for place in places if place.instance in there}
        # The probe here may have fired already, and remembers not to do so again.
        for place in self.probes.keys() - wanted - {self.place()}:
            self.probes.pop(place).remove()
        for place in sorted(wanted - self.probes.keys()):
            match = Match(at=(place.function, place.offset))
            self.probes[place] = there[place.instance].probe(match, self.fire)
        if tuple(watched) != self.watched:
            self.watched = tuple(watched)
            for each in watched:
                each.bind(there[each.of])
            for instance in there.values():
                instance.engine.safepoints.watch(self.look if watched else None, every=1)

    def fire(self, at: At) -> None:
        """Have the program stop at a place that is armed. Where functions of other instances may be
        in progress, nobody can take up what is stopped in the middle: it is broken off, and run
        again up to there."""
        # A probe fires again where the program has been stopped by something else.
        if self.count == self.start:
            return
        if self.fired is None or self.passes:
            self.fired = self.count
        if self.passes:
            return
        if self.instances.alone:
            at.stop()
        elif not self.history.moments:
            self.run.requests.ask(BY_STOP)
        else:
            # That is no end of the program.
            self.run.calls = None
            raise HostError("broken off where it is to stop")

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
        armed, watched = tuple(self.probes), self.watched
        reason = self.run_on(target)
        if self.fired is None or self.fired == self.now or self.passes:
            return reason
        reason = self.rewind(self.fired)
        self.arm(armed, watched)
        return PLACE if reason == TARGET else reason

    def run_on(self, target: int | None) -> str:
        """``forward``, but that the run is of no use any more where a probe has ``fired``."""
        self.start, self.fired = self.count, None
        run = self.run
        with Signals() as signals:
            signals.attach(run.requests)
            while True:
                stops = [n for n in (target, self.next_moment) if n is not None and n > self.count]
                stop = partial(run.requests.ask, BY_COUNT)
                self.instances.stop_at(min(stops, default=None), stop)
                error: ChiwawaError | None = None
                try:
                    done = run.go()
                except (Abrupt, WasiExit, HostError) as raised:
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
                if self.fired is not None and not self.passes:
                    return PLACE

    # Unseen.

    def can_hasten(self, places: Iterable[Place] = ()) -> bool:
        """Whether there is a way that is swifter, and stops at ``places``, and what it does can be
        done again."""
        swift = self.swift
        if swift is None or self.monitored:
            return False
        return all(swift.stops_at(place.function, place.offset) for place in places)

    def hasten(
        self,
        limit: int | None = None,
        moment: Moment | None = None,
        places: Collection[Place] = (),
    ) -> str:
        """Go swiftly, past all that is armed, from ``moment`` (None: from where the program stands)
        to a safepoint not far before the boundary ``limit`` (None: before the end). As far as there
        is nothing to be gained, stay there. TARGET; PLACE where one of ``places`` comes first, END
        where the program has ended already, or INTERRUPT."""
        swift = self.swift
        if swift is None or not self.can_hasten(places) or self.end is not None:
            return TARGET
        start = self.count
        if moment is not None and not moment.entered:
            self.restore(moment)
            moment = None
        while moment is None:
            if limit is not None and limit - self.count <= _NEAR:
                return TARGET
            place = self.place()
            if place is not None and swift.enters(place.function, place.offset):
                try:
                    moment = self.moment()
                except CheckpointError:
                    return TARGET
                self.history.add(moment)
                break
            reason = self.forward(self.count + 1)
            if reason in (END, INTERRUPT):
                return reason
            if self.place() in places and self.count > start:
                return PLACE
        try:
            return self.fly(moment, limit, places)
        except ChiwawaError:
            self.restore(moment)
            raise

    def fly(self, moment: Moment, limit: int | None, places: Collection[Place]) -> str:
        """What ``hasten`` does from a moment that can be entered."""
        margin = _NEAR
        while limit is None or limit - margin > moment.count:
            aim = None if limit is None else limit - margin
            reason, passed, found = self.flown(moment, aim, places)
            if found is not None and (limit is None or passed <= limit):
                self.restore(found)
                self.history.add(found)
                return reason
            # It has been passed: it lies between the last safepoint before ``aim`` and the next.
            # How far the end is, one knows only behind it.
            if limit is not None:
                margin *= 4
            limit = passed if limit is None else min(limit, passed)
            later = [m for m in self.history.moments if moment.count < m.count <= limit - margin]
            moment = next((m for m in reversed(later) if m.entered), moment)
        self.restore(moment)
        return TARGET

    def flown(
        self, moment: Moment, aim: int | None, places: Collection[Place]
    ) -> tuple[str, int, Moment | None]:
        """Run swiftly from ``moment`` to the first safepoint from the boundary ``aim`` on, one of
        ``places``, an interrupt or the end: which it was, the boundaries passed, and that moment,
        where it is not the end. Moments are kept on the way."""
        assert self.swift is not None
        self.swift.armed = frozenset(place.function for place in places)
        streams = (self.input, *self.outputs)
        self.written(moment)
        self.call_again(moment)
        snapshot = checkpoint.decode(moment.data)
        with contextlib.ExitStack() as closing, Signals() as signals:
            run = restored_from(
                self.swift,
                snapshot,
                self.large(),
                self.swift.name,
                closing,
                streams,
                self.calls,
            )
            self.input.pending = run.requests.pending
            run.requests.count_from(moment.count, None)
            signals.attach(run.requests)
            passed, kept_at = moment.count, time.monotonic()
            next_moment = passed + self.stride
            while True:
                run.requests.stop_at(next_moment if aim is None else min(aim, next_moment))
                try:
                    done = run.go()
                except (Abrupt, WasiExit, HostError):
                    done = True
                count = run.requests.passed
                assert count is not None
                passed = count
                if done:
                    return END, passed, None
                reasons = run.requests.take()
                if BY_INTERRUPT in reasons or BY_SIGNAL in reasons:
                    return INTERRUPT, passed, self.moment_of(run, passed, True)
                if BY_STOP in reasons and place_of(run) in places and passed > moment.count:
                    return PLACE, passed, self.moment_of(run, passed, True)
                if aim is not None and passed >= aim:
                    return TARGET, passed, self.moment_of(run, passed, True)
                if passed < next_moment:
                    continue
                before = time.monotonic()
                self.history.add(self.moment_of(run, passed, True))
                after = time.monotonic()
                if after - before > _PART * (before - kept_at):
                    self.stride *= 2
                kept_at = after
                next_moment = passed + self.stride

    # Back.

    def keep(self) -> None:
        """Keep a checkpoint of where the program stands, if there is a use for it, and say when
        there is to be the next."""
        if self.end is not None:
            self.next_moment = 0
            return
        before = time.monotonic()
        # Where something cannot be written, an earlier one has to do.
        with contextlib.suppress(CheckpointError):
            self.history.add(self.moment())
        after = time.monotonic()
        if after - before > _PART * (before - self.kept_at):
            self.distance *= 2
        self.kept_at = after
        self.next_moment = self.count + self.distance

    def moment(self) -> Moment:
        """Where the program stands. Raises CheckpointError."""
        place = self.place()
        entered = (
            self.swift is not None
            and place is not None
            and self.swift.enters(place.function, place.offset)
        )
        return self.moment_of(self.run, self.count, entered)

    def moment_of(self, run: Run, count: int, entered: bool) -> Moment:
        stdout, stderr = self.outputs
        standing = Standing() if self.calls is None else self.calls.standing(run.instances())
        data = checkpoint.encode(run.snapshot())
        return Moment(count, data, (stdout.place, stderr.place), entered, standing)

    def restore(self, moment: Moment) -> None:
        """Stand at ``moment``, with nothing armed."""
        closing = contextlib.ExitStack()
        with self.quiet_failure(closing):
            self.call_again(moment)
            snapshot = checkpoint.decode(moment.data)
            run = self.restored(snapshot, closing, self.calls, self.large())
        self.replace(run, closing, moment.count)
        self.written(moment)
        self.kept_at = time.monotonic()
        self.next_moment = moment.count + self.distance

    def large(self) -> Options:
        """The options for a program that was as large before."""
        limits = self.options.limits
        if limits.memory is None:
            limits = dataclasses.replace(limits, memory=ANY_SIZE)
        return dataclasses.replace(self.options, limits=limits)

    def call_again(self, moment: Moment) -> None:
        """The program makes the calls of the host again that it has made since ``moment``."""
        if self.calls is not None:
            self.calls.stand(moment.standing)

    def written(self, moment: Moment) -> None:
        """The program has written what it had at ``moment``."""
        for output, place in zip(self.outputs, moment.written, strict=True):
            output.place = place

    def check_back(self) -> None:
        """Raises BadInput where there is no going back."""
        if not self.history.moments:
            raise BadInput("there is no going back: no checkpoint could be kept")

    def rewind(self, count: int) -> str:
        """Stand at the boundary ``count``, which is not after ``now``, with nothing armed: TARGET,
        or INTERRUPT where that came first. Raises BadInput."""
        self.check_back()
        moment = self.history.before(count)
        reason = TARGET
        if self.can_hasten() and count - moment.count > _NEAR:
            self.end = None
            reason = self.hasten(count, moment)
        else:
            self.restore(moment)
        if reason == TARGET and count - self.count > _NEAR:
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
        if not self.history.moments:
            self.end = End(HostError("it was interrupted in the middle of an instruction"))
            return
        self.rewind(count)

    def approach(self, count: int, span: int) -> str:
        """Stand before the boundary ``count``, which is not the first: where a checkpoint was kept,
        or nearer where that takes little, but not by less than ``span``. TARGET or INTERRUPT."""
        moment = self.history.before(count - 1)
        if not self.can_hasten() or count - moment.count <= span + _NEAR:
            self.restore(moment)
            return TARGET
        self.end = None
        return self.hasten(count - span, moment)

    # Checkpoints on disk.

    def checkpoint(self) -> bytes:
        """The bytes of a checkpoint where the program stands. Raises CheckpointError."""
        run = self.run
        known = self.instances.known(run.instances(), self.uncounted)
        snapshot = counted_alone(run.snapshot(), known)
        if self.calls is not None and self.calls.state is not None:
            if self.calls.next_call() is not None:
                raise CheckpointError(
                    "the program's files are those of later on: a checkpoint can be written only "
                    "where it has not been farther"
                )
            snapshot = dataclasses.replace(snapshot, wasi=self.calls.state.save())
        return checkpoint.encode(snapshot)
