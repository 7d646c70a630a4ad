"""Host functions that are ``async def``, and others that would wait in an event loop's thread.

Such a function is called as a coroutine outside of the program: its call is interrupted, so that
the program stands at the boundary before it; what runs the program awaits the coroutine and has the
program make the call again, which then gives what the coroutine has returned. So a program that
waits can be checkpointed, and whoever restores it makes the call. A function that would wait for
something (``wait_until``) is interrupted likewise, and called again when that has come.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from chiwawa_runtime.engine.requests import Requests
from chiwawa_runtime.errors import Interrupted, RunError

#: The flag of a code object: it is that of an ``async def`` (see the inspect module, which takes
#: longer to import than a program to start).
_COROUTINE = 0x80


class Waiting:
    """What a run waits for: a ``call`` that has been interrupted, with its ``args``, until it is
    taken, and ``outcome``, which makes what it gives, from then on until the call is made again; or
    ``until``, what is to be awaited before a call is made again that is no coroutine's. Where the
    run goes on ``beside`` the event loop, in a thread of its own, calls may as well wait there."""

    def __init__(self, requests: Requests) -> None:
        self.requests = requests
        self.call: Callable[..., Coroutine[Any, Any, Any]] | None = None
        self.args: tuple[Any, ...] = ()
        self.outcome: Callable[[], Any] | None = None
        self.until: Callable[[], Coroutine[Any, Any, None]] | None = None
        self.beside = False
        #: What the run is to stop for behind the call, since before it nobody knows what it gives.
        self.after: list[str] = []

    def made(self, call: Callable[..., Coroutine[Any, Any, Any]], args: tuple[Any, ...]) -> Any:
        """``call`` is made by the program."""
        if self.outcome is None or self.call is not call:
            self.call, self.args, self.outcome = call, args, None
            raise Interrupted
        outcome, self.call, self.outcome = self.outcome, None, None
        for reason in self.after:
            self.requests.ask(reason)
        self.after = []
        return outcome()

    async def wait(self) -> None:
        """Await what is waited for. Where this is cancelled, the call is made anew."""
        call = self.call
        assert call is not None
        try:
            value = await call(*self.args)
        except Exception as error:
            self.outcome = partial(_raise, error)
        else:
            self.outcome = lambda: value


def _raise(error: Exception) -> None:
    raise error


#: What runs here, if it awaits what its host functions await.
current: contextvars.ContextVar[Waiting | None] = contextvars.ContextVar("current", default=None)


def wait_until(come: Callable[[Requests], Coroutine[Any, Any, None]]) -> None:
    """Where the program that calls shares its thread with an event loop, and is not to stop
    anyway: have the loop await ``come``, which ends early when one of the requests comes that it is
    given, and the call made again. Raises Interrupted then."""
    waiting = current.get()
    if waiting is not None and not waiting.beside and not waiting.requests.pending:
        waiting.until = partial(come, waiting.requests)
        raise Interrupted


def wait_no_more() -> None:
    """The call returns nevertheless, with what it has done."""
    waiting = current.get()
    if waiting is not None:
        waiting.until = None


def is_async(call: object) -> bool:
    """Whether ``call`` is an ``async def``, a method that is one, or a partial of one."""
    while isinstance(call, partial):
        call = call.func
    function = getattr(call, "__func__", call)
    if not hasattr(function, "__code__"):
        function = vars(type(call)).get("__call__")
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & _COROUTINE)


def awaited(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    """``call``, which is an ``async def``, as a program calls it."""

    def made(*args: Any) -> Any:
        waiting = current.get()
        if waiting is None:
            raise RunError(
                f"{name} is async def, which only calls that are async themselves can await"
            )
        return waiting.made(call, args)

    return made
