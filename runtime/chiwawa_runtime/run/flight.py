"""The flight recorder: the last checkpoints of a run, in memory, and the calls of the host since.

What it keeps is enough to run the last stretch again, as often as anybody likes, and so to stand
before the instruction at which the run has ended: a core dump.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from chiwawa_runtime import checkpoint
from chiwawa_runtime.engine.budget import MESSAGES
from chiwawa_runtime.engine.countdown import Countdown, passed_by
from chiwawa_runtime.engine.requests import BY_COUNT, Requests
from chiwawa_runtime.errors import Abrupt, BadInput, CheckpointError, HostError, UnsupportedError
from chiwawa_runtime.run.call_record import beginning_bytes, checkpoint_bytes, instance_bytes
from chiwawa_runtime.run.host_calls import HostCalls, Standing, digest_of
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.state.host_limits import ANY_SIZE
from chiwawa_runtime.state.snapshot import Snapshot

#: The reason with which a run stops where a checkpoint is to be kept.
BY_FLIGHT = "flight"
#: So many safepoints are between two checkpoints where nobody says another number. To take as much
#: again to come to the end costs a few seconds on the slower paths.
EVERY = 10_000_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint, when ``passed`` safepoints were passed, of all instances together, and where
    the program stood among the calls."""

    data: bytes
    passed: int
    standing: Standing


@dataclass(frozen=True, slots=True)
class BeforeEnd:
    """The state before the end of a run, and where it stands among the calls. ``exact``: the run
    ended with the next instruction, and not only before the next safepoint."""

    snapshot: Snapshot
    standing: Standing
    exact: bool = True


class Returning(Protocol):
    """Gives the state before the end of the run that ``snapshot`` is of, which ran as ``setup``
    says, after it had passed ``more`` safepoints, and ended at the last of them or
    (``at_safepoint`` False) behind it. ``calls`` gives it back what the host did. Raises
    CheckpointError."""

    def __call__(
        self, snapshot: Snapshot, calls: HostCalls, setup: Setup, more: int, at_safepoint: bool
    ) -> BeforeEnd: ...


@dataclass(frozen=True, slots=True)
class Dump:
    """A core dump, and how it came to be: ``lacks`` says why the state of WASI is not in it, if it
    is not."""

    data: bytes
    before: BeforeEnd
    lacks: str | None


