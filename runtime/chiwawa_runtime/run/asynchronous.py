"""Runs in an event loop: many programs in turn in its thread, and beside it those that machine code
runs.

A program that Python runs gives way after so many safepoints that it has run about ``SLICE``
seconds; one that runs natively goes on in a thread of its own meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from functools import partial
from typing import Any, Protocol

from chiwawa_runtime.engine.awaiting import Waiting
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.requests import BY_TURN, Requests
from chiwawa_runtime.errors import RunError

#: How long a program runs in Python until it gives way, in seconds: two hundred do so in a tenth of
#: a second.
SLICE = 0.00025
#: After how many safepoints it gives way first, and at least: then it costs more than it runs.
FIRST, LEAST, MOST = 100, 20, 1_000_000


class Run(Protocol):
    """What is needed here of ``instance.Run``."""

    waiting: Waiting
    awaits: bool

    @property
    def instance(self) -> ModuleInstance: ...
    @property
    def requests(self) -> Requests: ...
    def go(self) -> bool: ...


class Slices:
    """After how many safepoints a program gives way: ``every`` so many, or, None, as its speed
    has it."""

    def __init__(self, every: int | None) -> None:
        self.count = FIRST if every is None else every
        self.adapts = every is None

    def took(self, seconds: float) -> None:
        """So many have taken so long."""
        if self.adapts:
            # At most by half or double: a host function may have been called, or nothing.
            factor = min(2.0, max(0.5, SLICE / max(seconds, 1e-9)))
            self.count = min(MOST, max(LEAST, round(self.count * factor)))


async def go(run: Run, every: int | None) -> bool:
    """``run.go()``, while the event loop goes on."""
    waiting = run.waiting
    beside = any(instance.engine.parallel for instance in run.instance.reached)
    waiting.beside = beside
    slices = Slices(every)
    while True:
        if waiting.call is not None and waiting.outcome is None:
            await waiting.wait()
        if waiting.outcome is not None:
            waiting.after += run.requests.take()
        run.awaits = True
        try:
            done = await _in_thread(run) if beside else _slice(run, slices)
        finally:
            run.awaits = False
        if done:
            return True
        until, waiting.until = waiting.until, None
        gave_way = run.requests.withdraw(BY_TURN)
        if run.requests.pending:
            return False
        if until is not None:
            await until()
        elif not gave_way and waiting.call is None:
            # A host function wants it.
            return False
        else:
            await asyncio.sleep(0)


def _slice(run: Run, slices: Slices) -> bool:
    """Let it run until it is to give way, or to stop; whether it has ended."""
    linked = run.instance.reached
    for instance in linked:
        instance.requests.do_after(slices.count, BY_TURN, partial(run.requests.ask, BY_TURN))
    began = time.perf_counter()
    try:
        return run.go()
    finally:
        for instance in linked:
            instance.requests.forget(BY_TURN)
        slices.took(time.perf_counter() - began)


async def _in_thread(run: Run) -> bool:
    """``run.go()`` in a thread of its own, in a copy of the context, whose changes are taken over.
    Where this is cancelled, the run stops at its next safepoint first."""
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bool] = loop.create_future()

    def told(done: bool, error: BaseException | None) -> None:
        if ended.done():
            return
        if error is None:
            ended.set_result(done)
        else:
            ended.set_exception(error)

    def inside() -> None:
        done, failure = False, None
        try:
            done = context.run(run.go)
        except BaseException as error:
            failure = error
        # Nobody may be there any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(told, done, failure)

    try:
        threading.Thread(target=inside, name="chiwawa", daemon=True).start()
    except RuntimeError as error:
        raise RunError(f"a native run needs a thread of its own here: {error}") from None
    try:
        done = await asyncio.shield(ended)
    except asyncio.CancelledError:
        run.requests.ask(BY_TURN)
        await asyncio.wait([ended])
        run.requests.withdraw(BY_TURN)
        if not ended.cancelled():
            # What it has ended by, if it has, it says from now on.
            ended.exception()
        raise
    for variable, value in context.items():
        if variable.get(_nothing) is not value:
            variable.set(value)
    return done


_nothing: Any = object()
