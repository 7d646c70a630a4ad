"""The monitors: what each is called, what it needs counted, and its table.

A table is a pure function of what was observed: the same counts give the same table, whichever path
counted. Rows that tie are ordered by function index, then by code offset.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from chiwawa.instrument.counting.observed import Node, Observed
from chiwawa.instrument.labels import clipped, global_label, row_labels
from chiwawa.instrument.monitors.control import (
    blocks_table,
    branches_table,
    calls_table,
    loops_table,
)
from chiwawa.instrument.monitors.listing import body_of, instruction_text
from chiwawa.instrument.monitors.table import Row, Table, percent
from chiwawa.lower.lowered import Spaces, lower
from chiwawa.opcodes import BY_NAME, Op
from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.state.types import PAGE

#: How many rows of the hottest instructions people are shown.
_HOTTEST = 50


@dataclass(frozen=True, slots=True)
class Monitor:
    """``what`` is one line for people. ``needs`` are the fields of ``Observed`` that the table
    reads: ``counts``, ``arms``, ``targets``, ``pages`` (with ``bulk``), ``tree``."""

    name: str
    what: str
    needs: frozenset[str]
    table: Callable[[Observed], Table]


def table(name: str, observed: Observed) -> Table:
    """The table of the monitor ``name``. Raises BadInput where there is no such monitor."""
    if name not in MONITORS:
        raise BadInput(f"unknown monitor {name!r}: there are {', '.join(MONITORS)}")
    result = MONITORS[name].table(observed)
    if not observed.gaps:
        return result
    gaps = "1 part" if observed.gaps == 1 else f"{observed.gaps} parts"
    note = f"{gaps} of the run went uncounted"
    return replace(result, note=note if result.note is None else f"{result.note}; {note}")


def _coverage(observed: Observed) -> Table:
    """Of each defined function, whether it ran or not, how many of the instructions that can be
    reached were begun; then all together. Of none, the percentage is None."""
    module = observed.module
    labels = row_labels(module)
    spaces = Spaces.of(module)
    rows: list[Row] = []
    all_reached = all_executed = 0
    for index in range(spaces.imported_funcs, len(labels)):
        reached = sum(lower(spaces, index).reached)
        executed = sum(map(bool, observed.counts.get(index, ())))
        share = percent(executed, reached)
        rows.append((index, labels[index], reached, executed, share))
        all_reached += reached
        all_executed += executed
    share = percent(all_executed, all_reached)
    rows.append((None, "total", all_reached, all_executed, share))
    return Table("coverage", ("function", "name", "instructions", "executed", "percent"), rows)


def _globals(observed: Observed) -> Table:
    """How often the module's own code read and wrote each global."""
    module = observed.module
    reads: Counter[int] = Counter()
    writes: Counter[int] = Counter()
    for index, counts in observed.counts.items():
        for instr, count in zip(body_of(module, index), counts, strict=True):
            if count and "globalidx" in instr.op.immediates:
                counter = writes if instr.op.writes else reads
                counter[instr.imm[0]] += count
    rows: list[Row] = []
    for index, kind in enumerate(module.global_types()):
        name = clipped(global_label(module, index))
        mutable = "yes" if kind.mutable else "no"
        rows.append((index, name, str(kind.type), mutable, reads[index], writes[index]))
    return Table("globals", ("global", "name", "type", "mutable", "reads", "writes"), rows)


def _hotness(observed: Observed) -> Table:
    """Every instruction that was begun, the most often begun first."""
    module = observed.module
    labels = row_labels(module)
    found = [
        (-count, index, position)
        for index, counts in observed.counts.items()
        for position, count in enumerate(counts)
        if count
    ]
    total = -sum(count for count, _, _ in found)
    bodies = {index: body_of(module, index) for index in observed.counts}
    rows: list[Row] = []
    for negative, index, position in sorted(found):
        instr = bodies[index][position]
        text = instruction_text(module, instr, index)
        share = percent(-negative, total)
        rows.append((index, labels[index], instr.offset, text, -negative, share))
    columns = ("function", "name", "offset", "instruction", "count", "share")
    more = len(rows) - _HOTTEST
    note = f"{more} more" if more > 0 else None
    return Table("hotness", columns, rows, note, shown=_HOTTEST)


