"""What the meanings of atomic instructions call (the proposal for threads).

There is one thread, so that each of them is atomic anyway. What is left to do is that addresses
have to be multiples of the width, and that nobody else can wake who waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chiwawa_runtime.errors import Trap

if TYPE_CHECKING:
    from chiwawa_runtime.state.interface import AnyMemory
    from chiwawa_runtime.state.reserve import Raw

#: What a wait gives: it was not to wait; it has waited so long as it was to.
NOT_EQUAL, TIMED_OUT = 1, 2


def atomic_load(memory: Raw | memoryview, address: int, width: int) -> int:
    if address % width:
        raise Trap("unaligned atomic")
    if address + width > len(memory):
        raise Trap("out of bounds memory access")
    return int.from_bytes(memory[address : address + width], "little")


def atomic_store(memory: Raw, address: int, width: int, value: int) -> None:
    atomic_load(memory, address, width)
    _store(memory, address, width, value)


def _store(memory: Raw, address: int, width: int, value: int) -> None:
    memory[address : address + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")


def atomic_add(memory: Raw, address: int, width: int, value: int) -> int:
    old = atomic_load(memory, address, width)
    _store(memory, address, width, old + value)
    return old


def atomic_sub(memory: Raw, address: int, width: int, value: int) -> int:
    old = atomic_load(memory, address, width)
    _store(memory, address, width, old - value)
    return old


def atomic_and(memory: Raw, address: int, width: int, value: int) -> int:
    old = atomic_load(memory, address, width)
    _store(memory, address, width, old & value)
    return old


def atomic_or(memory: Raw, address: int, width: int, value: int) -> int:
    old = atomic_load(memory, address, width)
    _store(memory, address, width, old | value)
    return old


def atomic_xor(memory: Raw, address: int, width: int, value: int) -> int:
    old = atomic_load(memory, address, width)
    _store(memory, address, width, old ^ value)
    return old


def atomic_xchg(memory: Raw, address: int, width: int, value: int) -> int:
    old = atomic_load(memory, address, width)
    _store(memory, address, width, value)
    return old


def atomic_cmpxchg(memory: Raw, address: int, width: int, expected: int, value: int) -> int:
    """Of what is ``expected``, as many bytes are compared as there are in memory."""
    old = atomic_load(memory, address, width)
    if old == expected & (1 << 8 * width) - 1:
        _store(memory, address, width, value)
    return old


def atomic_notify(memory: AnyMemory, address: int, count: int) -> int:
    """How many have been woken: nobody waits."""
    atomic_load(memory.view(), address, 4)
    return 0


def atomic_wait(memory: AnyMemory, address: int, width: int, expected: int, timeout: int) -> int:
    """``timeout`` is in nanoseconds, negative (as an i64) for ever. Since nobody else could do
    anything meanwhile, what would time out does so at once, and what never would is a trap."""
    if not memory.type.shared:
        raise Trap("expected shared memory")
    if atomic_load(memory.view(), address, width) != expected:
        return NOT_EQUAL
    if timeout >> 63:
        raise Trap("a wait that nothing can end")
    return TIMED_OUT


def atomic_fence() -> None:
    """There is nothing to be kept in order."""


NAMESPACE: dict[str, object] = {
    "atomic_load": atomic_load,
    "atomic_store": atomic_store,
    "atomic_add": atomic_add,
    "atomic_sub": atomic_sub,
    "atomic_and": atomic_and,
    "atomic_or": atomic_or,
    "atomic_xor": atomic_xor,
    "atomic_xchg": atomic_xchg,
    "atomic_cmpxchg": atomic_cmpxchg,
    "atomic_notify": atomic_notify,
    "atomic_wait": atomic_wait,
    "atomic_fence": atomic_fence,
}
