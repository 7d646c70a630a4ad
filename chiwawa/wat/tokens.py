"""Tokens and S-expressions: what the reader makes and everything else in this package takes apart.

A list is a Python list whose first and last members are its parentheses, as tokens: the closing one
ends every scan of the list, and both have a place. An error is raised with the place of its token
and told in lines and columns at the boundary, where the text is at hand.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar, Union

from chiwawa_runtime.errors import BadInput, MalformedError

E = TypeVar("E", bound=BadInput)


class Token:
    """``type`` is a terminal of the grammar, ``value`` the characters, ``at`` where they start."""

    __slots__ = ("at", "type", "value")

    #: Lark copies these from the last token to the end of the text. Nothing reads them.
    start_pos = line = column = end_line = end_column = end_pos = 0

    def __init__(self, type: str, value: str, at: int) -> None:
        self.type = type
        self.value = value
        self.at = at

    def __str__(self) -> str:
        return self.value

    def __repr__(self) -> str:
        return f"<{self.type} {self.value} at {self.at}>"


Node: TypeAlias = Union[Token, "list[Node]"]
Nodes: TypeAlias = "list[Node]"


def position(node: Node) -> int:
    """Where a node starts."""
    while isinstance(node, list):
        node = node[0]
    return node.at


def placed(error: E, at: int) -> E:
    """The error, of something at a place in the text; ``located`` makes a line of that."""
    error.at = at
    return error


def misplaced(message: str, node: Node) -> MalformedError:
    """An error at a node."""
    return placed(MalformedError(message), position(node))


def located(text: str, error: E) -> E:
    """The error, with the line, column and excerpt of ``text`` that it speaks of."""
    if error.at is not None:
        start = text.rfind("\n", 0, error.at) + 1
        end = text.find("\n", error.at)
        error.line = text.count("\n", 0, error.at) + 1
        error.column = error.at - start + 1
        error.excerpt = text[start : end if end >= 0 else len(text)].rstrip("\r")
        error.at = None
    return error


def keyword(node: Node) -> str | None:
    """The first word of a list (``param`` of ``(param i32)``), or None."""
    if isinstance(node, list):
        head = node[1]
        if not isinstance(head, list) and head.type == "KEYWORD":
            return head.value
    return None


def is_word(node: Node, word: str) -> bool:
    """Whether a node is this keyword."""
    return not isinstance(node, list) and node.type == "KEYWORD" and node.value == word
