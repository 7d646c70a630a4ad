"""Times at the end of what a number of 64 bits can say."""

from __future__ import annotations

import io
import os
from types import SimpleNamespace
from typing import Any

import pytest

from chiwawa_runtime.errors import Interrupted
from chiwawa_runtime.wasi import Wasi, abi, clocks, descriptor_calls
from chiwawa_runtime.wasi.clocks import LAST, VIRTUAL_EPOCH, HostClock
from chiwawa_runtime.wasi.entropy import Entropy
from tests.wasi.peer_helpers import SCRATCH, OurBackend, Peer, clock_subscription, fd_subscription

FOREVER = (1 << 64) - 1


@pytest.fixture
def virtual() -> Any:
    """A guest on virtual clocks."""
    backend = OurBackend()
    backend.wasi.close()
    backend.adopt(Wasi((), (), (), io.BytesIO(), 1, 2, deterministic=True))
    yield Peer(backend)
    backend.close()


def saved_and_loaded(guest: Peer) -> bytes:
    assert isinstance(guest.backend, OurBackend)
    data = guest.backend.wasi.save()
    again = Wasi.load(data, (), io.BytesIO(), 1, 2)
    assert again.save() == data
    again.close()
    return data


def test_a_virtual_clock_stops_at_its_last_moment(virtual: Peer) -> None:
    for turn in range(3):
        assert virtual.poll(clock_subscription(7, abi.MONOTONIC, FOREVER)) == [(7, 0, 0, 0, 0)]
        saved_and_loaded(virtual)
        for clock in range(4):
            assert virtual.call("clock_time_get", clock, 0, SCRATCH) == abi.OVERFLOW, turn


@pytest.mark.parametrize("clock", [abi.MONOTONIC, abi.REALTIME])
@pytest.mark.parametrize("until", [0, LAST, LAST + 1, FOREVER])
def test_every_moment_comes_under_a_virtual_clock(virtual: Peer, clock: int, until: int) -> None:
    moment = clock_subscription(1, clock, until, absolute=True)
    assert virtual.poll(moment) == [(1, 0, 0, 0, 0)]
    assert virtual.poll(moment, moment) == [(1, 0, 0, 0, 0)] * 2
    saved_and_loaded(virtual)


def test_a_virtual_clock_can_be_looked_at_until_the_end(virtual: Peer) -> None:
    until = LAST - 2 * clocks.VIRTUAL_TICK
    virtual.poll(clock_subscription(1, abi.MONOTONIC, until, absolute=True))
    seen = []
    for clock in (abi.MONOTONIC, abi.REALTIME, abi.MONOTONIC):
        seen.append((virtual.call("clock_time_get", clock, 0, SCRATCH), virtual.u64()))
    assert seen[0] == (0, LAST - clocks.VIRTUAL_TICK)
    assert seen[1] == (0, LAST + VIRTUAL_EPOCH) == (0, FOREVER)
    assert seen[2][0] == abi.OVERFLOW
    saved_and_loaded(virtual)


def test_a_request_while_nothing_can_be_read_moves_no_virtual_clock(virtual: Peer) -> None:
    assert isinstance(virtual.backend, OurBackend)
    reading, writing = os.pipe()
    wasi = Wasi((), (), (), reading, 1, 2, deterministic=True)
    virtual.backend.adopt(wasi)
    before = wasi.save()
    virtual.backend.requests.ask()
    with pytest.raises(Interrupted):
        virtual.poll(fd_subscription(1, 1, 0))
    assert wasi.save() == before
    os.close(reading)
    os.close(writing)


def test_a_clock_of_the_host_past_its_last_moment_is_eoverflow() -> None:
    clock = HostClock((LAST + 1, 0, 0))
    with pytest.raises(abi.WasiError) as caught:
        clock.now(abi.MONOTONIC)
    assert caught.value.errno == abi.OVERFLOW


def test_a_random_stream_begins_anew_after_its_end() -> None:
    end = Entropy((1 << 64) - 5)
    content = end.take(40)
    assert (len(content), end.position) == (40, 35)
    assert content[5:] == Entropy(0).take(35)


def test_times_of_files_that_have_no_number_are_the_nearest_that_has_one() -> None:
    backend = OurBackend()
    found: Any = SimpleNamespace(
        st_mode=0o100644,
        st_dev=1,
        st_ino=2,
        st_nlink=1,
        st_size=0,
        st_atime_ns=-(10**20),
        st_mtime_ns=10**30,
        st_ctime_ns=5,
    )
    told = descriptor_calls.filestat(backend.wasi.process, found, b"")
    assert (told.atim, told.mtim, told.ctim) == (0, FOREVER, 5)
    for layout in (abi.PREVIEW1, abi.UNSTABLE):
        assert layout.filestat(told)
    backend.close()
