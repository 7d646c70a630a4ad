"""A Wasm function as a tree of Python statements and control, before control becomes Python.

One pass over the lowered body. Operands stay pending as expressions until something consumes them;
what has an effect becomes a statement, and what that effect could change is first spilled into the
variable of its stack position, ``s0`` for the deepest. Before a safepoint or a call everything is
spilled, because a suspended frame is read from its variables.

A statement holds at most one instruction that can trap, and remembers its code offset: a line of
the generated file then names the instruction that a trap came from.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from chiwawa.aot.ir import (
    Block,
    Br,
    BrTable,
    Call,
    If,
    Loop,
    Plain,
    Poll,
    Step,
    jumps_away,
)
from chiwawa.aot.operands import FEW, MOST_PENDING, Operand, Operands
from chiwawa.aot.options import Options
from chiwawa.lower.lowered import Lowered
from chiwawa.lower.sites import Sites
from chiwawa.meanings import fold
from chiwawa.meanings.fold import Node, const, is_atom, is_const, name
from chiwawa.meanings.rows import NO_IMMEDIATES, environment, high, traits_of
from chiwawa.module import Instr
from chiwawa.opcodes import canonical
from chiwawa.validate import Label
from chiwawa_runtime.engine.segments import weight

#: Python's compiler and astor recurse into expressions: deeper ones go through a variable.
DEEPEST = 24


@dataclass(slots=True)
class Open:
    """A construct being read: its label, what encloses it, and its arms."""

    label: Label
    outer: list[Step]
    test: Node | None = None
    then: list[Step] = field(default_factory=list)


def build(lowered: Lowered, options: Options, sites: Sites) -> list[Step]:
    """The tree of a function, with what ``sites`` ask for in it."""
    return _Builder(lowered, options, sites).run()


class _Builder:
    def __init__(self, lowered: Lowered, options: Options, sites: Sites) -> None:
        self.lowered = lowered
        self.options = options
        self.sites = sites
        self.steps: list[Step] = []
        self.operands = Operands(lowered, self.emit)
        self.opened: list[Open] = []
        self.local_high = [high(t) for t in lowered.locals]
        #: The position of an instruction that was translated with the one before it.
        self.skipped = -1

    def run(self) -> list[Step]:
        lowered, operands = self.lowered, self.operands
        reached = lowered.reached
        for position, instr in enumerate(lowered.body):
            if reached[position]:
                operands.position = position
                if len(operands.stack) - operands.settled > MOST_PENDING:
                    operands.spill_below(len(operands.stack) - MOST_PENDING // 2)
                if position == self.skipped:
                    self.look(position, instr)
                    continue
                if instr.op.loops:
                    # It is arrived at inside, as often as it comes around.
                    self.loop(position, instr)
                self.arrive(position, instr)
                rule = RULES.get(instr.op.name)
                if rule is None:
                    self.apply(position, instr)
                else:
                    rule(self, position, instr)
            elif instr.op.delimits:
                RULES[instr.op.name](self, position, instr)
        return self.steps

    def arrive(self, position: int, instr: Instr) -> None:
        """What happens at a boundary: a safepoint, and what instruments look at."""
        if position in self.lowered.safepoints and self.options.polls:
            self.operands.spill_all()
            # A restored frame has whatever its checkpoint says.
            self.operands.widen()
            self.steps.append(Poll(instr.offset))
        self.look(position, instr)

    def look(self, position: int, instr: Instr) -> None:
        for site in self.sites.at.get(position, ()):
            if site.reads:
                self.operands.spill_all()
            self.emit(fold.verbatim(site.source), instr.offset)
            if site.writes:
                self.operands.widen()

    def emit(self, node: ast.stmt, offset: int | None = None) -> None:
        self.steps.append(Plain(node, offset))

    # Instructions with a meaning.

    def apply(self, position: int, instr: Instr) -> None:
        op = canonical(instr.op) if self.options.canonical_nans else instr.op
        traits = traits_of(op)
        stack = self.operands.stack
        traps = traits.traps
        first = len(stack) - traits.arity
        if traps or traits.writes:
            for height in range(self.operands.settled, len(stack)):
                operand = stack[height]
                if operand is not None and (
                    (traps and operand.trap is not None)
                    or (
                        traits.writes
                        and height < first
                        and (operand.state or operand.trap is not None)
                    )
                ):
                    self.operands.spill(height)
        locals_ = slots = depth = 0
        state, cell = traits.reads, False
        trap = instr.offset if traps else None
        nodes = []
        for height in range(first, len(stack)):
            operand = stack[height] or self.operands.operand(height)
            node = operand.node
            if (
                operand.depth > DEEPEST
                or (traits.counts[height - first] > 1 and not is_atom(node))
                or (traits.lazy and operand.trap is not None)
            ):
                self.operands.spill(height)
                operand = stack[height] or self.operands.operand(height)
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
        env = environment(instr) if op.immediates else NO_IMMEDIATES
        node = traits.template(nodes, env)
        if first < self.operands.settled:
            self.operands.cut(first)
        else:
            del stack[first:]
        if isinstance(node, ast.stmt):
            self.emit(node, trap)
            return
        after = self.lowered.stacks[position + 1]
        if self.lowered.heights[position + 1] == first or after is None:
            self.emit(ast.Expr(node), trap)
            return
        if traits.rounds:
            self.round(node, trap)
            return
        top = traits.high if traits.high is not None else high(after[0])
        if top is not None:
            if node.lo is None:
                node.lo, node.hi = 0, top
            elif node.hi > top:
                node.hi = top
        stack.append(Operand(node, locals_, slots, state, trap, depth + 1, cell))
        if traits.writes:
            self.operands.spill(len(stack) - 1)

    def round(self, node: Node, trap: int | None) -> None:
        """What ``node`` is, ``f32_round`` of something or a function of that, with the rounding in
        line: storing to a cell of four bytes and reading it again is what ``f32_round`` does, at a
        third of the cost of a call."""
        for height in range(self.operands.settled, len(self.operands.stack)):
            operand = self.operands.stack[height]
            if operand is not None and operand.cell:
                self.operands.spill(height)
        cell = ast.Subscript(ast.Name("f32_cell", fold.LOAD), const(0), fold.STORE)
        read = fold.subscript(name("f32_cell"), const(0))
        rounding, result = node, read
        if not fold.is_call(node, "f32_round"):
            (rounding,) = node.args
            node.args, result = [read], node
        self.emit(ast.Assign([cell], rounding.args[0]), trap)
        self.operands.stack.append(Operand(result, state=True, cell=True))

    # Variables and operands.

    def nop(self, position: int, instr: Instr) -> None:
        pass

    def local_get(self, position: int, instr: Instr) -> None:
        index: int = instr.imm[0]
        self.operands.push(Operand(name(f"l{index}", self.local_high[index]), locals_=1 << index))

    def local_set(self, position: int, instr: Instr) -> None:
        index: int = instr.imm[0]
        operand = self.operands.pop()
        self.operands.spill_where(local=1 << index, trap=operand.trap is not None)
        self.operands.assign(f"l{index}", operand)

    def local_tee(self, position: int, instr: Instr) -> None:
        index: int = instr.imm[0]
        operand = self.operands.pop()
        self.operands.spill_where(local=1 << index, trap=operand.trap is not None)
        self.operands.assign(f"l{index}", operand)
        node = operand.node
        if is_const(node):
            self.operands.push(Operand(node))
        else:
            hi = self.local_high[index]
            read = name(f"l{index}", hi)
            if hi is not None and node.lo is not None and node.lo >= 0 and node.hi < hi:
                read.hi = node.hi
            self.operands.push(Operand(read, locals_=1 << index))

    def drop(self, position: int, instr: Instr) -> None:
        operand = self.operands.pop()
        if operand.trap is not None:
            self.operands.spill_where(trap=True)
            self.emit(ast.Expr(operand.node), operand.trap)

    # Control.

    def unreachable(self, position: int, instr: Instr) -> None:
        self.operands.spill_where(trap=True)
        self.emit(ast.Expr(fold.call("unreachable")), instr.offset)

    def open(self, position: int, outer: list[Step], test: Node | None = None) -> None:
        self.opened.append(Open(self.lowered.labels[position], outer, test))
        self.steps = []

    def block(self, position: int, instr: Instr) -> None:
        self.operands.spill_all()
        self.open(position, self.steps)

    def loop(self, position: int, instr: Instr) -> None:
        self.operands.spill_all()
        label = self.lowered.labels[position]
        self.opened.append(Open(label, self.steps))
        self.steps = []
        # A loop's parameters may have changed when it comes around.
        self.operands.cut(label.height)
        self.operands.typed(len(label.params))

    def if_(self, position: int, instr: Instr) -> None:
        self.prepare(1)
        self.open(position, self.steps, self.operands.pop().node)

    def settle(self, label: Label) -> None:
        """Put the results of ``label``, which are on the stack, into their variables."""
        self.operands.spill_where(trap=True)
        self.operands.spill_top(len(label.results))

    def else_(self, position: int, instr: Instr) -> None:
        if not self.opened or self.opened[-1].label.else_ != position:
            return
        opened = self.opened[-1]
        if not jumps_away(self.steps):
            self.settle(opened.label)
        opened.then, self.steps = self.steps, []
        self.operands.cut(opened.label.height)
        self.operands.typed(len(opened.label.params))

    def end(self, position: int, instr: Instr) -> None:
        if position == self.lowered.function.end:
            if not jumps_away(self.steps):
                self.give_back()
            return
        if not self.opened or self.opened[-1].label.end != position:
            return
        opened = self.opened.pop()
        label, body = opened.label, self.lowered.body
        steps, self.steps = self.steps, opened.outer
        if not jumps_away(steps):
            self.steps = steps
            self.settle(label)
            self.steps = opened.outer
        step: Step
        if label.loops:
            step = Loop(label, steps)
        elif label.forks:
            if label.else_ is None:
                then, orelse = steps, []
            else:
                then, orelse = opened.then, steps
            assert opened.test is not None
            middle = label.end if label.else_ is None else label.else_
            step = If(opened.test, then, orelse, body[middle].offset, body[label.end].offset)
            if label.targeted:
                step = Block(label, [step])
        else:
            step = Block(label, steps)
        self.steps.append(step)
        self.operands.cut(label.height)
        self.operands.typed(len(label.results))

    def carry(self, label: Label) -> list[Plain]:
        """Assignments that move what a branch carries to where its target expects it."""
        source = len(self.operands.stack) - label.arity
        if source == label.height:
            return []
        if label.arity > FEW:
            span = self.operands.span
            to = span(label.height, label.height + label.arity)
            return [Plain(fold.verbatim(f"{to} = {span(source, source + label.arity)}"))]
        return [
            Plain(ast.Assign([ast.Name(f"s{height}", fold.STORE)], node))
            for height, node in enumerate(self.operands.nodes(source), label.height)
        ]

    def give_back(self) -> None:
        """Return from the function, with the results on the stack."""
        self.operands.spill_where(trap=True)
        if self.sites.exit is not None:
            self.emit(fold.verbatim(self.sites.exit))
        count = len(self.lowered.type.results)
        first = len(self.operands.stack) - count
        values = self.operands.nodes(first)
        if not values:
            node = None
        elif self.operands.untouched(count):
            node = name("results")
        elif count == 1:
            node = values[0]
        else:
            node = fold.bounded(ast.Tuple(values, fold.LOAD), None, None)
        self.steps.append(Br(self.lowered.function, node))

    def br(self, position: int, instr: Instr) -> None:
        (label,) = self.lowered.targets[position]
        if label.outermost:
            self.give_back()
            return
        self.operands.spill_where(trap=True)
        self.operands.spill_top(label.arity)
        self.steps += self.carry(label)
        self.steps.append(Br(label))

    def return_(self, position: int, instr: Instr) -> None:
        self.give_back()

    def br_if(self, position: int, instr: Instr) -> None:
        (label,) = self.lowered.targets[position]
        test = self.condition(label.arity)
        outer, self.steps = self.steps, []
        if label.outermost:
            self.give_back()
        else:
            self.steps += self.carry(label)
            self.steps.append(Br(label))
        outer.append(If(test, self.steps, [], instr.offset + 1, instr.offset + 1))
        self.steps = outer

    def condition(self, arity: int) -> Node:
        """The condition or index on top; what a branch would carry is in its variables."""
        self.operands.spill_where(trap=True)
        self.operands.spill_top(arity, above=1)
        return self.operands.pop().node

    def br_table(self, position: int, instr: Instr) -> None:
        labels = self.lowered.targets[position]
        top = self.operands.stack[-1]
        if top is None or not is_atom(top.node):
            self.operands.spill(len(self.operands.stack) - 1)
        index = self.condition(labels[-1].arity)
        heights = {label.height for label in labels if not label.outermost}
        if any(label.outermost for label in labels) or (
            labels[-1].arity and heights != {len(self.operands.stack) - labels[-1].arity}
        ):
            self.steps += self.chain(index, labels)
            return
        self.steps.append(BrTable(index, labels))

    def chain(self, index: Node, labels: tuple[Label, ...]) -> list[Step]:
        """A table whose branches carry operands to different places, as a tree of tests."""

        def arm(label: Label) -> list[Step]:
            outer, self.steps = self.steps, []
            if label.outermost:
                self.give_back()
            else:
                self.steps += self.carry(label)
                self.steps.append(Br(label))
            result, self.steps = self.steps, outer
            return result

        def among(low: int, above: int) -> list[Step]:
            if len(set(labels[low:above])) == 1:
                return arm(labels[low])
            middle = (low + above) // 2
            test = fold.compare(ast.Lt(), index, const(middle))
            return [If(test, among(low, middle), among(middle, above), 0, 0)]

        return among(0, len(labels))

    # Calls.

    def call(self, position: int, instr: Instr) -> None:
        index: int = instr.imm[0]
        functype = self.options.spaces.funcs[index]
        callee = self.options.names[index]
        imported = index < self.options.spaces.imported_funcs
        if not imported and index not in self.options.suspendable:
            self.call_plain(position, instr, callee)
            return
        count = len(functype.params)
        self.prepare(count)
        first = len(self.operands.stack) - count
        args = self.operands.nodes(first)
        self.operands.cut(first)
        value = fold.apply(name(callee), [*args, self.depth(imported)])
        self.suspend(position, instr, value, not imported)

    def call_indirect(self, position: int, instr: Instr) -> None:
        typeidx, tableidx = instr.imm
        functype = self.options.spaces.types[typeidx]
        count = len(functype.params) + 1
        self.prepare(count)
        first = len(self.operands.stack) - count
        index = self.operands.pop().node
        args = self.operands.nodes(first)
        self.operands.cut(first)
        target = fold.call("indirect", name(f"table{tableidx}"), index, name(f"type{typeidx}"))
        enter = fold.attribute(name("target"), "enter")
        value = fold.apply(enter, [*args, self.depth(True)])
        direct = fold.apply(fold.attribute(name("target"), "direct"), args)
        self.suspend(position, instr, value, True)
        call = self.steps[-1]
        assert isinstance(call, Call)
        call.target, call.direct = target, direct

    def prepare(self, count: int) -> None:
        """Everything beneath a call's operands into variables; nothing that traps among them."""
        self.operands.spill_where(trap=True)
        self.operands.spill_below(len(self.operands.stack) - count)

    def depth(self, crossing: bool) -> Node:
        """The depth that a callee starts at (see ``recursive_functions``), once its arguments
        have been taken from the stack."""
        deeper = int(crossing)
        if self.lowered.index in self.options.recursive:
            deeper = weight(len(self.lowered.locals) + len(self.operands.stack))
        if not deeper:
            return name("depth")
        return fold.bounded(ast.BinOp(name("depth"), fold.ADD, const(deeper)), None, None)

    def suspend(self, position: int, instr: Instr, value: Node, resumes: bool) -> None:
        count = len(self.lowered.calls[position].results)
        base = len(self.operands.stack)
        self.operands.widen()
        if count > FEW:
            self.steps.append(Call(instr.offset, value, ["results"], resumes))
            self.operands.wide(count)
            return
        targets = [f"s{base + i}" for i in range(count)]
        following = self.lowered.body[position + 1]
        if (
            count == 1
            and following.op.sets_local
            and self.lowered.heights[position + 2] == base
            and position + 1 not in self.lowered.safepoints
            and not any(site.reads for site in self.sites.at.get(position + 1, ()))
        ):
            self.skipped = position + 1
            targets = [f"l{following.imm[0]}"]
            count = 0
            # What is beneath was spilled, so nothing pending reads that local.
        self.steps.append(Call(instr.offset, value, targets, resumes))
        self.operands.typed(count)

    def call_plain(self, position: int, instr: Instr, callee: str) -> None:
        functype = self.lowered.calls[position]
        self.operands.spill_where(trap=True, state=True)
        base = len(self.operands.stack) - len(functype.params)
        count = len(functype.results)
        if count > FEW:
            self.operands.spill_below(base)
        args = self.operands.nodes(base)
        self.operands.cut(base)
        value = fold.apply(name(callee), args)
        if count == 0:
            self.emit(ast.Expr(value), instr.offset)
            return
        if count > FEW:
            self.emit(ast.Assign([ast.Name("results", fold.STORE)], value), instr.offset)
            self.operands.wide(count)
            return
        for height in range(self.operands.settled, base):
            operand = self.operands.stack[height]
            if operand is not None and operand.slots >> (base - height):
                self.operands.spill(height)
        targets: list[ast.expr] = [ast.Name(f"s{base + i}", fold.STORE) for i in range(count)]
        target = targets[0] if count == 1 else ast.Tuple(targets, fold.STORE)
        self.emit(ast.Assign([target], value), instr.offset)
        self.operands.typed(count)


#: What has no meaning in the instruction table, in its order.
RULES = {
    "unreachable": _Builder.unreachable,
    "nop": _Builder.nop,
    "block": _Builder.block,
    "loop": _Builder.nop,
    "if": _Builder.if_,
    "else": _Builder.else_,
    "end": _Builder.end,
    "br": _Builder.br,
    "br_if": _Builder.br_if,
    "br_table": _Builder.br_table,
    "return": _Builder.return_,
    "call": _Builder.call,
    "call_indirect": _Builder.call_indirect,
    "drop": _Builder.drop,
    "local.get": _Builder.local_get,
    "local.set": _Builder.local_set,
    "local.tee": _Builder.local_tee,
}
