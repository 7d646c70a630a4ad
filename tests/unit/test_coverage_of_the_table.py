"""Each row of the instruction table is one meaning, or one rule on each path."""

from __future__ import annotations

import pytest

from chiwawa.aot import tree
from chiwawa.interp import code, handlers
from chiwawa.opcodes import TABLE, Op

WITHOUT_MEANING = [op for op in TABLE if op.meaning is None]


def rules_to_execute(op: Op) -> int:
    return sum(op.name in rules for rules in (handlers.RULES, code.RULES, code.DELIMITERS))


@pytest.mark.parametrize("op", WITHOUT_MEANING, ids=lambda op: op.name)
def test_what_has_no_meaning_has_one_rule_to_execute_and_one_to_translate(op: Op) -> None:
    assert rules_to_execute(op) == 1
    assert op.name in tree.RULES


@pytest.mark.parametrize(
    "op", [op for op in TABLE if op.meaning is not None], ids=lambda op: op.name
)
def test_what_has_a_meaning_has_no_rule_beside_it(op: Op) -> None:
    assert rules_to_execute(op) == 0
    assert op.name not in tree.RULES


def test_no_rule_is_for_an_instruction_that_is_not_there() -> None:
    names = {op.name for op in WITHOUT_MEANING}
    assert {*handlers.RULES, *code.RULES, *code.DELIMITERS} == names
    assert set(tree.RULES) == names
