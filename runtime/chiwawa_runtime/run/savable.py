"""An instance, and what travels with it in its checkpoints besides its own state.

A checkpoint is made where the program stands still: between calls, or with the frames of a run that
is stopped (``calls_in_turn``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from chiwawa_runtime.collector import uncollected
from chiwawa_runtime.engine import turns
from chiwawa_runtime.engine.contract import Engine, RawFrame
from chiwawa_runtime.engine.instance import Imports, ModuleInstance
from chiwawa_runtime.errors import CheckpointError, RunError
from chiwawa_runtime.run import capture, hoststate
from chiwawa_runtime.run.host_calls import HostCalls
from chiwawa_runtime.run.imports import Wasi, the_only
from chiwawa_runtime.run.numbering import Numbering
from chiwawa_runtime.state.host_limits import UNLIMITED, Limits
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import Snapshot

#: How to get a checkpoint of a program that is running.
ASK = "run.requests.ask() has it stop, and once go() has returned False it can be written"


class SavableInstance(ModuleInstance):
    """``carry`` is Python state that travels in checkpoints, by name; ``host`` such state that came
    with a checkpoint and was not trusted: it travels on unread, and so does ``monitors``, what was
    counted earlier, if nothing counts now. ``beside`` are instances that its checkpoints
    hold, too, though it may not lead to them. Raises what ``ModuleInstance`` raises.
    """

    #: What keeps the calls of its host functions, or gives them back.
    calls: HostCalls | None = None

    def __init__(
        self,
        program: Program,
        imports: Imports,
        engine: Engine,
        limits: Limits = UNLIMITED,
    ) -> None:
        super().__init__(program, imports, engine, limits)
        #: Of all WASI whose functions it and those have that it is linked with.
        self.wasi_states: list[Wasi] = []
        self.carry: dict[str, object] = {}
        self.host: bytes | None = None
        self.monitors: bytes | None = None
        self.beside: Sequence[SavableInstance] = []

    @property
    def wasi(self) -> Wasi | None:
        """The state of WASI whose functions it has, or those that it is linked with. Raises
        UnlinkableError where there are several."""
        return the_only(self.wasi_states)

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """A context in which the program stands still. Raises CheckpointError where it does not."""
        mine = self.turns
        try:
            turns.begin(mine, brief=True)
        except RunError:
            raise CheckpointError(f"the program is running in another thread: {ASK}") from None
        try:
            if self.running:
                raise CheckpointError(f"the program is running, and waits for this call: {ASK}")
            yield
        finally:
            turns.end(mine)

    def captured(self, frames: Sequence[RawFrame], plan: Sequence[capture.RawCall]) -> Snapshot:
        """The state with an activation stopped in ``frames``, where the program stands still."""
        wasi = self.wasi
        counted = None if self.observer is None else self.observer.save()
        # A deep program has a hundred thousand frames.
        with uncollected():
            return capture.capture(
                self,
                frames,
                plan,
                beside=self.beside,
                carried=self.carry,
                wasi=None if wasi is None else wasi.save(),
                host=hoststate.dump(self.carry) if self.carry else self.host,
                monitors=self.monitors if counted is None else counted,
            )

    def checkpointed(
        self, frames: Sequence[RawFrame], plan: Sequence[capture.RawCall]
    ) -> Sequence[ModuleInstance]:
        """The instances that are in a checkpoint, in its order."""
        return Numbering(self, self.beside, frames, (args for _, args in plan)).instances
