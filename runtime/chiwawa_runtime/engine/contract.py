"""What an engine is: the contract between what runs functions and everything above it.

An engine makes activations, which go on until they return or are suspended, say where they stand,
and are made again from frames. At safepoints it counts, and suspends what runs where it has been
asked to. How it does that is its own business.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from chiwawa_runtime.engine.segments import MAX_DEPTH
from chiwawa_runtime.state.interface import StateOwner
from chiwawa_runtime.state.program import SuspensionPoints
from chiwawa_runtime.state.types import ValType

#: How many safepoints lie between two looks for requests, where the program itself has to look.
LOOK_EVERY = 100
#: Why an activation cannot be made of frames.
SEVERAL_ENGINES = "frames of instances on several paths cannot go on together"


class RawFrame:
    """A suspended frame with values as a running program holds them (see ``snapshot.Frame``);
    ``instance`` is the ``ModuleInstance`` whose function it is of."""

    __slots__ = ("function", "instance", "locals", "offset", "stack")

    def __init__(
        self,
        instance: Any,
        function: int,
        offset: int,
        locals_: Sequence[Any],
        stack: Sequence[Any],
    ) -> None:
        self.instance = instance
        self.function = function
        self.offset = offset
        self.locals = locals_
        self.stack = stack


class Activation(Protocol):
    """A call in progress, with the calls that it made."""

    #: Whether it stands still since a host function was interrupted.
    interrupted: bool

    def advance(self) -> bool:
        """Run until the call has returned (True), or it is suspended (False): a request is pending
        at a safepoint, or a host function was interrupted. Traps and errors of host functions are
        raised as they come, unexplained."""

    def interrupted_frame(self) -> RawFrame | None:
        """The youngest frame, where the last ``advance`` has suspended it since a host function
        that it called was interrupted: it is at the boundary before that call. None elsewhere, and
        where it is a frame of another instance."""

    @property
    def results(self) -> list[Any]:
        """What it returned."""

    def frames(self) -> list[RawFrame]:
        """Where it is suspended, the youngest frame first, those of other instances included.
        Raises CheckpointError where there are some that cannot be read."""

    def explain(self, error: BaseException) -> BaseException:
        """The trap that ``error`` is, with its backtrace; or ``error`` itself."""


class Safepoints(Protocol):
    """What an engine does at the safepoints of its instance's functions.

    A safepoint is passed, and counted, once, however often the engine comes back to it: where it
    restores a frame there, or where a host function that was interrupted is called again."""

    @property
    def passed(self) -> int | None:
        """How many safepoints have been passed, the one included where a function is suspended, or
        None where they are not counted."""

    def request(self, pending: bool) -> None:
        """Suspend what runs at its next safepoint, or do so no longer. Called from any thread, and
        from signal handlers."""

    def count_from(self, passed: int, stop_at: int | None, reached: Callable[[], None]) -> None:
        """Count safepoints, ``passed`` so far. At the safepoint that makes the number ``stop_at``
        (None: at none) call ``reached``, once, before ``advance`` returns."""

    def watch(self, look: Callable[[], None] | None, every: int = LOOK_EVERY) -> None:
        """Call ``look`` at each ``every``-th safepoint from now on (None: no longer); where it has
        ``request`` called, what runs is suspended at that same safepoint."""


class Engine(Protocol):
    """What runs an instance's functions."""

    #: Whether it sets the ``enter`` of its functions, as the one that runs generated code does.
    #: Others need not: generated code of another instance then calls them by ``start``.
    sets_enter: bool
    #: Whether Python goes on in other threads while it runs functions.
    parallel: bool
    #: ``safepoint`` or ``instruction``.
    granularity: str
    #: Whether every NaN that arithmetic makes is the canonical one.
    canonical_nans: bool
    #: Makes the memories, tables and globals that its functions run over.
    state: StateOwner
    #: Grows whenever its functions are prepared anew: frames from before are to be restored.
    generation: int

    @property
    def safepoints(self) -> Safepoints: ...

    def attach(self, instance: Any) -> None:
        """Called once, by the ``ModuleInstance`` that it runs: memories and the like are there."""

    def suspension_points(self, function: int) -> SuspensionPoints:
        """Where the function may be suspended."""

    def boundary(self, function: int, offset: int) -> tuple[ValType, ...] | None:
        """The operand types at a boundary at which ``restore`` can enter the youngest frame."""

    def unset(self, function: int, offset: int) -> Collection[int]:
        """The locals that have no value at a boundary where a frame can stand."""

    def start(
        self, function: int, args: Sequence[Any], depth: int, most: int = MAX_DEPTH
    ) -> Activation:
        """A call, not begun, of the function of the instance's index space, which may be imported.
        ``args`` are as a program holds them; so deep in the call stack it starts. Where a function
        that counts would start ``most`` deep, the call stack is exhausted."""

    def restore(self, frames: Sequence[RawFrame], most: int = MAX_DEPTH) -> Activation:
        """An activation suspended in ``frames`` (the youngest first), which have been checked, also
        for ``most``. They may be of several instances, that of the engine or not. Raises
        CheckpointError where those are on paths that it cannot go on with."""
