"""What a run tells of itself to instruments, where there are any.

A run knows no more of them than this. They look at boundaries by code of their own that is in the
program (see ``chiwawa.lower.sites``); here is what no boundary shows: a call that was taken back, a
trap, frames that came from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from chiwawa_runtime.engine.contract import RawFrame
    from chiwawa_runtime.errors import Trap

#: The reason with which instruments ask a run to stop so that they can be changed.
CHANGE = "instruments"


def uncounted(monitors: bytes | None) -> bytes | None:
    """What a checkpoint's monitors are where the program goes on without them: their first byte is
    how often that was, up to 255."""
    return monitors and bytes((min(monitors[0] + 1, 255),)) + monitors[1:]


class Observer(Protocol):
    """Instruments, as a run sees them. They belong to one run after another, never to two at once
    but where a host function calls back."""

    def attach(self, instance: Any) -> None:
        """The ``ModuleInstance`` that is looked at from now on."""

    def restore(self, frames: Sequence[RawFrame]) -> None:
        """A run goes on in ``frames`` (the youngest first), which were restored."""

    def mark(self) -> object:
        """Where the calling context is; for ``leave``."""

    def leave(self, mark: object) -> None:
        """What was called since ``mark`` is over, however it ended."""

    def take_back(self, frame: RawFrame) -> None:
        """The youngest frame is at the boundary before its instruction again, which has not
        happened: it will come there anew."""

    def pause(self) -> object:
        """What has been done already at the boundary at which the run stops; for ``resume``."""

    def resume(self, paused: object) -> None:
        """A run goes on. ``paused`` is what ``pause`` returned when it stopped, None where it has
        not been stopped. Others may have run meanwhile."""

    def trapped(self, trap: Trap) -> None:
        """A trap, with its backtrace. The same one may come several times."""

    def probe(self, match: Any, action: Callable[[Any], object], *, writes: bool) -> Any:
        """See ``Instance.probe``."""

    def apply_changes(self) -> None:
        """The run is at a safepoint, or has not begun: have what is asked for take effect."""

    def save(self) -> bytes | None:
        """What travels in a checkpoint, or None for nothing."""
