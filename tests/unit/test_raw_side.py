"""What engines alone run over, nobody else uses: Python's side of memories, tables and globals."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import chiwawa
import chiwawa_runtime
from chiwawa_runtime.state.globals import Global
from chiwawa_runtime.state.interface import AnyGlobal, AnyMemory, AnyTable
from chiwawa_runtime.state.memory import Memory
from chiwawa_runtime.state.table import Table

PACKAGES = [Path(p.__path__[0]) for p in (chiwawa, chiwawa_runtime)]
#: What memories, tables and globals of ours have, and those of other owners have not.
RAW = {
    name
    for own, any_ in ((Memory, AnyMemory), (Table, AnyTable), (Global, AnyGlobal))
    for name in set(dir(own)) - set(dir(any_))
    if not name.startswith("_") and (name.startswith("raw") or name == "follow")
}
CLASSES = {"Memory", "Table", "Global", "new_memories"}
HOMES = {f"chiwawa_runtime.state.{name}" for name in ("memory", "table", "globals")}

#: Who owns that state: it, its owner, and the two engines whose functions run over it.
OWNERS = {
    "chiwawa_runtime/state/globals.py",
    "chiwawa_runtime/state/memory.py",
    "chiwawa_runtime/state/memory_data.py",
    "chiwawa_runtime/state/python_state.py",
    "chiwawa_runtime/state/table.py",
    "chiwawa_runtime/engine/generated/functions.py",
    "chiwawa/interp/handlers.py",
    # Meanings of instructions.
    "chiwawa/opcodes.py",
}
#: Who makes such state as a host does.
HOSTS = {"chiwawa/__init__.py", "chiwawa/baking.py"}


def uses(source: str) -> Iterator[str]:
    """What of the raw side ``source`` names: as an attribute, in the text of code that it makes, or
    by the class that has it."""
    tree = ast.parse(source)
    strings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }  # Docstrings may speak of it.
    in_text = re.compile(rf"\.({'|'.join(sorted(RAW, key=len, reverse=True))})\b")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in RAW:
            yield f"line {node.lineno}: .{node.attr}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in strings and (found := in_text.search(node.value)):
                yield f"line {node.lineno}: {found[0]} in a text"
        elif isinstance(node, ast.ImportFrom) and node.module in HOMES:
            for name in node.names:
                if name.name in CLASSES:
                    yield f"line {node.lineno}: {name.name}"


def modules() -> dict[str, str]:
    return {
        path.relative_to(package.parent).as_posix(): path.read_text(encoding="utf-8")
        for package in PACKAGES
        for path in package.rglob("*.py")
    }


def test_nobody_but_its_owners_uses_the_raw_side() -> None:
    sources = modules()
    assert set(sources) >= OWNERS | HOSTS
    found = {
        name: list(uses(source))
        for name, source in sources.items()
        if name not in OWNERS and name not in HOSTS
    }
    assert not {name: lines for name, lines in found.items() if lines}


def test_the_owners_do() -> None:
    """An owner that uses nothing raw any more is none, and its exemption hides what comes next."""
    sources = modules()
    assert [name for name in sorted(OWNERS | HOSTS) if not list(uses(sources[name]))] == []


def test_what_is_searched_for_is_found() -> None:
    assert {"raw", "follow", "raw_get", "raw_fill", "raw_init"} <= RAW
    for line in (
        "x = memory.raw[0]",
        "table.raw_fill(1, None, 1)",
        "memory.follow(self)",
        "glob.raw = 5",
        "attribute = '.raw'",
        "source = f'trace({x}.raw_get(1))'",
        "from chiwawa_runtime.state.memory import Memory",
    ):
        assert list(uses(line)), line
    for line in ("'''A memory's .raw.'''", "decoder.raw_decode(x)", "raw = 1", "glob.value = 1"):
        assert not list(uses(line)), line
