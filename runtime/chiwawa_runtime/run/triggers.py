"""What asks a run for a checkpoint from outside: a trigger file, a signal, a clock.

Only ``Requests.ask`` is called from here; what is done about a request, and when, is others'.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from chiwawa_runtime.engine.requests import Requests

#: The file that asks for a checkpoint, in the working directory.
TRIGGER = "checkpoint.trigger"
#: The reasons that ``Requests`` is given.
BY_TRIGGER, BY_SIGNAL, BY_TIMER, BY_INTERRUPT = "trigger", "signal", "timer", "interrupt"
#: The signals that ask a program to end, by the reasons that ``Requests`` is given, where the host
#: has them.
ENDINGS = {name: getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)}
#: Seconds between two looks at the trigger file.
PERIOD = 0.01


class Watcher:
    """In a ``with`` statement, a thread that looks for the trigger file (``trigger``, None: for
    none) and asks every ``every`` seconds (None: never). ``complain`` is given a line where the
    file was there before, and where it cannot be removed. Where the host has no threads, the
    program's own looks, at safepoints and where it waits.

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
        self.looked = 0.0
        self.ended = threading.Event()

    def __enter__(self) -> Watcher:
        if self.trigger is not None or self.every is not None:
            if self.trigger is not None and os.path.lexists(self.trigger):
                # The run stops at its very first safepoint. The file may be of a run that has long
                # ended.
                self.complain(f"found {TRIGGER}, from before the program began")
            self.look()
            thread = threading.Thread(target=self.watch, name="chiwawa watcher", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # WASI and Pyodide have none, and elsewhere there may be too many already.
                self.looked = time.monotonic()
                self.requests.watch(self.look_in_passing)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ended.set()

    def watch(self) -> None:
        while not self.ended.wait(PERIOD):
            self.look()

    def look_in_passing(self) -> None:
        """As ``look``, not more often than the thread would."""
        now = time.monotonic()
        if now - self.looked >= PERIOD:
            self.look()
            self.looked = time.monotonic()

    def look(self) -> None:
        if self.trigger is not None and os.path.lexists(self.trigger):
            self.take_trigger(self.trigger)
        if self.every is not None and time.monotonic() >= self.due:
            # Until the program has reached a safepoint, one request is enough.
            if BY_TIMER not in self.requests.pending:
                self.requests.ask(BY_TIMER)
            self.restart_clock()

    def take_trigger(self, trigger: str) -> None:
        try:
            if stat.S_ISDIR(os.lstat(trigger).st_mode):
                raise IsADirectoryError(0, "it is a directory")
            os.unlink(trigger)
        except FileNotFoundError:
            # Another program in the same directory has it: one trigger stops one program.
            return
        except OSError as error:
            self.trigger = None
            self.complain(
                f"{trigger} is watched no longer, as it cannot be removed: {error.strerror}"
            )
        self.requests.ask(BY_TRIGGER)

    def restart_clock(self) -> None:
        """Count the seconds to the next checkpoint from now."""
        self.due = time.monotonic() + (self.every or 0)


class Signals:
    """In a ``with`` statement, SIGUSR1 asks for a checkpoint, where the host has it, and SIGINT
    (Ctrl-C) asks the program to stop, if this is the main thread. With ``saving``, so do those of
    ENDINGS, by their names. What comes before ``attach`` is kept for then, but whatever is to end
    the program ends what is done before.

    Left to Python, an interrupt would be raised wherever the main thread happens to be, also where
    exceptions have nowhere to go and are forgotten. A second one is left to Python. A second one of
    ENDINGS changes nothing.
    """

    def __init__(self, saving: bool = False) -> None:
        self.saving = saving
        self.requests: Requests | None = None
        self.early = False
        self.interrupted = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            if hasattr(signal, "SIGUSR1"):
                self.before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, self.ask)
            # Where it is ignored, as in a shell's background, it stays so.
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self.before[signal.SIGINT] = signal.signal(signal.SIGINT, self.interrupt)
            for number in ENDINGS.values() if self.saving else ():
                # Where it is ignored, as by nohup, or somebody else handles it, it stays so.
                if signal.getsignal(number) is signal.SIG_DFL and not inherits_ignoring(number):
                    self.before[number] = signal.signal(number, self.end)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self.before.items():
            # None: what stood there was not installed by Python, which cannot put it back.
            signal.signal(number, signal.SIG_DFL if before is None else before)

    def ask(self, *_: object) -> None:
        if self.requests is None:
            self.early = True
        else:
            self.requests.ask(BY_SIGNAL)

    def interrupt(self, *_: object) -> None:
        if self.requests is None or self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        self.requests.ask(BY_INTERRUPT)

    def end(self, number: int, _: object) -> None:
        if self.requests is None:
            # There is nothing to save yet.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        else:
            self.requests.ask(signal.Signals(number).name)

    def attach(self, requests: Requests) -> None:
        self.requests = requests
        if self.early:
            requests.ask(BY_SIGNAL)


def inherits_ignoring(number: int) -> bool:
    """Whether this process was started with a signal ignored, which PyPy does not say. Known on
    Linux alone."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            found = next((line for line in status if line.startswith("SigIgn:")), "SigIgn: 0")
        return bool(int(found.split()[1], 16) >> (number - 1) & 1)
    except (OSError, ValueError, IndexError):
        return False
