"""Rules for calls: of functions that can be suspended, which are generators, and of those that
cannot, which are plain functions."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import partial

from chiwawa.aot.builder import STAYS, Builder, Rule, leave, return_operands
from chiwawa.aot.ir import Br, Call
from chiwawa.aot.operands import FEW
from chiwawa.meanings import fold
from chiwawa.meanings.fold import Node, const, name
from chiwawa.module import Instr
from chiwawa_runtime.engine.code_rows import REPLACED
from chiwawa_runtime.engine.segments import weight


def call(builder: Builder, position: int, instr: Instr) -> None:
    index: int = instr.imm[0]
    options, operands = builder.options, builder.operands
    callee = options.names[index]
    imported = index < options.spaces.imported_funcs
    if not imported and index not in options.suspendable:
        call_plain(builder, position, instr.offset, callee)
        return
    count = len(options.spaces.funcs[index].functype.params)
    operands.spill_beneath(count)
    first = len(operands.stack) - count
    args = operands.nodes(first)
    operands.cut(first)
    deeper = depth(builder, imported)
    value = fold.apply(name(callee), [*args, deeper])
    if index in options.tailing:
        value = fold.call("tails", value, deeper)
    catches = builder.catches(position)
    suspendable(builder, position, Call(instr.offset, value, [], catches=catches))


def call_indirect(builder: Builder, position: int, instr: Instr) -> None:
    typeidx, tableidx = instr.imm

    def target(index: Node) -> Node:
        return fold.call("indirect", name(f"table{tableidx}"), index, name(f"type{typeidx}"))

    call_through(builder, position, instr, target)


def call_through(
    builder: Builder, position: int, instr: Instr, target: Callable[[Node], Node]
) -> None:
    """Call the function that ``target`` finds by the operand on top."""
    operands = builder.operands
    count = len(builder.lowered.calls[position].params) + 1
    operands.spill_beneath(count)
    first = len(operands.stack) - count
    found = target(operands.pop().node)
    args = operands.nodes(first)
    operands.cut(first)
    enter = fold.attribute(name("target"), "enter")
    value = fold.apply(enter, [*args, depth(builder, True)])
    direct = fold.apply(fold.attribute(name("target"), "direct"), args)
    catches = builder.catches(position)
    suspendable(builder, position, Call(instr.offset, value, [], found, direct, catches))


def return_call(builder: Builder, position: int, instr: Instr) -> None:
    """Say what is to be called, or call what is the host's, or cannot be suspended."""
    index: int = instr.imm[0]
    options = builder.options
    callee = options.names[index]
    imported = index < options.spaces.imported_funcs
    if not imported and index not in options.suspendable:
        builder.operands.spill_where(trap=True)
        leave(builder)
        if builder.sites.unwound is not None:
            builder.emit(fold.verbatim(f"{STAYS} = False"))
        call_plain(builder, position, REPLACED, callee)
        return_operands(builder)
        return
    args = last_operands(builder, len(options.spaces.funcs[index].functype.params))
    if imported:
        end_in_call(builder, instr, name(f"ref{index}"), args)
        return
    leave(builder)
    value = fold.call(
        "TailCall", name(callee), fold.bounded(ast.Tuple(args, fold.LOAD), None, None)
    )
    builder.steps.append(Br(builder.lowered.function, value, tail=True))


def return_call_indirect(builder: Builder, position: int, instr: Instr) -> None:
    typeidx, tableidx = instr.imm
    count = len(builder.options.spaces.types[typeidx].functype.params)
    *args, index = last_operands(builder, count + 1)
    target = fold.call("indirect", name(f"table{tableidx}"), index, name(f"type{typeidx}"))
    end_in_call(builder, instr, target, args)


def last_operands(builder: Builder, count: int) -> list[Node]:
    """The operands of a tail call, and what runs before it."""
    operands = builder.operands
    operands.spill_where(trap=True)
    first = len(operands.stack) - count
    nodes = operands.nodes(first)
    operands.cut(first)
    return nodes


