"""Calls in a thread of their own, which another one waits for."""

from __future__ import annotations

import signal
import threading

import pytest

from chiwawa_runtime.engine.deep import Elsewhere
from tests.cli.cli_helpers import HANGS


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="takes signals for one thread")
def test_a_signal_that_another_thread_is_told_of_is_heard_by_who_waits() -> None:
    heard = threading.Event()

    def inside() -> bool:
        # At the first of them the other thread may not be waiting yet.
        for _ in range(20):
            heard.clear()
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
            if not heard.wait(HANGS):
                return False
        return True

    before = signal.signal(signal.SIGUSR1, lambda *_: heard.set())
    try:
        job = Elsewhere(inside)
        threading.Thread(target=job.run).start()
        assert job.wait(None)
    finally:
        signal.signal(signal.SIGUSR1, before)
