"""How an instance calls a function that it imports from another, of whatever engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chiwawa_runtime.engine.segments import SEGMENT, Chain, deeper
from chiwawa_runtime.state.store import Function


def imported_entry(function: Function) -> Callable[..., Chain]:
    """What gives the generator by which generated code enters ``function``, which it imports.
    Recursion that runs through several instances is counted here, since none of them sees the
    cycle."""
    if function.host is not None:
        return function.enter

    def enter(*args: Any) -> Chain:
        # Looked up each time: instruments may have had it prepared anew.
        return function.enter(*args)

    def enter_deeper(*args: Any) -> Chain:
        return (yield from deeper(enter, args[-1], *args[:-1]))

    def enter_imported(*args: Any) -> Chain:
        return enter_deeper(*args) if args[-1] >= SEGMENT else function.enter(*args)

    return enter_imported
