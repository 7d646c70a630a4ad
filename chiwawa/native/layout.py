"""What a rewritten module and its host say to each other by: cells of the shadow memory, records of
frames in it, and names of exports. ``docs/native.md`` specifies all of it for other hosts.
"""

from __future__ import annotations

from collections.abc import Sequence

from chiwawa_runtime.engine.segments import MAX_DEPTH

#: What the names of all exports start with that the rewriter adds.
PREFIX = "chiwawa:"
SHADOW = PREFIX + "shadow"
FUNCTIONS = PREFIX + "functions"
COUNT = PREFIX + "count"
INITIALISE = PREFIX + "initialise"
DROP = PREFIX + "drop"
START = PREFIX + "start"
#: By kind of state, with the index behind.
MEMORY, TABLE, GLOBAL = PREFIX + "memory:", PREFIX + "table:", PREFIX + "global:"
#: The tables that references of saved frames are in, by heap type.
REFERENCES = {"func": PREFIX + "funcrefs", "extern": PREFIX + "externrefs"}

# Cells, by address; each an i32 but for two i64. A byte has one writer, so that a request that
# comes while a frame is being entered again is not lost.
#: Not 0: stop at the next safepoint. Byte 0 is the host's requests', byte 1 is set while rewinding.
POLL = 0
MODE = 4
#: Where the next record goes, and where the next one is that is to be entered again.
SP, RP = 8, 12
#: How deep the call stack is in the function that is called next.
DEPTH = 16
#: The depth from which on a function that counts looks for why it should not begin. Bytes 0 to 2
#: are MAX_DEPTH, or 0 while rewinding; byte 3 is 0x80 while a request is pending.
CEILING = 20
#: i64. Where safepoints are counted: stop at the one that makes the count so many. Byte 7 is 0x80
#: while a request is pending.
LIMIT = 24
#: i64. What the count is where the youngest frame goes on.
RESUMED_COUNT = 32
#: How many references the saved frames have, by heap type.
REFERENCE_COUNTS = {"func": 40, "extern": 44}
#: The index with which an element of a table was called last: a trap says it.
CALLEE = 48
#: The code offset of an ``unreachable`` that traps: what wasmtime says may be that of a branch
#: around it.
UNREACHED = 52
#: A byte for each data segment and then for each element segment: 1 once it has been dropped.
DROPPED = 64

#: What a rewritten module counts: nothing, its safepoints, or all boundaries, as many at each
#: safepoint as there were up to it. It is stopped at safepoints alone, whatever it counts.
NOTHING, SAFEPOINTS, BOUNDARIES = 0, 1, 2

# Bits of the mode.
UNWINDING, REWINDING, EXHAUSTED, INTERRUPTED, TRAPPED = 1, 2, 4, 8, 16

#: What the count is while rewinding: so many that it is beyond every limit.
REWINDING_COUNT = 1 << 62
NO_LIMIT = (1 << 55) - 1
#: The bytes of CEILING that the guest sets back are a 16-bit number.
CEILING_HIGH = MAX_DEPTH >> 8
assert MAX_DEPTH & 0xFF == 0

#: Of a record: its size, its function, its entry, and where its values begin.
RECORD_SIZE, RECORD_FUNCTION, RECORD_ENTRY, RECORD_VALUES = 0, 4, 8, 16
#: What each value of a record takes.
SLOT = 8


def records_at(datas: int, elems: int) -> int:
    """Where the first record is, with so many segments."""
    return DROPPED + (datas + elems + 15 & ~15)


def record_size(values: Sequence[object]) -> int:
    return RECORD_VALUES + SLOT * len(values)
