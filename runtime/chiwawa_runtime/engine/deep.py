"""Room on Python's stack.

A run takes a bounded part of it however deep the program's calls are (see ``segments``). Where the
caller has used nearly all that Python allows, or host functions have called back into programs on
top of each other, it goes on in a thread of its own, which starts with an empty stack. The
process's limits stay as they are.
"""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable
from typing import Any

from chiwawa_runtime.engine import turns
from chiwawa_runtime.engine.segments import SEGMENT, UNCOUNTED

#: Seconds after which a thread that waits looks for signals by itself. One that is delivered to
#: another thread, or just before the wait, does not wake it.
PERIOD = 0.05
#: Python frames that a run may need, with a hundred for the host functions that it calls.
NEEDED = SEGMENT + UNCOUNTED + 20 + 100


def has_room(frames: int = NEEDED) -> bool:
    """Whether Python allows so many more frames here. Other recursion than that of Python
    functions is not seen."""
    try:
        sys._getframe(max(sys.getrecursionlimit() - frames, 0))
    except ValueError:
        return True
    return False


class Elsewhere:
    """A call in another thread, and how it ended."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = turns.handed_on(in_same_loop(function))
        self.outcome: Any = None
        self.failure: BaseException | None = None
        self.context = contextvars.copy_context()
        self.done = threading.Lock()
        self.done.acquire()

    def run(self) -> None:
        try:
            self.outcome = self.context.run(self.function)
        except BaseException as error:
            self.failure = error
        finally:
            self.done.release()

    def wait(self, interrupt: Callable[[], None] | None) -> Any:
        """What the call returns; what it raises is raised here. Where this thread is interrupted
        meanwhile, ``interrupt`` is called, which should make it return soon, and then the
        interruption goes on."""
        try:
            with turns.Waiting():
                self.await_end()
        except BaseException:
            if interrupt is not None:
                interrupt()
                self.await_end()
                self.take_context()
            raise
        self.take_context()
        if self.failure is not None:
            # The traceback refers to this frame.
            failure, self.failure = self.failure, None
            try:
                raise failure
            finally:
                del failure
        return self.outcome

    def await_end(self) -> None:
        # Python runs signal handlers in its main thread alone.
        is_main = threading.current_thread() is threading.main_thread()
        while not self.done.acquire(timeout=PERIOD if is_main else -1):
            pass

    def take_context(self) -> None:
        """Have the context variables here that the call has set."""
        for variable, value in self.context.items():
            if variable.get(self) is not value:
                variable.set(value)


def in_same_loop(function: Callable[[], Any]) -> Callable[[], Any]:
    """``function``, for a thread that this one waits for: in the event loop that runs here."""
    events = sys.modules.get("asyncio.events")
    loop = None if events is None else events._get_running_loop()
    if events is None or loop is None:
        return function

    def inside() -> Any:
        events._set_running_loop(loop)
        return function()

    return inside


def call_with_room(function: Callable[[], Any], interrupt: Callable[[], None] | None = None) -> Any:
    """``function()``, in another thread where there is not room for it here, with a copy of the
    context; what it raises is raised here. Where the waiting thread is interrupted, ``interrupt``
    is called, which should make ``function`` return soon, and then the interruption goes on. A
    Python without threads calls it here all the same."""
    if has_room():
        return function()
    job = Elsewhere(function)
    try:
        threading.Thread(target=job.run, name="chiwawa", daemon=True).start()
    except RuntimeError:
        return function()
    return job.wait(interrupt)