def end_in_call(builder: Builder, instr: Instr, target: Node, args: list[Node]) -> None:
    """A tail call of what may be a function of the host's: then it is over behind this, and any
    other has not begun."""
    value = ast.YieldFrom(fold.call("tail_call", target, depth(builder, True), *args))
    builder.emit(ast.Assign([ast.Name("results", fold.STORE)], value), instr.offset)
    leave(builder)
    builder.steps.append(Br(builder.lowered.function, name("results"), tail=True))


def call_ref(builder: Builder, position: int, instr: Instr) -> None:
    call_through(builder, position, instr, partial(fold.call, "callable_reference"))


def return_call_ref(builder: Builder, position: int, instr: Instr) -> None:
    count = len(builder.options.spaces.types[instr.imm[0]].functype.params)
    *args, reference = last_operands(builder, count + 1)
    end_in_call(builder, instr, fold.call("callable_reference", reference), args)


def depth(builder: Builder, crossing: bool) -> Node:
    """The depth of the call stack that a callee starts at (see ``recursive_functions``), once its
    arguments have been taken from the operand stack. ``crossing``: it may be another instance's."""
    lowered = builder.lowered
    deeper = int(crossing)
    if lowered.index in builder.options.recursive:
        deeper = weight(len(lowered.locals) + len(builder.operands.stack))
    if not deeper:
        return name("depth")
    return fold.bounded(ast.BinOp(name("depth"), fold.ADD, const(deeper)), None, None)


def suspendable(builder: Builder, position: int, step: Call) -> None:
    """Append a call that may be suspended, and push its results. All operands beneath are in their
    variables, and those may be others when the call returns."""
    lowered, operands = builder.lowered, builder.operands
    operands.widen()
    builder.steps.append(step)
    count = len(lowered.calls[position].results)
    base = len(operands.stack)
    if count > FEW:
        step.targets = ["results"]
        operands.push_from_results(count)
        return
    following = lowered.body[position + 1]
    if (
        count == 1
        and following.op.sets_local
        and lowered.heights[position + 2] == base
        and position + 1 not in lowered.safepoints
        and not any(site.reads for site in builder.sites.at.get(position + 1, ()))
    ):
        # Nothing pending reads that local: what is beneath was spilled.
        step.targets = [f"l{following.imm[0]}"]
        builder.skipped = position + 1
        return
    step.targets = [f"s{base + i}" for i in range(count)]
    operands.push_typed(count)


def call_plain(builder: Builder, position: int, offset: int, callee: str) -> None:
    """A call that cannot be suspended: operands beneath may stay pending. ``offset`` is where the
    frame is that a trap in it shows."""
    functype = builder.lowered.calls[position]
    operands = builder.operands
    operands.spill_where(trap=True, state=True)
    base = len(operands.stack) - len(functype.params)
    count = len(functype.results)
    if count > FEW:
        operands.spill_below(base)
    args = operands.nodes(base)
    operands.cut(base)
    value = fold.apply(name(callee), args)
    catches = builder.catches(position)
    if count == 0:
        builder.emit(ast.Expr(value), offset, catches)
        return
    if count > FEW:
        builder.emit(ast.Assign([ast.Name("results", fold.STORE)], value), offset, catches)
        operands.push_from_results(count)
        return
    operands.spill_readers(base)
    targets: list[ast.expr] = [ast.Name(f"s{base + i}", fold.STORE) for i in range(count)]
    target = targets[0] if count == 1 else ast.Tuple(targets, fold.STORE)
    builder.emit(ast.Assign([target], value), offset, catches)
    operands.push_typed(count)


RULES: dict[str, Rule] = {
    "call": call,
    "call_indirect": call_indirect,
    "return_call": return_call,
    "return_call_indirect": return_call_indirect,
    "call_ref": call_ref,
    "return_call_ref": return_call_ref,
}
