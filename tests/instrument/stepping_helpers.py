"""What monitors ought to count, found the slow way: by stopping the interpreter, without any
instruments, before each instruction, and looking at its snapshot."""

from __future__ import annotations

from collections.abc import Sequence

from chiwawa import api
from chiwawa.instrument.counting.observed import Observed
from chiwawa.instrument.monitors.listing import body_of, imported_functions
from chiwawa.module import Instr, Module
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.errors import Trap
from chiwawa_runtime.state.snapshot import FuncIdx, Snapshot
from chiwawa_runtime.state.types import PAGE


def stepped(
    module: Module, name: str, args: Sequence[object], imports: Imports
) -> tuple[Observed, str | None]:
    """What happens in the export ``name``, which needs no start function, and the message of the
    trap that ends it."""
    imported = imported_functions(module)
    code = {
        index: {i.offset: (position, i) for position, i in enumerate(body_of(module, index))}
        for index in range(imported, imported + len(module.funcs))
    }
    observed = Observed(module)
    run = api.start(module, name, args, imports, path="interp", granularity="instruction", count=1)
    try:
        while not run.go():
            run.requests.take()
            snapshot = run.snapshot()
            frame = snapshot.frames[0]
            position, instr = code[frame.function][frame.offset]
            counts = observed.counts.setdefault(frame.function, [0] * len(code[frame.function]))
            counts[position] += 1
            look(observed, snapshot, instr)
            assert run.requests.passed is not None
            run.requests.stop_at(run.requests.passed + 1)
    except Trap as trap:
        return observed, trap.message
    return observed, None


def look(observed: Observed, snapshot: Snapshot, instr: Instr) -> None:
    """Note what the instruction, which is about to be executed, is going to do."""
    frame = snapshot.frames[0]
    place = frame.function, frame.offset
    operands = [value for _, value in frame.stack]
    node = observed.tree
    for each in reversed(snapshot.frames):
        node = node.child(each.function)
    if not node.instructions and node.parent is observed.tree:
        node.calls += 1
    node.instructions += 1
    name = instr.op.name
    if name == "br_if":
        observed.arms.setdefault(place, [0, 0])[bool(operands[-1])] += 1
    elif name == "br_table":
        (table,) = instr.imm
        last = len(table.labels)
        arm = min(number(operands[-1]), last)
        observed.arms.setdefault(place, [0] * (last + 1))[arm] += 1
    elif name == "call":
        node.child(instr.imm[0]).calls += 1
    elif name == "call_indirect":
        elements = snapshot.tables[instr.imm[1]].elements
        index = number(operands[-1])
        target = elements[index] if index < len(elements) else None
        if isinstance(target, FuncIdx):
            targets = observed.targets.setdefault(place, {})
            targets[target.index] = targets.get(target.index, 0) + 1
            node.child(target.index).calls += 1
    elif instr.op.width:
        (memarg,) = instr.imm
        storing = "store" in name
        at = number(operands[-2 if storing else -1]) + memarg.offset
        touch(observed, memarg.memidx, at, instr.op.width, 1 if storing else 0)
    elif name == "memory.grow":
        ask(observed, instr.imm[0], name, number(operands[-1]))
    elif name in ("memory.fill", "memory.init", "memory.copy"):
        to = instr.imm[1] if name == "memory.init" else instr.imm[0]
        at, source, size = map(number, operands[-3:])
        ask(observed, to, name, size)
        touch(observed, to, at, size, 1)
        if name == "memory.copy":
            touch(observed, instr.imm[1], source, size, 0)


def number(value: object) -> int:
    assert isinstance(value, int)
    return value


def ask(observed: Observed, memory: int, name: str, amount: int) -> None:
    asked = observed.bulk.setdefault((memory, name), [0, 0])
    asked[0] += 1
    asked[1] += amount


def touch(observed: Observed, memory: int, at: int, size: int, kind: int) -> None:
    """``size`` bytes from ``at`` are read (``kind`` 0) or written (1)."""
    if size:
        for page in range(at // PAGE, (at + size - 1) // PAGE + 1):
            observed.pages.setdefault(memory, {}).setdefault(page, [0, 0])[kind] += 1
