"""The flight recorder: the last checkpoints of a run, in memory, and the calls of the host since.

What it keeps is enough to run the last stretch again, as often as anybody likes, and so to stand
before the instruction at which the run has ended.
"""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass, replace

from chiwawa_runtime import checkpoint
from chiwawa_runtime.errors import CheckpointError, UnsupportedError
from chiwawa_runtime.run.call_record import beginning_bytes, checkpoint_bytes, instance_bytes
from chiwawa_runtime.run.host_calls import HostCalls, Standing, digest_of
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.state.snapshot import Snapshot

#: The reason with which a run stops where a checkpoint is to be kept.
BY_FLIGHT = "flight"
#: So many safepoints are between two checkpoints where nobody says another number. To take as much
#: again to come to the end costs a few seconds on the slower paths.
EVERY = 10_000_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint, when ``passed`` safepoints were passed, and where the program stood among the
    calls."""

    data: bytes
    passed: int
    standing: Standing


class Flight:
    """Keeps the last ``most`` checkpoints of ``run``, whose calls go through ``calls``: one where
    it stands now, which is where a ``new`` program begins, and one at each ``every``-th safepoint
    from there. Raises CheckpointError where there can be none now, and UnsupportedError for linked
    instances."""

    def __init__(self, run: Run, calls: HostCalls, most: int, every: int, *, new: bool) -> None:
        if len(run.instances()) > 1:
            raise UnsupportedError("core dumps are of one instance, not of several linked ones")
        self.run = run
        self.calls = calls
        self.every = every
        self.kept: deque[Kept] = deque(maxlen=most)
        #: Whether safepoints have been counted from the program's start.
        self.counted = new or run.requests.passed is not None
        if run.requests.passed is None:
            run.requests.count_from(0, None)
        self.keep()
        run.requests.stop_after(every, BY_FLIGHT)

    def keep(self) -> None:
        snapshot = self.run.snapshot()
        if not self.counted:
            snapshot = replace(snapshot, safepoints=None)
        passed = self.run.requests.passed
        assert passed is not None
        standing = self.calls.standing(self.run.instances())
        self.kept.append(Kept(checkpoint.encode(snapshot), passed, standing))
        self.calls.drop_before(self.kept[0].standing.position)

    def go(self) -> bool:
        """As ``Run.go``: where it stops for nothing else, a checkpoint is kept, and it goes on."""
        run = self.run
        while not run.go():
            if not run.requests.withdraw(BY_FLIGHT):
                return False
            # Where something cannot be written now, an earlier one has to do.
            with contextlib.suppress(CheckpointError):
                self.keep()
            run.requests.stop_after(self.every, BY_FLIGHT)
            if run.requests.pending:
                return False
        return True

    def last(self) -> tuple[Snapshot, HostCalls]:
        """The last checkpoint, and what gives its run the calls back that came then."""
        kept = self.kept[-1]
        return checkpoint.decode(kept.data), self.calls.again(kept.standing)

    def record(self) -> tuple[bytes, list[bytes]]:
        """The oldest checkpoint that is kept, and the entries of a record that begins there."""
        kept = self.kept[0]
        first, *others = self.calls.made
        entries = self.calls.entries[kept.standing.position - self.calls.dropped :]
        start = [
            beginning_bytes(first, False),
            *map(instance_bytes, others),
            checkpoint_bytes(digest_of(kept.data), kept.standing.order),
        ]
        return kept.data, start + entries
