"""Rules for instructions that compute: what they take stays pending as expressions, and so does
what they give, until something consumes it."""

from __future__ import annotations

import ast

from chiwawa.aot.builder import Builder, Rule
from chiwawa.aot.operands import Operand
from chiwawa.meanings import fold
from chiwawa.meanings.environment import environment
from chiwawa.meanings.fold import Node, const, is_atom, is_const, name
from chiwawa.meanings.rows import NO_IMMEDIATES, VARIABLES, high, traits_of
from chiwawa.module import Instr
from chiwawa.opcodes import canonical
from chiwawa_runtime.state.heap import fields_of

#: Python's compiler and astor recurse into expressions: deeper ones go through a variable.
MAX_NESTING = 24


def by_meaning(builder: Builder, position: int, instr: Instr) -> None:
    """The rule of every instruction that has a meaning in the instruction table."""
    op = canonical(instr.op) if builder.options.canonical_nans else instr.op
    traits = traits_of(op)
    operands = builder.operands
    stack = operands.stack
    first = len(stack) - traits.arity
    if traits.traps or traits.writes:
        operands.spill_for_effect(first, traits.traps, traits.writes)
    locals_ = slots = depth = 0
    state, cell = traits.reads, False
    trap = instr.offset if traits.traps else None
    nodes = []
    for height in range(first, len(stack)):
        operand = stack[height] or operands.operand(height)
        node = operand.node
        if (
            operand.depth > MAX_NESTING
            or (traits.counts[height - first] > 1 and not is_atom(node))
            or (traits.lazy and operand.trap is not None)
        ):
            operands.spill(height)
            operand = stack[height] or operands.operand(height)
            node = operand.node
        nodes.append(node)
        locals_ |= operand.locals
        slots |= operand.slots << (height - first)
        state |= operand.state
        cell |= operand.cell
        if operand.depth > depth:
            depth = operand.depth
        if trap is None:
            trap = operand.trap
    env = environment(instr, VARIABLES, None) if op.immediates else NO_IMMEDIATES
    node = traits.template(nodes, env)
    if first < operands.settled:
        operands.cut(first)
    else:
        del stack[first:]
    if isinstance(node, ast.stmt):
        builder.emit(node, trap)
        return
    lowered = builder.lowered
    after = lowered.stacks[position + 1]
    if lowered.heights[position + 1] == first or after is None:
        builder.emit(ast.Expr(node), trap)
        return
    if traits.rounds:
        push_rounded(builder, node, trap)
        return
    top = traits.high if traits.high is not None else high(after[0])
    if top is not None:
        if node.lo is None:
            node.lo, node.hi = 0, top
        elif node.hi > top:
            node.hi = top
    stack.append(Operand(node, locals_, slots, state, trap, depth + 1, cell))
    if traits.writes:
        operands.spill(len(stack) - 1)


def push_rounded(builder: Builder, node: Node, trap: int | None) -> None:
    """Push what ``node`` is, ``f32_round`` of something or a function of that, with the rounding in
    line: storing to a cell of four bytes and reading it again is what ``f32_round`` does, at a
    third of the cost of a call."""
    operands = builder.operands
    for height in range(operands.settled, len(operands.stack)):
        operand = operands.stack[height]
        if operand is not None and operand.cell:
            operands.spill(height)
    cell = ast.Subscript(ast.Name("f32_cell", fold.LOAD), const(0), fold.STORE)
    read = fold.subscript(name("f32_cell"), const(0))
    rounding, result = node, read
    if not fold.is_call(node, "f32_round"):
        (rounding,) = node.args
        node.args, result = [read], node
    builder.emit(ast.Assign([cell], rounding.args[0]), trap)
    operands.push(Operand(result, state=True, cell=True))


def nop(builder: Builder, position: int, instr: Instr) -> None:
    pass


def drop(builder: Builder, position: int, instr: Instr) -> None:
    operands = builder.operands
    operand = operands.pop()
    if operand.trap is not None:
        operands.spill_where(trap=True)
        builder.emit(ast.Expr(operand.node), operand.trap)


def local_get(builder: Builder, position: int, instr: Instr) -> None:
    index: int = instr.imm[0]
    read = name(f"l{index}", builder.local_high[index])
    builder.operands.push(Operand(read, locals_=1 << index))


def local_set(builder: Builder, position: int, instr: Instr) -> None:
    index: int = instr.imm[0]
    operands = builder.operands
    operand = operands.pop()
    operands.spill_where(local=1 << index, trap=operand.trap is not None)
    operands.assign(f"l{index}", operand)


def local_tee(builder: Builder, position: int, instr: Instr) -> None:
    index: int = instr.imm[0]
    operands = builder.operands
    operand = operands.pop()
    operands.spill_where(local=1 << index, trap=operand.trap is not None)
    operands.assign(f"l{index}", operand)
    node = operand.node
    if is_const(node):
        operands.push(Operand(node))
        return
    top = builder.local_high[index]
    read = name(f"l{index}", top)
    if top is not None and node.lo is not None and node.lo >= 0 and node.hi < top:
        read.hi = node.hi
    operands.push(Operand(read, locals_=1 << index))


def struct_new(builder: Builder, position: int, instr: Instr) -> None:
    make(builder, instr, len(fields_of(builder.options.spaces.types[instr.imm[0]])))


def array_new_fixed(builder: Builder, position: int, instr: Instr) -> None:
    make(builder, instr, instr.imm[1])


def make(builder: Builder, instr: Instr, count: int) -> None:
    """A structure or an array of the topmost operands: now, since it is another one each time."""
    operands = builder.operands
    operands.spill_where(trap=True)
    base = len(operands.stack) - count
    values = operands.nodes(base)
    operands.cut(base)
    operands.spill_readers(base)
    made = ast.List([name(f"type{instr.imm[0]}"), *values], fold.LOAD)
    builder.emit(ast.Assign([ast.Name(f"s{base}", fold.STORE)], made))
    operands.push_typed(1)


def wide(builder: Builder, position: int, instr: Instr) -> None:
    """Of several results, by the function that is called as the instruction is."""
    operands, op = builder.operands, instr.op
    operands.spill_where(trap=True)
    base = len(operands.stack) - len(op.params)
    args = operands.nodes(base)
    operands.cut(base)
    operands.spill_readers(base)
    count = len(op.results)
    targets: list[ast.expr] = [ast.Name(f"s{base + i}", fold.STORE) for i in range(count)]
    value = fold.call(op.name.replace(".", "_"), *args)
    builder.emit(ast.Assign([ast.Tuple(targets, fold.STORE)], value))
    operands.push_typed(count)


#: What has no meaning in the instruction table, and neither changes control nor calls.
RULES: dict[str, Rule] = {
    "nop": nop,
    "drop": drop,
    "local.get": local_get,
    "local.set": local_set,
    "local.tee": local_tee,
    "i64.add128": wide,
    "i64.sub128": wide,
    "i64.mul_wide_s": wide,
    "i64.mul_wide_u": wide,
    "struct.new": struct_new,
    "array.new_fixed": array_new_fixed,
}
