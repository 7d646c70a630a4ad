"""How an instance calls a function that it imports from another, of whatever engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chiwawa_runtime.engine.generated.frames import take_back
from chiwawa_runtime.engine.segments import INTERRUPTED, SEGMENT, Chain, deeper
from chiwawa_runtime.errors import Interrupted
from chiwawa_runtime.state.store import Function


def imported_entry(function: Function) -> Callable[..., Chain]:
    """The generator function by which generated code enters ``function``, which it imports.
    Recursion that runs through several instances is counted here, since none of them sees the
    cycle."""
    if function.host is not None:
        return function.enter

    def enter(*args: Any) -> Chain:
        # Looked up each time: instruments may have had it prepared anew.
        return function.enter(*args)

    def enter_imported(*args: Any) -> Chain:
        *values, depth = args
        if depth >= SEGMENT:
            return (yield from deeper(enter, depth, *values))
        callee = enter(*args)
        while True:
            try:
                return (yield from callee)
            except Interrupted as interrupted:
                # Generated code's frames beneath the call are made again here: that of the caller
                # could not be, since it waits for another instance.
                taken_back = take_back(interrupted)
                if taken_back is None:
                    raise
            yield INTERRUPTED
            callee = taken_back.generators[-1]
            taken_back.engine.safepoints.repeat()
            del taken_back

    return enter_imported
