"""The translator's inner form as text, for people and for tests.

A line is a step; what is in a construct is indented. ``@`` says a code offset: of a safepoint, of a
call, or of what may trap in a statement; at an ``if``, where its second arm begins and where it
ends. Labels are numbered as their constructs open. A ``br`` to a loop's label goes to its head, to
a block's behind its end; ``return`` leaves the function. A call of the host's is ``call host``,
since no frame can wait in it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from chiwawa.aot.emit import Writer
from chiwawa.aot.ir import Block, Br, BrTable, Call, If, Loop, Plain, Poll, Step
from chiwawa.meanings.expressions import text
from chiwawa.validate import Label


def show(steps: Sequence[Step]) -> str:
    """The text of ``steps``, each line with its newline."""
    return "".join(f"{line}\n" for line in _Printer().lines(steps, 0))


def statement_text(node: ast.stmt) -> str:
    """A plain statement as it will be written."""
    writer = Writer()
    writer.visit(node)
    return "".join(writer.result).strip()


class _Printer:
    def __init__(self) -> None:
        self.labels: dict[Label, str] = {}

    def label(self, label: Label) -> str:
        """The name of ``label``, which is ``L?`` where its construct is not around the branch."""
        return self.labels.get(label, "L?")

    def opened(self, label: Label) -> str:
        name = self.labels[label] = f"L{len(self.labels)}"
        return name

    def lines(self, steps: Sequence[Step], depth: int) -> Iterator[str]:
        indent = "    " * depth
        for step in steps:
            match step:
                case If():
                    end = (
                        "" if step.end_offset == 0 else f"  @{step.else_offset}, {step.end_offset}"
                    )
                    yield f"{indent}if {text(step.test)}:{end}"
                    yield from self.lines(step.then, depth + 1)
                    if step.orelse:
                        yield f"{indent}else:"
                        yield from self.lines(step.orelse, depth + 1)
                case Loop(label=label, body=body):
                    yield f"{indent}loop {self.opened(label)}:"
                    yield from self.lines(body, depth + 1)
                case Block(label=label, body=body):
                    yield f"{indent}block {self.opened(label)}:"
                    yield from self.lines(body, depth + 1)
                case Plain() | Poll() | Call() | Br() | BrTable():
                    yield indent + self.line(step)
                    if isinstance(step, Plain | Call):
                        for catch in step.catches:
                            tag = "any" if catch.tagidx is None else f"tag{catch.tagidx}"
                            yield f"{indent}catch {tag}:"
                            yield from self.lines(catch.steps, depth + 1)

    def line(self, step: Plain | Poll | Call | Br | BrTable) -> str:
        match step:
            case Plain(node=node, offset=offset):
                return statement_text(node) + ("" if offset is None else f"  @{offset}")
            case Poll(offset=offset):
                return f"poll  @{offset}"
            case Call():
                return self.call(step)
            case Br(label=label, value=value):
                if label.outermost:
                    return "return" if value is None else f"return {text(value)}"
                return f"br {self.label(label)}{' at its end' if step.exits else ''}"
            case BrTable(index=index, labels=labels):
                *arms, default = map(self.label, labels)
                return f"br_table {text(index)}: {' '.join([*arms, 'else', default])}"

    def call(self, step: Call) -> str:
        to = f"{', '.join(step.targets)} = " if step.targets else ""
        found = "" if step.target is None else f"target = {text(step.target)}; "
        direct = "" if step.direct is None else f" or {text(step.direct)}"
        return f"call {found}{to}{text(step.value)}{direct}  @{step.offset}"
