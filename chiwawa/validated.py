"""Modules that have been read and found valid before: what reading their functions said is in the
cache, with such sets of them as need all, so that a large one starts without its instructions being
read and checked again."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from chiwawa.binary.sections import Known
from chiwawa.cache import Cache, key_of
from chiwawa.module import DataColumns, Module, Summary
from chiwawa_runtime.state.on_demand import OnDemand

#: Smaller modules, in bytes, are read as quickly as looked up.
SMALL = 1 << 16

_INDIRECT, _LOOPS, _EXCEPTS, _HEAPED = 1, 2, 4, 8
_WORD = array("I").itemsize


def recalled(
    binary: bytes, digest: bytes, cache: Cache, sets: int
) -> tuple[Known, list[frozenset[int]]] | None:
    """What is known of the module ``binary``, if that it is valid is, and so many sets of its
    functions; ``digest`` is its SHA-256."""
    if not is_kept(binary, cache):
        return None
    data = cache.read(_key(digest))
    if data is None:
        return None
    ends = [*accumulate(array("I", data[: _WORD * sets]), initial=sets)]
    indices = array("I", data[: _WORD * ends[-1]])
    found = [frozenset(indices[start:end]) for start, end in pairwise(ends)]
    return read_known(memoryview(data)[_WORD * ends[-1] :]), found


def is_kept(binary: bytes, cache: Cache) -> bool:
    """Whether it is kept that such a module is valid."""
    return cache.folder is not None and len(binary) >= SMALL


def remember(module: Module, sets: Sequence[frozenset[int]], digest: bytes, cache: Cache) -> None:
    """Note that ``module`` is valid, and what ``sets`` of its functions there are."""
    words = array("I", map(len, sets))
    for each in sets:
        words.extend(sorted(each))
    cache.keep(_key(digest), words.tobytes(), write_known(module))


def _key(digest: bytes) -> str:
    return key_of("valid", digest, sys.byteorder, str(_WORD))


def _flags(summary: Summary) -> int:
    return (
        summary.indirect * _INDIRECT
        | summary.loops * _LOOPS
        | summary.excepts * _EXCEPTS
        | summary.heaped * _HEAPED
    )


def write_known(module: Module) -> bytes:
    """How many functions and data segments there are; of each segment all that columns have; of
    each function its length, where among the named its own begin, and how many it calls, refers to
    and so on; their flags; and the named: all that they call, refer to and so on, one after the
    other."""
    columns = module.data_columns()
    head = array("I", [len(module.funcs), len(columns.starts)])
    words, named = array("I"), array("I")
    flags = bytearray()
    for func in module.funcs:
        summary = func.summary
        each = _named(summary)
        words.extend((summary.length, len(named), *map(len, each)))
        flags.append(_flags(summary))
        for some in each:
            named.extend(some)
    parts = (head, columns.starts, columns.at, columns.sizes, columns.places, words)
    return b"".join((*(part.tobytes() for part in parts), flags, named.tobytes()))


def _named(summary: Summary) -> tuple[Sequence[int], ...]:
    return summary.calls, summary.refers, summary.tails, summary.tail_types


#: Of a function: its length, where its named ones begin, and how many there are of each kind.
_ROW = 6


def read_known(data: bytes | memoryview) -> Known:
    """The opposite."""
    view = memoryview(data)
    at = 0

    def take(code: str, count: int) -> array[int]:
        nonlocal at
        taken = array(code)
        end = at + count * taken.itemsize
        taken.frombytes(view[at:end])
        at = end
        return taken

    funcs, segments = take("I", 2)
    starts, contents, sizes = (take("I", segments) for _ in range(3))
    columns = DataColumns(starts, contents, sizes, take("q", segments))
    words, flags = take("I", _ROW * funcs), take("B", funcs)
    named = take("I", (len(view) - at) // _WORD)
    return Known(Summaries(words, flags, named), columns)


@dataclass(frozen=True, slots=True, eq=False)
class Summaries(OnDemand[Summary]):
    """Those of a module's functions, in which ``write_known`` has written: few are asked for."""

    words: array[int]
    flags: array[int]
    named: array[int]

    def __len__(self) -> int:
        return len(self.flags)

    def made(self, index: int) -> Summary:
        length, start, *sizes = self.words[_ROW * index : _ROW * (index + 1)]
        ends = [*accumulate(sizes, initial=start)]
        calls, *others = (self.named[start:end] for start, end in pairwise(ends))
        refers, tails, tail_types = map(tuple, others)
        flags = self.flags[index]
        return Summary(
            calls=calls or (),
            refers=refers,
            tails=tails,
            tail_types=tail_types,
            indirect=bool(flags & _INDIRECT),
            loops=bool(flags & _LOOPS),
            length=length,
            excepts=bool(flags & _EXCEPTS),
            heaped=bool(flags & _HEAPED),
        )