class FlightRecorder:
    """Keeps the last ``keep`` checkpoints of one run in memory, one where it begins and one at each
    ``every``-th safepoint from there, and the calls of host functions since. Where the run fails,
    by a trap, an exception, or a host function, ``core_dump`` is the state before the instruction
    at which it did. Give it to ``chiwawa.start`` or ``chiwawa.restore``, as ``recorder``.

    >>> module = chiwawa.load('''(module (func $divide (param i32) (result i32)
    ...   (i32.div_s (i32.const 100) (local.get 0)))
    ...   (func (export "count") (param i32) (loop $on
    ...     (drop (call $divide (local.get 0)))
    ...     (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br $on))))''')
    >>> recorder = chiwawa.FlightRecorder(keep=2, every=1000)
    >>> run = chiwawa.start(module, "count", [2500], recorder=recorder)
    >>> try:
    ...     run.go()
    ... except chiwawa.Trap as trap:
    ...     print(trap.message)
    integer divide by zero
    >>> chiwawa.restore(module, recorder.core_dump()).frames[0]
    <frame divide at 0x6: locals (0,), operands (100, 0)>
    >>> before, calls = recorder.record()
    >>> again = chiwawa.restore(module, before, path="interp", calls=calls)
    >>> again.frames[0].locals
    (1501,)
    """

    def __init__(self, keep: int = 1, every: int = EVERY) -> None:
        if keep < 1 or every < 1:
            raise ValueError("a flight recorder keeps at least one checkpoint, each safepoint")
        self.every = every
        self.kept: deque[Kept] = deque(maxlen=keep)
        self.run: Run | None = None
        self.calls = HostCalls(live=True)
        #: Whether nobody else has a use for the calls before the oldest checkpoint.
        self.drops = True
        #: The instances, by identity, whose safepoints were not counted from their start.
        self.uncounted: frozenset[int] = frozenset()
        self.setup = Setup()
        self.returning: Returning

    def through(self, calls: HostCalls | None) -> HostCalls:
        """What the calls of the run are to go through, where the embedder gives ``calls``."""
        if calls is not None:
            self.calls = calls
            self.drops = calls.file is not None or not calls.live
            # What is in its file, or in the record, is needed here as well.
            calls.forgets = False
        return self.calls

    def attend(self, run: Run, setup: Setup, returning: Returning, *, new: bool) -> None:
        """Record ``run``, which stands before its beginning, or (not ``new``) at a checkpoint; it
        is run as ``setup`` says. Raises CheckpointError where there can be none now, and
        UnsupportedError where linked instances stop at different places, or cannot be counted."""
        if self.run is not None:
            raise BadInput("a flight recorder is of one run")
        instances = run.instances()
        if len({each.engine.granularity for each in instances}) > 1:
            raise UnsupportedError("core dumps take linked instances of one granularity")
        self.uncounted = frozenset(
            id(each)
            for each in instances
            if each.requests.passed is None and not (new and each is run.instance)
        )
        self.run = run
        limits = replace(setup.limits, fuel=None, time=None)
        if limits.memory is None:
            # It has been as large.
            limits = replace(limits, memory=ANY_SIZE)
        self.setup = Setup(
            path=setup.path,
            granularity=run.instance.engine.granularity,
            limits=limits,
        )
        self.returning = returning
        count_from_here(run)
        self.add(run)
        run.keep = self.keep
        self.count()

    def count(self) -> None:
        """Have the run stop where the next checkpoint is to be kept."""
        assert self.run is not None
        ask = partial(self.run.requests.ask, BY_FLIGHT)
        Countdown(counted_in(self.run), self.every, ask)

    def keep(self) -> None:
        """The run is suspended: if that is for the next checkpoint, keep one."""
        run = self.run
        assert run is not None
        if run.requests.withdraw(BY_FLIGHT):
            # Where something cannot be written now, an earlier one has to do.
            with contextlib.suppress(CheckpointError):
                self.add(run)
            self.count()

    def add(self, run: Run) -> None:
        instances = run.instances()
        known = [id(each) not in self.uncounted for each in instances]
        snapshot = counted_alone(run.captured(), known)
        standing = self.calls.standing(instances)
        passed = passed_by(counted_in(run))
        self.kept.append(Kept(checkpoint.encode(snapshot), passed, standing))
        if self.drops:
            self.calls.drop_before(self.kept[0].standing.position)

    def dump(self) -> Dump:
        """See ``core_dump``."""
        run = self.run
        if run is None or not run.failed:
            raise CheckpointError("there is no core dump: the run has not failed")
        passed, kept, error = passed_by(counted_in(run)), self.kept[-1], run.error
        known = self.calls.again(kept.standing)
        spent = isinstance(error, Abrupt) and error.message in MESSAGES.values()
        last = checkpoint.decode(kept.data)
        before = self.returning(last, known, self.setup, passed - kept.passed, spent)
        snapshot = before.snapshot
        counted = last.safepoints is not None and snapshot.granularity == last.granularity
        wasi = lacks = None
        if run.wasi is not None:
            known.position = before.standing.position
            if not before.exact and known.next_call() is not None:
                lacks = "the program has called the host since"
            else:
                try:
                    wasi = run.wasi.save()
                except CheckpointError as failure:
                    lacks = str(failure)
        snapshot = replace(
            counted_alone(snapshot, [False] * len(snapshot.instances)),
            wasi=wasi,
            safepoints=run.requests.passed if counted else None,
            monitors=None,
            host=last.host,
        )
        standing = before.standing
        standing = Standing(kept.standing.position + standing.position, standing.order)
        before = replace(before, snapshot=snapshot, standing=standing)
        return Dump(checkpoint.encode(snapshot), before, lacks)

    def core_dump(self) -> bytes:
        """The state before the instruction at which the run has failed, with all frames: the bytes
        of a checkpoint, the same on every path. It is made by running the last stretch again. It
        has nothing of monitors and, where that cannot be saved, nothing of WASI. Raises
        CheckpointError where the run has not failed, or does not come there again."""
        return self.dump().data

    def record(self, dump: Dump | None = None) -> tuple[bytes, HostCalls]:
        """The oldest checkpoint that is kept, and what gives the calls back that came then: with
        both, ``chiwawa.restore`` comes to the end again. So it does with ``dump``. Raises
        CheckpointError where nothing is kept."""
        if not self.kept:
            raise CheckpointError("there is no checkpoint: no run has been recorded")
        kept = self.kept[0]
        first, *others = self.calls.made
        dropped = self.calls.dropped
        entries = self.calls.entries[kept.standing.position - dropped :]
        if dump is not None:
            standing = dump.before.standing
            at = standing.position - kept.standing.position
            entries.insert(at, checkpoint_bytes(digest_of(dump.data), standing.order))
        start = [
            beginning_bytes(first, False),
            *map(instance_bytes, others),
            checkpoint_bytes(digest_of(kept.data), kept.standing.order),
        ]
        return kept.data, HostCalls(start + entries, live=False)


def at_last_safepoint(
    restore: Callable[[Snapshot, Setup], Run],
    snapshot: Snapshot,
    calls: HostCalls,
    setup: Setup,
    more: int,
) -> tuple[Snapshot, Standing]:
    """The state at the last safepoint before the end of a run (see ``Returning``), and where it
    stands among the calls, where ``restore`` makes runs of snapshots. Raises CheckpointError."""
    if not more:
        return snapshot, Standing(calls.position, calls.order)
    run = restore(snapshot, replace(setup, calls=calls))
    first = count_from_here(run, more)
    if ended(run) or passed_from(run, first) != more:
        raise CheckpointError("run again, the program did something else")
    return run.snapshot(), calls.standing(run.instances())


def ended(run: Run) -> bool:
    """Go on; whether it has ended, however that was."""
    try:
        return run.go()
    except (Abrupt, HostError):
        return True


def counted_in(run: Run) -> Sequence[Requests]:
    """Those of the instances whose safepoints are those of the run."""
    return run.instance.budget.linked


def count_from_here(run: Run, number: int | None = None) -> int:
    """Count the safepoints of all instances of a run, and stop it at the ``number``-th from here
    (None: at none): how many of them have been counted before, together. Raises
    UnsupportedError."""
    counted = counted_in(run)
    for requests in counted:
        if requests.passed is None:
            requests.count_from(0, None)
    if number is not None:
        Countdown(counted, number, partial(run.requests.ask, BY_COUNT))
    return passed_by(counted)


def passed_from(run: Run, first: int) -> int:
    """How many safepoints have been passed since ``count_from_here`` said ``first``."""
    return passed_by(counted_in(run)) - first


def counted_alone(snapshot: Snapshot, known: Sequence[bool]) -> Snapshot:
    """``snapshot`` with the numbers of safepoints of those instances whose are ``known``."""
    safepoints = snapshot.safepoints if known[0] else None
    others = tuple(
        each if is_known else replace(each, safepoints=None)
        for each, is_known in zip(snapshot.others, known[1:], strict=True)
    )
    return replace(snapshot, safepoints=safepoints, others=others)
