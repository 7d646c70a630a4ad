"""Waiting that a request to stop can interrupt.

A call that would block waits in slices, short enough that a request is seen at once and long
enough to cost nothing; the request is seen whichever thread or signal handler makes it. In an event
loop's thread it is the loop that waits so, and the call is made again.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from functools import partial

from chiwawa_runtime.engine.awaiting import wait_until
from chiwawa_runtime.engine.requests import Requests
from chiwawa_runtime.errors import Interrupted

#: Seconds.
SLICE = 0.01
#: In an event loop, where many wait: the first one, and the longest, each twice the one before.
FIRST, LONGEST = 0.001, 0.05
#: What ``ready`` answers with, where the host has no names of its own for it.
READABLE = getattr(select, "POLLIN", 1)
WRITABLE = getattr(select, "POLLOUT", 4)
BROKEN = getattr(select, "POLLERR", 8)
HUNG_UP = getattr(select, "POLLHUP", 16)
INVALID = getattr(select, "POLLNVAL", 32)


def ready(reading: list[int], writing: list[int], seconds: float) -> dict[int, int]:
    """Wait until a host descriptor is ready, at most ``seconds``: which are, with their events
    (``READABLE`` and so on). Descriptors that cannot be polled count as ready."""
    if not reading and not writing:
        if seconds > 0:
            time.sleep(seconds)
        return {}
    if not hasattr(select, "poll"):
        return _selected(reading, writing, seconds)
    poller = select.poll()
    masks: dict[int, int] = {}
    for fd in reading:
        masks[fd] = masks.get(fd, 0) | READABLE
    for fd in writing:
        masks[fd] = masks.get(fd, 0) | WRITABLE
    for fd, mask in masks.items():
        poller.register(fd, mask)
    return dict(poller.poll(max(0, int(seconds * 1000 + 0.999))))


def _selected(reading: list[int], writing: list[int], seconds: float) -> dict[int, int]:
    """As ``ready``, by ``select``. That of Windows takes sockets only: what else there is counts as
    ready, and who then reads it waits in the host, where no request interrupts it."""
    others = [fd for fd in {*reading, *writing} if not _selectable(fd)]
    r, w, _ = select.select(
        [fd for fd in reading if fd not in others],
        [fd for fd in writing if fd not in others],
        [],
        0 if others else max(seconds, 0),
    )
    readable, writable = {*r, *(fd for fd in reading if fd in others)}, {*w}
    writable.update(fd for fd in writing if fd in others)
    return {
        fd: (READABLE if fd in readable else 0) | (WRITABLE if fd in writable else 0)
        for fd in readable | writable
    }


def _selectable(fd: int) -> bool:
    try:
        select.select([fd], [], [], 0)
    except (OSError, ValueError):
        return False
    return True


def wait(handle: int, pending: list[str], *, writing: bool = False) -> None:
    """Until ``handle`` can be read (or written). Raises Interrupted when a request comes first, or
    an event loop is to wait."""
    reading, writers = ([], [handle]) if writing else ([handle], [])
    if ready(reading, writers, 0):
        return
    leave_to_loop(reading, writers)
    while not pending:
        if ready(reading, writers, SLICE):
            return
    raise Interrupted


def leave_to_loop(
    reading: list[int],
    writing: list[int],
    left: Callable[[], float | None] = lambda: None,
    passed: Callable[[], object] = lambda: None,
) -> None:
    """Where the program shares its thread with an event loop, have that wait for the descriptors,
    or until ``left`` says that no seconds are left. ``passed`` is called whenever time has gone
    by. Raises Interrupted then."""
    wait_until(partial(_come, reading, writing, left, passed))


async def _come(
    reading: list[int],
    writing: list[int],
    left: Callable[[], float | None],
    passed: Callable[[], object],
    requests: Requests,
) -> None:
    import asyncio

    seconds = FIRST
    while not requests.pending and not ready(reading, writing, 0):
        most = left()
        if most is not None and most <= 0:
            return
        await asyncio.sleep(seconds if most is None else min(seconds, most))
        passed()
        seconds = min(2 * seconds, LONGEST)