def _icount(observed: Observed) -> Table:
    """How many instructions were begun in all, and in each function that ran, without those of its
    callees."""
    labels = row_labels(observed.module)
    counts = {index: sum(counts) for index, counts in observed.counts.items()}
    total = sum(counts.values())
    rows: list[Row] = [(None, "all", total, percent(total, total))]
    for index in sorted(counts, key=lambda index: (-counts[index], index)):
        if counts[index]:
            rows.append((index, labels[index], counts[index], percent(counts[index], total)))
    return Table("icount", ("function", "name", "instructions", "share"), rows)


def _memory(observed: Observed) -> Table:
    """A row for each page that was touched, then one for each kind of bulk instruction that was
    begun, with how much was asked of it in ``unit``."""
    rows: list[Row] = []
    for memory in sorted(observed.pages):
        for page, (reads, writes) in sorted(observed.pages[memory].items()):
            rows.append((memory, "page", page, hex(page * PAGE), reads, writes, None, None, None))
    for memory, name in sorted(observed.bulk):
        calls, amount = observed.bulk[memory, name]
        grows = any(extent.verb == "grow" for extent in BY_NAME[name].extents)
        unit = "pages" if grows else "bytes"
        rows.append((memory, name, None, None, None, None, calls, amount, unit))
    columns = (
        *("memory", "what", "page", "address", "reads", "writes"),
        *("calls", "amount", "unit"),
    )
    return Table("memory", columns, rows)


def opcode_counts(observed: Observed) -> list[tuple[str, int]]:
    """How often each opcode was begun, the most frequent first, then by name."""
    found: Counter[Op] = Counter()
    for index, counts in observed.counts.items():
        for instr, count in zip(body_of(observed.module, index), counts, strict=True):
            if count:
                found[instr.op] += count
    return sorted(((op.name, found[op]) for op in found), key=lambda item: (-item[1], item[0]))


def _opcodes(observed: Observed) -> Table:
    found = opcode_counts(observed)
    total = sum(count for _, count in found)
    rows: list[Row] = [(name, count, percent(count, total)) for name, count in found]
    return Table("opcodes", ("opcode", "count", "share"), rows)


def _profile(observed: Observed) -> Table:
    """The calling-context tree, parents first, children by function index. ``self`` are the
    instructions begun in the function itself, ``total`` those of all that it called too."""
    labels = row_labels(observed.module)
    nodes = list(observed.tree.walk())
    depths: dict[Node, int] = {observed.tree: 0}
    for node in nodes[1:]:
        assert node.parent is not None
        depths[node] = depths[node.parent] + 1
    totals = {node: node.instructions for node in nodes}
    for node in reversed(nodes[1:]):
        assert node.parent is not None
        totals[node.parent] += totals[node]
    whole = totals[observed.tree]
    rows: list[Row] = []
    for node in nodes[1:]:
        own, total = node.instructions, totals[node]
        name = labels[node.function]
        share = percent(total, whole)
        rows.append((node.function, depths[node], name, node.calls, own, total, share))
    columns = ("function", "depth", "name", "calls", "self", "total", "share")
    return Table("profile", columns, rows, nested=True)


MONITORS: dict[str, Monitor] = {
    monitor.name: monitor
    for monitor in (
        Monitor(
            "branches",
            "how often each branch was taken",
            frozenset(("counts", "arms")),
            branches_table,
        ),
        Monitor(
            "blocks",
            "how often each basic block was entered",
            frozenset(("counts",)),
            blocks_table,
        ),
        Monitor(
            "calls",
            "who called whom, and how often",
            frozenset(("counts", "targets")),
            calls_table,
        ),
        Monitor(
            "coverage",
            "how much of each function was executed",
            frozenset(("counts",)),
            _coverage,
        ),
        Monitor(
            "globals",
            "reads and writes of each global",
            frozenset(("counts",)),
            _globals,
        ),
        Monitor(
            "hotness",
            "the instructions most often executed",
            frozenset(("counts",)),
            _hotness,
        ),
        Monitor(
            "icount",
            "instructions executed, in all and by function",
            frozenset(("counts",)),
            _icount,
        ),
        Monitor(
            "loops",
            "how often each loop was entered and went round",
            frozenset(("counts", "arms")),
            loops_table,
        ),
        Monitor(
            "memory",
            "reads and writes by page; grow, fill, copy, init",
            frozenset(("pages",)),
            _memory,
        ),
        Monitor(
            "opcodes",
            "instructions executed, by opcode",
            frozenset(("counts",)),
            _opcodes,
        ),
        Monitor(
            "profile",
            "instructions executed, by chain of calls",
            frozenset(("tree",)),
            _profile,
        ),
    )
}
