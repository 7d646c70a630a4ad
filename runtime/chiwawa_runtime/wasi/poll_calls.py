"""poll_oneoff: waiting for clocks and descriptors together."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from struct import Struct

from chiwawa_runtime.errors import Interrupted
from chiwawa_runtime.wasi.abi import (
    ABSTIME,
    BADF,
    EVENT,
    EVENT_CLOCK,
    EVENT_FD_READ,
    EVENT_FD_WRITE,
    HANGUP,
    INVAL,
    MONOTONIC,
    NOTCAPABLE,
    POLL_FD_READWRITE,
    REALTIME,
    REGULAR_FILE,
    WasiError,
)
from chiwawa_runtime.wasi.clocks import LAST
from chiwawa_runtime.wasi.descriptors import OPEN_DIRECTORY, Descriptor
from chiwawa_runtime.wasi.guest import Guest
from chiwawa_runtime.wasi.process import Process
from chiwawa_runtime.wasi.waiting import (
    BROKEN,
    HUNG_UP,
    INVALID,
    READABLE,
    SLICE,
    WRITABLE,
    leave_to_loop,
    ready,
)

_HEAD = Struct("<QB")
_FD = Struct("<I")
#: How much one call may wait for.
MAX_SUBSCRIPTIONS = 1 << 14


@dataclass(slots=True)
class _Subscription:
    """``until`` is when the clock named strikes, in its own time. ``handle`` is what to poll, None
    where the descriptor is always ready; ``errno`` says why there is nothing to wait for."""

    userdata: int
    tag: int
    clock: int = MONOTONIC
    until: int = 0
    descriptor: Descriptor | None = None
    handle: int | None = None
    errno: int = 0

    def event(self, nbytes: int = 0, flags: int = 0) -> bytes:
        return EVENT.pack(self.userdata, self.errno, self.tag, nbytes, flags)


def poll_oneoff(
    process: Process, guest: Guest, subscriptions: int, events: int, n: int, nevents: int
) -> int:
    """At least one event, unless a request to stop comes first: then Interrupted, and what a
    relative sleep has already lasted is kept for when the call is made again."""
    if not 0 < n <= MAX_SUBSCRIPTIONS:
        raise WasiError(INVAL)
    guest.check(subscriptions, n * guest.layout.subscription_size)
    guest.check(events, n * EVENT.size)
    guest.check(nevents, 4)
    waited, process.waited = process.waited, 0
    size = guest.layout.subscription_size
    parsed = [
        _parse(process, guest, at, waited)
        for at in range(subscriptions, subscriptions + n * size, size)
    ]
    begun = process.clock.peek(MONOTONIC) - waited
    found = _wait(process, guest, parsed, begun)
    guest.write(events, b"".join(found))
    guest.put_u32(nevents, len(found))
    return 0


def read_from(guest: Guest, subscriptions: int, n: int) -> list[int]:
    """The descriptors from which a call wants to know whether they can be read. Raises
    WasiError."""
    if not 0 < n <= MAX_SUBSCRIPTIONS:
        raise WasiError(INVAL)
    size = guest.layout.subscription_size
    guest.check(subscriptions, n * size)
    places = range(subscriptions, subscriptions + n * size, size)
    reading = [at for at in places if guest.unpack(_HEAD, at)[1] == EVENT_FD_READ]
    return [guest.unpack(_FD, at + guest.layout.body)[0] for at in reading]


def _parse(process: Process, guest: Guest, at: int, waited: int) -> _Subscription:
    userdata, tag = guest.unpack(_HEAD, at)
    body = at + guest.layout.body
    subscription = _Subscription(userdata, tag)
    if tag == EVENT_CLOCK:
        clock, timeout, _precision, flags = guest.unpack(guest.layout.clock, body)
        if clock not in (REALTIME, MONOTONIC) or flags & ~ABSTIME:
            raise WasiError(INVAL)
        # A sleep of some length is measured by the clock that nobody sets.
        subscription.clock = clock if flags & ABSTIME else MONOTONIC
        until = timeout if flags & ABSTIME else process.clock.peek(MONOTONIC) + timeout - waited
        subscription.until = process.clock.deadline(subscription.clock, until)
        return subscription
    if tag not in (EVENT_FD_READ, EVENT_FD_WRITE):
        raise WasiError(INVAL)
    fd = guest.unpack(_FD, body)[0]
    descriptor = process.table.entries.get(fd)
    if descriptor is None or descriptor.kind == OPEN_DIRECTORY or not _opened(descriptor, tag):
        subscription.errno = BADF
    elif not descriptor.rights & POLL_FD_READWRITE:
        subscription.errno = NOTCAPABLE
    else:
        subscription.descriptor = descriptor
        if descriptor.stream is not None:
            descriptor.stream.settle()
            subscription.handle = descriptor.stream.handle
        elif descriptor.filetype != REGULAR_FILE:
            subscription.handle = descriptor.handle
    return subscription


def _opened(descriptor: Descriptor, tag: int) -> bool:
    """Whether it was opened for what the subscription waits for."""
    return descriptor.readable if tag == EVENT_FD_READ else descriptor.writable


def _wait(
    process: Process, guest: Guest, subscriptions: list[_Subscription], begun: int
) -> list[bytes]:
    clocks = [s for s in subscriptions if s.tag == EVENT_CLOCK]
    polled = [s for s in subscriptions if s.handle is not None]
    reading = [s.handle for s in polled if s.tag == EVENT_FD_READ and s.handle is not None]
    writing = [s.handle for s in polled if s.tag == EVENT_FD_WRITE and s.handle is not None]
    at_once = len(clocks) + len(polled) < len(subscriptions)
    seconds = 0.0

    def note() -> None:
        # Under virtual clocks no time has gone by.
        if not process.clock.virtual:
            process.waited = min(process.clock.now(MONOTONIC) - begun, LAST)

    def seconds_left() -> float | None:
        return min(((s.until - process.clock.peek(s.clock)) / 1e9 for s in clocks), default=None)

    while True:
        masks = ready(reading, writing, 0 if at_once else seconds)
        found = [e for s in subscriptions if (e := _event(process, s, masks)) is not None]
        if found:
            return found
        left = min((s.until - process.clock.peek(s.clock) for s in clocks), default=None)
        if process.clock.virtual and left is not None:
            process.clock.sleep(left)
            continue
        try:
            if guest.pending:
                raise Interrupted
            leave_to_loop(reading, writing, seconds_left, note)
        except Interrupted:
            note()
            raise
        seconds = SLICE if left is None else min(SLICE, left / 1e9)


def _event(process: Process, subscription: _Subscription, masks: dict[int, int]) -> bytes | None:
    """The event of ``subscription``, if it has come."""
    if subscription.errno:
        return subscription.event()
    if subscription.tag == EVENT_CLOCK:
        past = process.clock.peek(subscription.clock) >= subscription.until
        return subscription.event() if past else None
    descriptor, handle = subscription.descriptor, subscription.handle
    assert descriptor is not None
    if handle is None:
        if subscription.tag == EVENT_FD_READ and descriptor.handle >= 0:
            files = descriptor.files
            size = files.fstat(descriptor.handle).st_size
            return subscription.event(max(0, size - files.seek(descriptor.handle, 0, os.SEEK_CUR)))
        return subscription.event(1)
    mask = masks.get(handle, 0)
    wanted = READABLE if subscription.tag == EVENT_FD_READ else WRITABLE
    if mask & INVALID:
        subscription.errno = BADF
        return subscription.event()
    if not mask & (wanted | HUNG_UP | BROKEN):
        return None
    flags = HANGUP if mask & HUNG_UP else 0
    if subscription.tag == EVENT_FD_READ:
        return subscription.event(_available(handle), flags)
    return subscription.event(1, flags)


def _available(handle: int) -> int:
    """Bytes to be read without blocking, where the host tells; else one."""
    try:
        import fcntl
        import termios

        answer = fcntl.ioctl(handle, termios.FIONREAD, b"\0\0\0\0")
        return int(struct.unpack("=i", answer)[0])
    except (ImportError, OSError):
        return 1
