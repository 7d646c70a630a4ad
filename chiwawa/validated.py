"""Modules that have been read and found valid before: what reading their functions said is in the
cache, so that a large one starts without its instructions being read and checked again."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence

from chiwawa.cache import Cache, key_of
from chiwawa.module import Module, Summary

#: Smaller modules, in bytes, are read as quickly as looked up.
SMALL = 1 << 16

_INDIRECT, _LOOPS = 1, 2
_WORD = array("I").itemsize


def recalled(binary: bytes, digest: bytes, cache: Cache) -> list[Summary] | None:
    """Of the functions that the module ``binary`` defines, if it is known to be valid; ``digest``
    is its SHA-256."""
    if len(binary) < SMALL:
        return None
    data = cache.read(_key(digest))
    return None if data is None else list(read_summaries(data))


def remember(module: Module, digest: bytes, cache: Cache) -> None:
    """Note that ``module`` is valid."""
    if len(module.binary) >= SMALL:
        cache.keep(_key(digest), write_summaries([func.summary for func in module.funcs]))


def _key(digest: bytes) -> str:
    return key_of("summaries", digest, sys.byteorder, str(_WORD))


def write_summaries(summaries: Sequence[Summary]) -> bytes:
    """How many there are; their lengths, how many they call and refer to; their flags; then all
    that they call and refer to, one after the other."""
    words = array("I", [len(summaries)])
    for summary in summaries:
        words.extend((summary.length, len(summary.calls), len(summary.refers)))
    flags = bytes(s.indirect * _INDIRECT | s.loops * _LOOPS for s in summaries)
    named = array("I")
    for summary in summaries:
        named.extend(summary.calls)
        named.extend(summary.refers)
    return words.tobytes() + flags + named.tobytes()


def read_summaries(data: bytes) -> Iterator[Summary]:
    count = array("I", data[:_WORD])[0]
    flags_at = _WORD * (1 + 3 * count)
    words = array("I", data[_WORD:flags_at])
    flags = data[flags_at : flags_at + count]
    named = array("I", data[flags_at + count :])
    at = 0
    for index in range(count):
        length, calls, refers = words[3 * index : 3 * index + 3]
        middle, end = at + calls, at + calls + refers
        yield Summary(
            calls=named[at:middle] if calls else (),
            refers=tuple(named[middle:end]),
            indirect=bool(flags[index] & _INDIRECT),
            loops=bool(flags[index] & _LOOPS),
            length=length,
        )
        at = end
