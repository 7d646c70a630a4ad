"""The tables that follow control: branches, basic blocks, calls, loops.

What was not counted outright follows from what was, since what comes into a place leaves it. A run
that stands still has come to a boundary that it has not begun, so of each frame one arrival may be
missing until it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator

from chiwawa.instrument.blocks import partition
from chiwawa.instrument.counting.observed import Observed, arms_of
from chiwawa.instrument.labels import row_labels
from chiwawa.instrument.monitors.listing import body_of, instruction_text, lowered_functions
from chiwawa.instrument.monitors.table import Row, Table, hundredths, percent
from chiwawa.lower.lowered import Lowered
from chiwawa.validate import Label


def blocks_of(lowered: Lowered) -> list[tuple[int, int]]:
    """The basic blocks of a function: the first and the last position of each, in order."""
    return [(block[0], block[-1]) for block in partition(lowered)]


def branches_table(observed: Observed) -> Table:
    """A row for each ``br_if`` and ``if``, and for each arm of each ``br_table``, that was begun.

    ``taken``: the branch, or the arm, or the first arm of an ``if``. That of an ``if`` is what was
    begun in its arms; where both are empty nobody knows, and the cells are None."""
    module = observed.module
    labels = row_labels(module)
    rows: list[Row] = []
    for lowered, counts in lowered_functions(observed):
        index, body = lowered.index, lowered.body
        back = _branches_back(observed, lowered, counts)
        for position, count in enumerate(counts):
            instr = body[position]
            op = instr.op
            if not count or not (op.forks or op.conditional or op.switches):
                continue
            place = (index, labels[index], instr.offset, instruction_text(module, instr, index))
            if op.forks:
                taken = _taken(lowered, counts, back, position)
                rest = None if taken is None else count - taken
                share = None if taken is None else percent(taken, count)
                rows.append((*place, None, taken, rest, share))
                continue
            arms = _arms(observed, lowered, position)
            if op.conditional:
                rows.append((*place, None, arms[1], arms[0], percent(arms[1], sum(arms))))
                continue
            total = sum(arms)
            for number, taken in enumerate(arms):
                arm = "default" if number == len(arms) - 1 else str(number)
                rows.append((*place, arm, taken, total - taken, percent(taken, total)))
    columns = ("function", "name", "offset", "instruction", "arm", "taken", "not taken", "share")
    return Table("branches", columns, rows)


def _arms(observed: Observed, lowered: Lowered, position: int) -> list[int]:
    instr = lowered.body[position]
    return observed.arms.get((lowered.index, instr.offset), [0] * arms_of(instr))


def _taken(lowered: Lowered, counts: list[int], back: dict[int, int], start: int) -> int | None:
    """How often the condition of the ``if`` at ``start`` held."""
    label = lowered.labels[start]
    then = _entered(lowered, counts, back, start + 1)
    if then is not None:
        return min(then, counts[start])
    if label.else_ is None:
        return None
    otherwise = _entered(lowered, counts, back, label.else_ + 1)
    return None if otherwise is None else max(counts[start] - otherwise, 0)


def _entered(
    lowered: Lowered, counts: list[int], back: dict[int, int], position: int
) -> int | None:
    """How often an arm was entered that begins at ``position``; None where it is empty."""
    if lowered.body[position].op.delimits:
        return None
    return max(counts[position] - back.get(position, 0), 0)


def _branches_back(observed: Observed, lowered: Lowered, counts: list[int]) -> dict[int, int]:
    """How often each loop, by position, was branched back to."""
    back: dict[int, int] = {}
    for position, labels in lowered.targets.items():
        if not any(label.loops for label in labels):
            continue
        # Of a branch that may not be taken, the arm that goes on has no label and comes first.
        arms = _arms(observed, lowered, position) or [counts[position]]
        for label, count in zip(labels, arms[-len(labels) :], strict=True):
            if label.loops:
                back[label.start] = back.get(label.start, 0) + count
    return back


def blocks_table(observed: Observed) -> Table:
    """A row for each basic block that was entered: from which offset to which, how many
    instructions it has, how often its first was begun."""
    labels = row_labels(observed.module)
    rows: list[Row] = []
    for lowered, counts in lowered_functions(observed):
        body, index = lowered.body, lowered.index
        for first, last in blocks_of(lowered):
            if counts[first]:
                size = sum(lowered.reached[first : last + 1])
                offsets = body[first].offset, body[last].offset
                rows.append((index, labels[index], *offsets, size, counts[first]))
    columns = ("function", "name", "first offset", "last offset", "instructions", "entered")
    return Table("blocks", columns, rows)


def calls_table(observed: Observed) -> Table:
    """A row for each function called from each call: of an indirect call, one for each target. A
    call that traps before it enters anything (an element that is null, say) has no row."""
    labels = row_labels(observed.module)
    rows: list[Row] = []
    for index in sorted(observed.counts):
        counts = observed.counts[index]
        for position, instr in enumerate(body_of(observed.module, index)):
            op = instr.op
            if not counts[position] or not op.calls:
                continue
            place = (index, labels[index], instr.offset)
            if not op.indirect:
                callee = instr.imm[0]
                rows.append((*place, "direct", callee, labels[callee], counts[position]))
            else:
                targets = observed.targets.get((index, instr.offset), {})
                rows += [
                    (*place, "indirect", *_callee(target, labels), count)
                    for target, count in sorted(targets.items(), key=_hosts_last)
                ]
    columns = ("caller", "caller name", "offset", "kind", "callee", "callee name", "count")
    return Table("calls", columns, rows)


def _callee(target: int | None, labels: list[str]) -> tuple[int | None, str]:
    return (None, "host") if target is None else (target, labels[target])


def _hosts_last(item: tuple[int | None, int]) -> tuple[bool, int]:
    target = item[0]
    return target is None, target or 0


def loops_table(observed: Observed) -> Table:
    """A row for each loop that was come to. ``depth`` is how many loops of the function it stands
    in, itself included. ``arrivals`` is how often it was begun, branches back included, ``entries``
    how often by falling into it, ``mean`` the arrivals an entry."""
    labels = row_labels(observed.module)
    rows: list[Row] = []
    for lowered, counts in lowered_functions(observed):
        index = lowered.index
        back = _branches_back(observed, lowered, counts)
        for label, depth in _loops(lowered):
            arrivals = counts[label.start]
            if not arrivals:
                continue
            # Who stands at the loop's head after a branch back has not begun it again yet. But a
            # loop that came in from a part of the run that nobody counted was not entered.
            entries = max(arrivals - back.get(label.start, 0), 0 if observed.gaps else 1)
            offset = lowered.body[label.start].offset
            mean = hundredths(arrivals, entries)
            rows.append((index, labels[index], offset, depth, entries, arrivals, mean))
    columns = ("function", "name", "offset", "depth", "entries", "arrivals", "mean")
    return Table("loops", columns, rows)


def _loops(lowered: Lowered) -> Iterator[tuple[Label, int]]:
    """The loops in order, each with how many stand around it and itself."""
    around: list[Label] = []
    for start in sorted(lowered.labels):
        label = lowered.labels[start]
        if not label.loops:
            continue
        while around and around[-1].end < start:
            around.pop()
        around.append(label)
        yield label, len(around)
