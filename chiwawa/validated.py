"""Modules that have been read and found valid before: what reading their functions said is in the
cache, with which of them are recursive, so that a large one starts without its instructions being
read and checked again."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from chiwawa.cache import Cache, key_of
from chiwawa.module import Module, Summary

#: Smaller modules, in bytes, are read as quickly as looked up.
SMALL = 1 << 16

_INDIRECT, _LOOPS, _EXCEPTS, _HEAPED = 1, 2, 4, 8
_WORD = array("I").itemsize


def recalled(
    binary: bytes, digest: bytes, cache: Cache
) -> tuple[list[Summary], frozenset[int]] | None:
    """Of the functions that the module ``binary`` defines, if it is known to be valid, and those
    that are recursive; ``digest`` is its SHA-256."""
    if not is_kept(binary, cache):
        return None
    data = cache.read(_key(digest))
    if data is None:
        return None
    summaries_at = _WORD * (1 + array("I", data[:_WORD])[0])
    recursive = frozenset(array("I", data[_WORD:summaries_at]))
    return list(read_summaries(data[summaries_at:])), recursive


def is_kept(binary: bytes, cache: Cache) -> bool:
    """Whether it is kept that such a module is valid."""
    return cache.folder is not None and len(binary) >= SMALL


def remember(module: Module, recursive: frozenset[int], digest: bytes, cache: Cache) -> None:
    """Note that ``module`` is valid, and which functions are recursive."""
    words = array("I", [len(recursive), *sorted(recursive)])
    summaries = write_summaries([func.summary for func in module.funcs])
    cache.keep(_key(digest), words.tobytes(), summaries)


def _key(digest: bytes) -> str:
    return key_of("valid", digest, sys.byteorder, str(_WORD))


def _flags(summary: Summary) -> int:
    return (
        summary.indirect * _INDIRECT
        | summary.loops * _LOOPS
        | summary.excepts * _EXCEPTS
        | summary.heaped * _HEAPED
    )


def write_summaries(summaries: Sequence[Summary]) -> bytes:
    """How many there are; their lengths, how many they call, refer to and so on; their flags; then
    all that they call, refer to and so on, one after the other."""
    words = array("I", [len(summaries)])
    for summary in summaries:
        words.extend((summary.length, *map(len, _named(summary))))
    flags = bytes(map(_flags, summaries))
    named = array("I")
    for summary in summaries:
        for each in _named(summary):
            named.extend(each)
    return words.tobytes() + flags + named.tobytes()


def _named(summary: Summary) -> tuple[Sequence[int], ...]:
    return summary.calls, summary.refers, summary.tails, summary.tail_types


def read_summaries(data: bytes) -> Iterator[Summary]:
    count = array("I", data[:_WORD])[0]
    flags_at = _WORD * (1 + 5 * count)
    words = array("I", data[_WORD:flags_at])
    flags = data[flags_at : flags_at + count]
    named = array("I", data[flags_at + count :])
    at = 0
    for index in range(count):
        length, *sizes = words[5 * index : 5 * index + 5]
        ends = [*accumulate(sizes, initial=at)]
        calls, *others = (named[start:end] for start, end in pairwise(ends))
        refers, tails, tail_types = map(tuple, others)
        yield Summary(
            calls=calls or (),
            refers=refers,
            tails=tails,
            tail_types=tail_types,
            indirect=bool(flags[index] & _INDIRECT),
            loops=bool(flags[index] & _LOOPS),
            length=length,
            excepts=bool(flags[index] & _EXCEPTS),
            heaped=bool(flags[index] & _HEAPED),
        )
        at = ends[-1]
