"""Tail calls of generated code: a function that ends in a call is gone before the callee begins.

Such a function returns the call that is to be made, a ``TailCall``, and whoever enters it (knowing
that it may end so) delegates to ``segments.tails``, which makes that call in its place, and what
that ends in, until there are results. So a chain of tail calls takes the room of one call, however
long it is, and all of it starts at one depth of the call stack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chiwawa_runtime.engine.segments import Chain, TailCall, tails
from chiwawa_runtime.state.store import Function


def entered(own: Callable[..., Chain]) -> Callable[..., Chain]:
    """What enters a function that may end in a tail call, for those who do not know that. Its
    attribute ``first`` is the function itself."""

    def enter(*args: Any) -> Chain:
        return tails(own(*args), args[-1])

    enter.first = own  # type: ignore[attr-defined]
    return enter


def tail_call(function: Function, depth: int, *args: Any) -> Chain:
    """A tail call of whatever ``function`` is. The host's, which may be interrupted, is called
    while the frame that calls it is still there, ``depth`` deep in its segment as for other
    calls."""
    enter = function.enter
    if function.instance is None:
        return (yield from enter(*args, depth))
    return TailCall(getattr(enter, "first", enter), args)
