"""The functions about the process: arguments, environment, clocks, randomness, its end."""

from __future__ import annotations

import time

from chiwawa_runtime.errors import WasiExit
from chiwawa_runtime.wasi.abi import INVAL, NOTSUP, WasiError
from chiwawa_runtime.wasi.guest import Guest
from chiwawa_runtime.wasi.process import Process

#: Signals, by WASI's numbers, that a process ignores unless it says otherwise: none, SIGCHLD,
#: SIGCONT, SIGURG, SIGWINCH.
_IGNORED = {0, 16, 17, 22, 27}
#: Signals that stop a process: SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU.
_STOPPING = {18, 19, 20, 21}
_LAST_SIGNAL = 30
#: Bytes of randomness taken at once.
_PIECE = 1 << 16


def _put_strings(guest: Guest, strings: list[bytes], pointers: int, buffer: int) -> int:
    """Each string with a zero after it, and the addresses of them."""
    content = b"".join(s + b"\0" for s in strings)
    guest.check(pointers, 4 * len(strings))
    guest.write(buffer, content)
    for i, string in enumerate(strings):
        guest.put_u32(pointers + 4 * i, buffer)
        buffer += len(string) + 1
    return 0


def _put_sizes(guest: Guest, strings: list[bytes], count: int, size: int) -> int:
    guest.check(size, 4)
    guest.put_u32(count, len(strings))
    guest.put_u32(size, sum(len(s) + 1 for s in strings))
    return 0


def args_get(process: Process, guest: Guest, argv: int, buffer: int) -> int:
    return _put_strings(guest, process.args, argv, buffer)


def args_sizes_get(process: Process, guest: Guest, count: int, size: int) -> int:
    return _put_sizes(guest, process.args, count, size)


def environ_get(process: Process, guest: Guest, environ: int, buffer: int) -> int:
    return _put_strings(guest, process.env, environ, buffer)


def environ_sizes_get(process: Process, guest: Guest, count: int, size: int) -> int:
    return _put_sizes(guest, process.env, count, size)


def clock_res_get(process: Process, guest: Guest, clock: int, result: int) -> int:
    guest.put_u64(result, process.clock.resolution(clock))
    return 0


def clock_time_get(process: Process, guest: Guest, clock: int, precision: int, result: int) -> int:
    guest.check(result, 8)
    guest.put_u64(result, process.clock.now(clock))
    return 0


def random_get(process: Process, guest: Guest, buffer: int, size: int) -> int:
    guest.check(buffer, size)
    for at in range(buffer, buffer + size, _PIECE):
        guest.write(at, process.entropy.take(min(_PIECE, buffer + size - at)))
    return 0


def sched_yield(process: Process, guest: Guest) -> int:
    if not process.clock.virtual:
        time.sleep(0)
    return 0


def proc_exit(process: Process, guest: Guest, code: int) -> int:
    raise WasiExit(code)


def proc_raise(process: Process, guest: Guest, signal: int) -> int:
    """A signal that ends a process ends this one, with the status that a shell would show. One that
    would stop it is ENOTSUP."""
    if signal > _LAST_SIGNAL:
        raise WasiError(INVAL)
    if signal in _STOPPING:
        raise WasiError(NOTSUP)
    if signal in _IGNORED:
        return 0
    # From 16 on Linux counts one more (SIGSTKFLT).
    raise WasiExit(128 + signal + (signal >= 16))
