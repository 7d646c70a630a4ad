"""What asks a run for a checkpoint from outside: a trigger file, a signal, a clock.

Only ``Requests.ask`` is called from here; what is done about a request, and when, is others'.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator

from chiwawa_runtime.requests import Requests

#: The file that asks for a checkpoint, in the working directory.
TRIGGER = "checkpoint.trigger"
#: The reasons that ``Requests`` is given.
BY_TRIGGER, BY_SIGNAL, BY_TIMER = "trigger", "signal", "timer"
#: Seconds between two looks at the trigger file.
PERIOD = 0.01


class Watcher:
    """A thread that looks for the trigger file (``trigger``, None: for none) and asks every
    ``every`` seconds (None: never). ``complain`` is given a line where the file cannot be removed.

    A trigger that was there before the start counts: whoever made it while the program was still
    starting would otherwise be forgotten.
    """

    def __init__(
        self,
        requests: Requests,
        trigger: str | None,
        every: float | None,
        complain: Callable[[str], None],
    ) -> None:
        self.requests = requests
        self.trigger = None if trigger is None else os.path.abspath(trigger)
        self.every = every
        self.complain = complain
        self.due = time.monotonic() + (every or 0)
        self.ended = threading.Event()

    def start(self) -> None:
        if self.trigger is not None or self.every is not None:
            threading.Thread(target=self.watch, name="chiwawa watcher", daemon=True).start()

    def watch(self) -> None:
        while not self.ended.is_set():
            self.look()
            self.ended.wait(PERIOD)

    def look(self) -> None:
        if self.trigger is not None and os.path.lexists(self.trigger):
            self.take_trigger(self.trigger)
        if self.every is not None and time.monotonic() >= self.due:
            # Until the program has reached a safepoint, one request is enough.
            if BY_TIMER not in self.requests.pending:
                self.requests.ask(BY_TIMER)
            self.due = time.monotonic() + self.every

    def take_trigger(self, trigger: str) -> None:
        try:
            if stat.S_ISDIR(os.lstat(trigger).st_mode):
                raise IsADirectoryError(0, "it is a directory")
            os.unlink(trigger)
        except FileNotFoundError:
            # Another program in the same directory has it: one trigger stops one program.
            return
        except OSError as error:
            self.complain(f"{trigger} cannot be removed, so it is watched no longer: {error.strerror}")
            self.trigger = None
        self.requests.ask(BY_TRIGGER)

    def rest(self) -> None:
        """A checkpoint has been written: count the seconds to the next from now."""
        self.due = time.monotonic() + (self.every or 0)

    def end(self) -> None:
        self.ended.set()


@contextlib.contextmanager
def signalled(requests: Requests) -> Iterator[None]:
    """SIGUSR1 asks for a checkpoint, where the host has it and this is the main thread."""
    number = getattr(signal, "SIGUSR1", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, lambda *_: requests.ask(BY_SIGNAL))
    try:
        yield
    finally:
        # None: installed by something other than Python, which cannot be put back.
        signal.signal(number, signal.SIG_DFL if before is None else before)
