"""What an engine is: the contract between what runs functions and everything above it.

An engine makes activations, which go on until they return or are suspended, say where they stand,
and are made again from frames. How it does that is its own business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from chiwawa_runtime.state.interface import StateOwner
from chiwawa_runtime.state.program import SuspensionPoints
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.types import ValType

if TYPE_CHECKING:
    from chiwawa_runtime.engine.instance import ModuleInstance

#: Why an activation has no frames that could be written.
SEVERAL = "frames of several instances cannot be written to one checkpoint"


class RawFrame:
    """A suspended frame with values as a running program holds them (see ``snapshot.Frame``)."""

    __slots__ = ("function", "locals", "offset", "stack")

    def __init__(
        self, function: int, offset: int, locals_: Sequence[Any], stack: Sequence[Any]
    ) -> None:
        self.function = function
        self.offset = offset
        self.locals = locals_
        self.stack = stack


class Activation(Protocol):
    """A call in progress, with the calls that it made."""

    #: Whether the safepoint at which it goes on is one that has been counted already: it was
    #: restored there, or a host function was interrupted.
    repeats: bool
    #: Whether it stands still since a host function was interrupted.
    interrupted: bool

    def advance(self) -> bool:
        """Run until the call has returned (True) or a request is pending at a safepoint (False).
        Traps and errors of host functions are raised as they come, unexplained."""

    @property
    def results(self) -> list[Any]:
        """What it returned."""

    def frames(self) -> list[RawFrame]:
        """Where it is suspended, the youngest frame first."""

    def explain(self, error: BaseException) -> BaseException:
        """The trap that ``error`` is, with its backtrace; or ``error`` itself."""


class Engine(Protocol):
    """What runs an instance's functions."""

    #: What the instance's own functions are.
    function_type: type[Function]
    #: ``safepoint`` or ``instruction``.
    granularity: str
    #: Whether every NaN that arithmetic makes is the canonical one.
    canonical_nans: bool
    #: Makes the memories, tables and globals that its functions run over.
    state: StateOwner
    #: Grows whenever its functions are prepared anew: frames from before are to be restored.
    generation: int

    def attach(self, instance: ModuleInstance) -> None:
        """Give the instance's own functions their ``enter``; memories and the like are there."""

    def suspension_points(self, function: int) -> SuspensionPoints:
        """Where the function may be suspended."""

    def boundary(self, function: int, offset: int) -> tuple[ValType, ...] | None:
        """The operand types at a boundary at which ``restore`` can enter the youngest frame."""

    def start(self, function: int, args: Sequence[Any], depth: int) -> Activation: ...

    def restore(self, frames: Sequence[RawFrame]) -> Activation:
        """An activation suspended in ``frames`` (the youngest first), which have been checked."""

    #: Where it finds ``poll``, which it tests at safepoints (see ``requests``).
    namespace: dict[str, Any]
