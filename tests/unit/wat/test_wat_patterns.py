"""The patterns that tokens are found by, on Pythons other than the one that tests."""

from __future__ import annotations

from importlib import resources


def test_no_pattern_of_the_grammar_has_what_pypy_gets_wrong() -> None:
    """``re.match("(?:(a++)|(b++))", "bb")`` matches the empty string there (PyPy 3.11)."""
    grammar = resources.files("chiwawa.wat").joinpath("grammar.lark").read_text("utf-8")
    lines = [line for line in grammar.splitlines() if not line.startswith("//")]
    assert any("*+" in line for line in lines)
    assert not [line for line in lines if "++" in line.replace("!#$%&'*+", "")]
