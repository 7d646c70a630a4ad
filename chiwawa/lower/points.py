"""Where functions can be suspended, as the running side needs it: ``lower``'s answer by code
offset."""

from __future__ import annotations

from chiwawa.lower.lowered import Lowered
from chiwawa_runtime.state.program import CallPoint, SuspensionPoints


def points_of(lowered: Lowered) -> SuspensionPoints:
    """A call of an imported function is a place where a frame waits, too: it may be another
    instance's."""
    body = lowered.body
    calls = {}
    for position, functype in lowered.calls.items():
        if body[position].op.tail:
            # The frame is gone when the callee begins.
            continue
        function: int | None = None
        if not body[position].op.indirect:
            function = body[position].imm[0]
        calls[body[position].offset] = CallPoint(lowered.below[position], functype, function)
    safepoints = {body[p].offset: lowered.stacks[p] for p in sorted(lowered.safepoints)}
    unset = {body[p].offset: some for p, some in lowered.unset.items() if lowered.reached[p]}
    return SuspensionPoints(lowered.locals, safepoints, calls, unset)
