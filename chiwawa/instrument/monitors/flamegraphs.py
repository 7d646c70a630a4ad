"""The calling-context tree in the formats of others' viewers: the collapsed stacks of Brendan
Gregg's flame graphs (https://github.com/brendangregg/FlameGraph) and speedscope's JSON
(https://github.com/jlfwong/speedscope, ``src/lib/file-format-spec.ts``).

Both list whole stacks, so a tree as deep as it has nodes would take the square of its size. What
lies deeper than ``MAX_CALLS`` calls is therefore summed up by function, beneath a frame
``[deeper]``: no instruction is lost, only the order of the calls down there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from chiwawa.instrument.counting.observed import Observed
from chiwawa.instrument.labels import function_labels
from chiwawa_runtime.names import printable

#: How many calls of a stack are told apart.
MAX_CALLS = 1000
#: How much of a name is written: it stands once in each stack that it is part of.
LONGEST = 256
#: What stands for the calls between the last that is told apart and a function below.
DEEPER = -2


@dataclass(frozen=True, slots=True)
class Stack:
    """``functions`` are indices, the outermost call first, with DEEPER for what is left out;
    ``instructions`` were begun by the last of them, at least one."""

    functions: tuple[int, ...]
    instructions: int


def collapsed(observed: Observed) -> str:
    """One line for each context in which instructions were begun, ``main;fib;fib 123``: the
    functions from the outermost call inwards, and how many it began itself. What would part a line
    elsewhere (semicolons, white space) is ``_`` in a name, and so is what cannot be printed."""
    names = {DEEPER: "[deeper]"}
    names.update(enumerate(map(_word, function_labels(observed.module))))
    return "".join(
        f"{';'.join([names[f] for f in stack.functions])} {stack.instructions}\n"
        for stack in stacks(observed)
    )


def speedscope(observed: Observed, title: str) -> str:
    """A file of speedscope with one profile of type ``sampled``: a stack for each context in which
    instructions were begun, whose weight is their number."""
    found = list(stacks(observed))
    functions = sorted({f for stack in found for f in stack.functions if f != DEEPER})
    labels = function_labels(observed.module)
    frames = [{"name": printable(labels[f][:LONGEST])} for f in functions]
    number = {function: index for index, function in enumerate(functions)}
    if any(DEEPER in stack.functions for stack in found):
        number[DEEPER] = len(frames)
        frames.append({"name": "[deeper]"})
    name = printable(title)
    file = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": name,
        "exporter": "chiwawa",
        "activeProfileIndex": 0,
        "shared": {"frames": frames},
        "profiles": [
            {
                "type": "sampled",
                "name": name,
                "unit": "none",
                "startValue": 0,
                "endValue": sum(stack.instructions for stack in found),
                "samples": [[number[f] for f in stack.functions] for stack in found],
                "weights": [stack.instructions for stack in found],
            }
        ],
    }
    return json.dumps(file, separators=(",", ":")) + "\n"


def stacks(observed: Observed) -> Iterator[Stack]:
    """The contexts in which instructions were begun, parents first, then by function index."""
    path: list[int] = []
    # Of the functions below the path, where that is as deep as is told apart.
    below: dict[int, int] = {}
    work = [(node, 0) for node in reversed(observed.tree.sorted())]
    while work:
        node, depth = work.pop()
        work.extend((child, depth + 1) for child in reversed(node.sorted()))
        if depth >= MAX_CALLS:
            below[node.function] = below.get(node.function, 0) + node.instructions
            continue
        yield from _deeper(path, below)
        del path[depth:]
        path.append(node.function)
        if node.instructions:
            yield Stack(tuple(path), node.instructions)
    yield from _deeper(path, below)


def _deeper(path: list[int], below: dict[int, int]) -> Iterator[Stack]:
    for function, instructions in sorted(below.items()):
        if instructions:
            yield Stack((*path, DEEPER, function), instructions)
    below.clear()


def _word(name: str) -> str:
    return "".join(c if c.isprintable() and c not in "; " else "_" for c in name[:LONGEST])
