"""What an activation knows of the engine that it is of."""

from __future__ import annotations

from typing import Any, Protocol

from chiwawa.lower.lowered import Lowered, Spaces
from chiwawa.native.machine import Machine
from chiwawa.native.records import Records
from chiwawa.native.safepoints import NativeSafepoints
from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.state.program import SuspensionPoints
from chiwawa_runtime.state.types import RefType


class Guest(Protocol):
    """An engine, as far as its activations use it."""

    spaces: Spaces
    instance: ModuleInstance
    safepoints: NativeSafepoints
    records: Records
    #: The activations that are going on, on top of each other.
    going: list[Any]
    #: Whether segments are marked that have to be dropped.
    dropping: bool

    @property
    def machine(self) -> Machine: ...

    def interrupt(self) -> None:
        """What runs is to stop soon."""

    def lower(self, function: int) -> Lowered: ...

    def suspension_points(self, function: int) -> SuspensionPoints: ...

    def reference(self, valtype: RefType, place: int) -> Any:
        """The reference that a saved frame has, which the guest has put into a table."""

    def place_of(self, caller: RawFrame, engine: Guest, function: int) -> int:
        """Where ``caller`` finds a function of another engine's that shares the store. Raises
        UnsupportedError where there is no reference to that."""

    def keep_reference(self, valtype: RefType, value: Any) -> int:
        """The opposite, for a frame that is to be entered again."""
