"""A Wasm function to the translator's inner form (``ir``), a tree of steps.

One pass over the lowered body, with one rule for each instruction. Operands stay pending as
expressions until something consumes them; what has an effect becomes a statement, and what that
effect could change is first spilled into the variable of its stack position, ``s0`` for the
deepest. Before a safepoint or a call everything is spilled, because a suspended frame is read from
its variables.

A statement holds at most one instruction that can trap, and remembers its code offset: a line of
the generated file then names the instruction that a trap came from.
"""

from __future__ import annotations

from chiwawa.aot import call_rules, control_rules, value_rules
from chiwawa.aot.builder import Builder
from chiwawa.aot.ir import Step
from chiwawa.aot.operands import MOST_PENDING
from chiwawa.aot.options import Options
from chiwawa.lower.lowered import Lowered
from chiwawa.lower.sites import Sites


def build(lowered: Lowered, options: Options, sites: Sites) -> list[Step]:
    """The tree of a function, with ``sites`` in it."""
    builder = Builder(lowered, options, sites)
    operands, reached = builder.operands, lowered.reached
    for position, instr in enumerate(lowered.body):
        if reached[position]:
            operands.position = position
            if len(operands.stack) - operands.settled > MOST_PENDING:
                operands.spill_below(len(operands.stack) - MOST_PENDING // 2)
            if position == builder.skipped:
                builder.run_sites(position, instr)
                continue
            if instr.op.loops:
                # Control arrives at a loop inside it, as often as it comes around.
                control_rules.loop(builder, position, instr)
            builder.arrive(position, instr)
            RULES.get(instr.op.name, value_rules.by_meaning)(builder, position, instr)
        elif instr.op.delimits:
            RULES[instr.op.name](builder, position, instr)
    return builder.steps


#: What has no meaning in the instruction table.
RULES = {**control_rules.RULES, **call_rules.RULES, **value_rules.RULES}
