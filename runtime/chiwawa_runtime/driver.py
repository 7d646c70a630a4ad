"""Running: calls made in turn, stopped where a request is met, explained where they fail.

A ``Run`` is one program's execution, on whichever engine its instance has. It goes on from where it
stopped as often as it is asked to, and can be written to a checkpoint whenever it is stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chiwawa_runtime import capture
from chiwawa_runtime.deep import call_deep
from chiwawa_runtime.errors import CheckpointError, Exhaustion
from chiwawa_runtime.instance import Activation, Engine, Imports, Instance
from chiwawa_runtime.program import Program
from chiwawa_runtime.requests import Requests
from chiwawa_runtime.snapshot import Snapshot

#: How many host functions may have called back into programs on top of each other.
MOST_NESTING = 100


class Run:
    """The calls in ``plan``, one after the other. ``results`` are the last one's, once ``go`` has
    returned True; i32 and i64 as unsigned ints."""

    def __init__(self, instance: Instance, plan: Sequence[capture.RawCall]) -> None:
        self.instance = instance
        self.plan = list(plan)
        self.activation: Activation | None = None
        self.results: list[Any] = []
        #: The function that the results are of.
        self.function: int | None = None
        self.finished = False

    @property
    def requests(self) -> Requests:
        return self.instance.requests

    def go(self) -> bool:
        """Run until all calls have returned (True) or a request stops it at a safepoint (False);
        which requests is in ``requests.take()``. Raises Trap, WasiExit, HostError."""
        if self.finished:
            return True
        if self.instance.engine.deep:
            done = call_deep(self.advance, self.interrupt)
        else:
            done = self.advance()
        self.finished = done
        return bool(done)

    def interrupt(self) -> None:
        self.requests.ask("interrupt")

    def advance(self) -> bool:
        while True:
            if self.activation is None:
                if not self.plan:
                    return True
                self.function, args = self.plan[0]
                self.activation = self.instance.engine.start(self.function, args, 0)
                del self.plan[0]
            if self.activation.repeats:
                self.requests.repeat()
            try:
                if not self.activation.advance():
                    return False
            except Exception as error:
                explained = self.activation.explain(error)
                self.finished = True
                if explained is error:
                    raise
                raise explained from None
            self.results = [int(r) if isinstance(r, bool) else r for r in self.activation.results]
            self.activation = None

    def snapshot(
        self,
        *,
        carried: Mapping[str, object] | None = None,
        wasi: bytes | None = None,
        host: bytes | None = None,
    ) -> Snapshot:
        """The state, where the run is stopped. Encode it before the run goes on. Raises
        CheckpointError where there is something that a checkpoint cannot hold."""
        if self.finished:
            raise CheckpointError("the program has ended: there is nothing to write")
        frames = [] if self.activation is None else self.activation.frames()
        return capture.capture(
            self.instance, frames, self.plan, carried=carried or {}, wasi=wasi, host=host
        )

    @classmethod
    def restored(
        cls, instance: Instance, snapshot: Snapshot, carried: Mapping[str, object] | None = None
    ) -> Run:
        """The run that ``snapshot`` is of, in a fresh instance whose segments have not been placed.
        Raises CheckpointError."""
        frames, plan = capture.apply(instance, snapshot, carried or {})
        run = cls(instance, plan)
        if frames:
            run.function = frames[-1].function
            run.activation = instance.engine.revive(frames)
        return run


def call(instance: Instance, function: int, args: Sequence[Any]) -> list[Any]:
    """Call to the end, whatever is asked for meanwhile: for what a host function calls back, which
    cannot be stopped in the middle. Such a request is met when the host function has returned."""
    instance.nesting += 1
    try:
        if instance.nesting > MOST_NESTING:
            raise Exhaustion
        run = Run(instance, [(function, args)])
        while not run.go():
            pass
        return run.results
    finally:
        instance.nesting -= 1


def instantiate(program: Program, imports: Imports, engine: Engine) -> Instance:
    """An instance whose segments have been placed and whose start function has run."""
    instance = Instance(program, imports, engine)
    instance.initialise()
    if program.start is not None:
        call(instance, program.start, ())
    return instance
