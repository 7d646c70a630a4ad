"""Suspending by unwinding: the frames that an exception went through, as frames that stand still.

What is raised deep in a chain of calls ends them all, but nothing of them is lost. Python keeps
with the exception, in its traceback, an entry for each frame that it went through: the frame
itself, whose variables are what they were, and the line at which it stood. So a program that has
been ended by raising can be read from outside as one that has been suspended can, and made again
from what was read. It costs the calls nothing while nobody raises.

This knows of frames, of lines, and of calls that went on in another segment (see ``segments``).
Whose the frames are, the caller says; what the lines mean and the variables hold is his business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Generic, TypeVar

from chiwawa_runtime.engine.segments import DEEPER

Owner = TypeVar("Owner")


@dataclass(frozen=True, slots=True)
class Unwound(Generic[Owner]):
    """``frame`` as the exception left it, which stood at ``line`` of its file."""

    owner: Owner
    frame: FrameType
    line: int


def unwound(
    entry: TracebackType | None,
    owner_of: Callable[[FrameType], Owner | None],
    end: TracebackType | None = None,
) -> list[Unwound[Owner]]:
    """The frames of a traceback from ``entry`` on, and before ``end`` (None: to where the exception
    was raised), the youngest first, but those that ``owner_of`` gives no owner. A frame that had
    called itself again in the next segment had done nothing else, and is left out; it is not where
    ``deeper`` itself raised, since then there is no such call."""
    result: list[Unwound[Owner]] = []
    while entry is not None and entry is not end:
        frame, line = entry.tb_frame, entry.tb_lineno
        entry = entry.tb_next
        owner = owner_of(frame)
        if owner is None:
            continue
        if entry is not None and entry.tb_frame.f_code is DEEPER and entry.tb_next is not None:
            continue
        result.append(Unwound(owner, frame, line))
    result.reverse()
    return result
