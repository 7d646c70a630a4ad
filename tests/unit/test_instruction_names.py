"""What is true of an instruction its row says: code names one only where one alone is meant."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from chiwawa.opcodes import TABLE

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "chiwawa", ROOT / "runtime" / "chiwawa_runtime")
NAMES = {op.name for op in TABLE} | {op.mnemonic for op in TABLE}

#: Where names may stand, and why: files and folders. Where few do, which; in a file of rules, any.
ANY = frozenset(NAMES)
ALLOWED: dict[str, tuple[frozenset[str], str]] = {
    "chiwawa/opcodes.py": (ANY, "the table"),
    "chiwawa/validate/control.py": (ANY, "a rule for each instruction that changes control"),
    "chiwawa/validate/aggregates.py": (ANY, "a rule for each that is of structures and arrays"),
    "chiwawa/validate/rules.py": (ANY, "a rule for each other instruction without a signature"),
    "chiwawa/aot/control_rules.py": (ANY, "a rule for each instruction that changes control"),
    "chiwawa/aot/call_rules.py": (ANY, "a rule for each instruction that calls"),
    "chiwawa/aot/value_rules.py": (ANY, "a rule for each other instruction without a meaning"),
    "chiwawa/interp/prepare.py": (ANY, "a rule for each instruction that changes control"),
    "chiwawa/interp/handlers.py": (ANY, "a rule for each other instruction without a meaning"),
    "chiwawa/wat/instructions.py": (
        ANY,
        "the text format's words, some with a syntax of their own",
    ),
    "chiwawa/module.py": (
        frozenset(("catch", "catch_all")),
        "words of the clauses of try_table",
    ),
    "chiwawa/baking.py": (ANY, "constant expressions that give a state"),
    "chiwawa/wat/script.py": (ANY, "the words for values in scripts"),
    "chiwawa/wat/fields.py": (
        frozenset(("ref.func", "i32.const", "i64.const", "end")),
        "what fields of the text format are short for",
    ),
    "chiwawa/binary/sections.py": (
        frozenset(("ref.func", "end")),
        "what an element of a segment is short for",
    ),
    "chiwawa/aot": (
        frozenset(("if", "return", "try", "unreachable", "throw", "throw_ref")),
        "words of Python's, and functions of generated code",
    ),
    "chiwawa/native": (ANY, "what the rewriter adds to functions; and a trap's message"),
    "chiwawa/interp/machine.py": (frozenset(("unreachable",)), "a trap's message"),
    "chiwawa/debug/machine.py": (frozenset(("end",)), "why the debugger's machine stopped"),
    "runtime/chiwawa_runtime/command/stopping.py": (frozenset(("call",)), "a word of --cr-at"),
    "runtime": (
        frozenset(("unreachable", "throw", "throw_ref", "end")),
        "functions of generated code, and members of enumerations: it knows no instructions",
    ),
}


@cache
def sources() -> list[tuple[str, ast.Module]]:
    return [
        (str(file.relative_to(ROOT)), ast.parse(file.read_text(encoding="utf-8")))
        for package in PACKAGES
        for file in sorted(package.rglob("*.py"))
    ]


def named(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The instructions named in a file, with their lines: by strings that hold nothing else."""
    others = {
        id(constant)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__")
        for constant in ast.walk(node)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in others
        ):
            words = [node.value] if node.value in NAMES else node.value.split()
            if all(word in NAMES for word in words):
                yield from ((word, node.lineno) for word in words)


def within(file: str, place: str) -> bool:
    return file == place or file.startswith(place + "/")


def test_instructions_are_named_only_where_one_alone_is_meant() -> None:
    found = [
        f"{file}:{line}: {name}"
        for file, tree in sources()
        for name, line in named(tree)
        if not any(name in names for place, (names, _) in ALLOWED.items() if within(file, place))
    ]
    assert not found, "make it a fact of the row in chiwawa/opcodes.py"


def test_no_more_is_allowed_than_there_is() -> None:
    for place, (names, why) in ALLOWED.items():
        found = {name for file, tree in sources() if within(file, place) for name, _ in named(tree)}
        assert found, f"nothing in {place} names one any more: {why}"
        assert names is ANY or names <= found, f"{place}: {names - found}: {why}"


def test_no_row_is_had_by_its_bytes() -> None:
    for file, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "BY_CODE":
                assert any(isinstance(n, ast.Name) for n in ast.walk(node.slice)), file


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('if op.name == "br_if": pass', ["br_if"]),
        ('KINDS = ("block", "loop")', ["block", "loop"]),
        ('KINDS = "block loop".split()', ["block", "loop"]),
        ('"""A block, a loop."""', []),
        ('f"1 if {x} else 0"', []),
        ('class A:\n    __slots__ = ("end",)', []),
    ],
)
def test_a_name_is_found(source: str, names: list[str]) -> None:
    assert [name for name, _ in named(ast.parse(source))] == names
