"""What a rewritten module and its host say to each other by: registers, cells of the shadow memory,
records of frames in another, and names of exports. ``docs/native.md`` specifies all of it for other
hosts.
"""

from __future__ import annotations

from collections.abc import Iterable

from chiwawa_runtime.state.types import V128, ValType

#: What the names of all exports start with that the rewriter adds.
PREFIX = "chiwawa:"
SHADOW = PREFIX + "shadow"
#: A memory of its own: code that is often run needs to know where the other one is, and has no
#: register for this.
RECORDS = PREFIX + "records"
#: Where some functions have locals, and how much of it is used: where there are such functions.
FRAMES, FP = PREFIX + "frames", PREFIX + "fp"
FUNCTIONS = PREFIX + "functions"
RESUMERS = PREFIX + "resumers"
COUNT = PREFIX + "count"
INITIALISE = PREFIX + "initialise"
DROP = PREFIX + "drop"
START = PREFIX + "start"
#: By kind of state, with the index behind.
MEMORY, TABLE, GLOBAL = PREFIX + "memory:", PREFIX + "table:", PREFIX + "global:"
TAG = PREFIX + "tag:"
#: The tables that references of saved frames are in, by heap type.
REFERENCES = {
    "func": PREFIX + "funcrefs",
    "extern": PREFIX + "externrefs",
    "exn": PREFIX + "exnrefs",
    "any": PREFIX + "anyrefs",
}

# Registers: globals of type i32. They are what all code uses that calls.
MODE = PREFIX + "mode"
#: How deep the call stack is in the function that is called next.
DEPTH = PREFIX + "depth"
#: Where the next record goes, and the record that is being entered again.
SP, RP = PREFIX + "sp", PREFIX + "rp"
#: The entry at which a frame is saved, or entered again.
WHERE = PREFIX + "entry"
#: What a trap has to say beside its place: the index with which an element of a table was called
#: last; or the code offset of an ``unreachable``, since what wasmtime says may be that of a branch
#: around it.
DETAIL = PREFIX + "detail"
REGISTERS = (MODE, DEPTH, SP, RP, WHERE, DETAIL)

# Cells of the shadow memory, by address; each an i32 but for two i64. A byte has one writer, so
# that a request, which may come from another thread, is not lost.
#: Not 0: stop at the next safepoint. Byte 0 is the host's requests', byte 3 is set while rewinding.
POLL = 0
#: The depth from which on a function that counts looks for why it should not begin. Bytes 0 to 2
#: are the depth that is too much, or 0 while rewinding; byte 3 is 0x80 while a request is pending.
CEILING = 4
#: What the guest puts over byte 3 of POLL and bytes 0 to 2 of CEILING, with one store, where it has
#: entered all frames again: the depth that is too much, times 256.
BACK = POLL + 3
BACK_VALUE = 44
assert CEILING == POLL + 4
#: i64. Where safepoints are counted: stop at the one that makes the count so many. Byte 7 is 0x80
#: while a request is pending.
LIMIT = 8
#: i64. What the count is where the youngest frame goes on.
RESUMED_COUNT = 16
#: How many references the saved frames have, by heap type.
REFERENCE_COUNTS = {"func": 24, "extern": 28, "exn": 36, "any": 40}
#: How deep the call stack is in the host function that is called.
HOST_DEPTH = 32
#: The bit of it that says that the host is called by a tail call, whose frame is gone.
TAIL_CALLED = 1 << 31
#: i64. How many bytes all memories, and how many elements all tables, may take together, and one; 0
#: where they may take as much as there is; ASK where the host is asked each time.
MEMORY_LIMIT, TABLE_LIMIT = 48, 56
ASK = -1
#: Not 0: the host is told of each frame that is saved or entered again. Functions of other
#: instances may be among them then, which have been called through a table.
TELL = 64
#: Behind all functions in FUNCTIONS, what the host puts there: what is asked before something
#: grows (``added.ASKED``), and what is told of frames. Further ones are functions of others.
ASKED_PLACE, SAVED_PLACE, ENTERED_PLACE, HOST_PLACES = range(4)
#: What more than this takes there is not.
HIGHEST_LIMIT = 1 << 46
#: A byte for each data segment and then for each element segment: 1 once it has been dropped.
#: Behind them, where boundaries are counted, one for each function: 1 to stop where it begins, if
#: that is with neither a loop nor a call that may reach the host.
DROPPED = 72

#: What a rewritten module counts: nothing, its safepoints, or all boundaries, as many at each
#: safepoint as there were up to it. It is stopped at safepoints alone, whatever it counts.
NOTHING, SAFEPOINTS, BOUNDARIES = 0, 1, 2

# Bits of the mode.
UNWINDING, REWINDING, EXHAUSTED, INTERRUPTED, TRAPPED = 1, 2, 4, 8, 16

#: What the count is while rewinding: so many that it is beyond every limit.
REWINDING_COUNT = 1 << 62
NO_LIMIT = (1 << 55) - 1

#: A record without values, and the first one behind it.
BEFORE_RECORDS, RECORDS_AT = 0, 16
#: Of a record: its size, its function, its entry, and where its values begin.
RECORD_SIZE, RECORD_FUNCTION, RECORD_ENTRY, RECORD_VALUES = 0, 4, 8, 16
#: What each value of a record takes, and a vector twice.
SLOT = 8


def slots(types: Iterable[ValType]) -> int:
    """How many slots values of ``types`` take."""
    return sum(1 + (valtype is V128) for valtype in types)
