"""Text to S-expressions, by the grammar beside this file.

It owns the tokens and the nesting, and every error about them; it knows no keyword. A list is a
Python list whose first and last members are its parentheses, as tokens: the closing one ends every
scan of the list, and both have a position.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TypeAlias, Union

from lark import Lark, Token, Transformer, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from chiwawa.wat.strings import parse_name
from chiwawa_runtime.errors import MalformedError

#: A token (``type`` is a terminal of the grammar; ``value`` is a plain str) or a list of nodes.
Node: TypeAlias = Union[Token, "list[Node]"]
Nodes: TypeAlias = "list[Node]"

_STRING_CONTENT = re.compile(r'(?:[^"\\\x00-\x1f\x7f]|\\.)*')


class _Build(Transformer[Token, Nodes]):
    """What each rule makes, called while parsing."""

    def start(self, children: Nodes) -> Nodes:
        return children

    def list(self, children: Nodes) -> Nodes:
        return children

    def _annotation(self, children: Nodes) -> Tree[Token]:
        opening = children[0]
        if isinstance(opening, Token) and opening.startswith('(@"'):
            try:
                empty = not parse_name(opening[2:])
            except MalformedError as error:
                raise misplaced(error.message, opening) from None
            if empty:
                raise misplaced("empty annotation id", opening)
        # An inlined rule gives its children to the list around it: none.
        return Tree("annotation", [])


@cache
def _parser() -> Lark:
    grammar = resources.files(__package__).joinpath("grammar.lark").read_text("utf-8")
    return Lark(
        grammar,
        parser="lalr",
        lexer="contextual",
        transformer=_Build(),
        maybe_placeholders=False,
    )


@cache
def _reserved() -> re.Pattern[str]:
    """A run of characters that the grammar keeps as one token, good or not."""
    return re.compile(_parser().get_terminal("RESERVED").pattern.to_regexp())


def read(text: str) -> Nodes:
    """The top-level lists of ``text``, comments and annotations dropped. MalformedError with line,
    column and excerpt, in the suite's words: "unexpected token", "unknown operator", "illegal
    character", "unclosed string", "unclosed annotation", "empty identifier" and the like."""
    try:
        nodes: Nodes = _parser().parse(text)  # type: ignore[assignment]
    except UnexpectedCharacters as error:
        raise located(text, _no_token(text, error.pos_in_stream or 0)) from None
    except UnexpectedToken as error:
        raise located(text, _misread(text, error)) from None
    except MalformedError as error:
        raise located(text, error) from None
    return nodes


def _misread(text: str, error: UnexpectedToken) -> MalformedError:
    token = error.token
    if token.type in ("RESERVED", "_COMMENT_TEXT"):
        return _no_token(text, token.start_pos or 0)
    if token.type != "$END":
        return misplaced("unexpected token", token)
    opened = {v.type for v in error.state.value_stack if isinstance(v, Token)}
    if "_COMMENT_OPEN" in opened:
        return _at(text, len(text), "unclosed comment")
    return _at(
        text, len(text), "unclosed annotation" if "ANNOTATION" in opened else "unexpected token"
    )


def _no_token(text: str, at: int) -> MalformedError:
    """What is wrong where no token of a module starts."""
    reserved = _reserved().match(text, at)
    if reserved is None:
        if text[at] in "()":
            return _at(text, at, "unexpected token")
        return _at(text, at, _no_string(text, at) if text[at] == '"' else "illegal character")
    if reserved[0] == "$":
        return _at(text, at, "empty identifier")
    if text.startswith("(@", at - 1):
        return _at(text, at, "empty annotation id")
    return _at(text, at, f"unknown operator {reserved[0]}")


def _no_string(text: str, at: int) -> str:
    """Why no string starts at this quote."""
    content = _STRING_CONTENT.match(text, at + 1)
    assert content is not None
    end = text[content.end() : content.end() + 1]
    if end in ("", "\n", "\\"):
        return "unclosed string"
    return "illegal escape" if end == '"' else "illegal character"


def _at(text: str, at: int, message: str) -> MalformedError:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return MalformedError(message, line=line, column=column)


def position(node: Node) -> Token:
    """The token where a node starts."""
    while isinstance(node, list):
        node = node[0]
    return node


def misplaced(message: str, node: Node) -> MalformedError:
    """An error at a node."""
    token = position(node)
    return MalformedError(message, line=token.line, column=token.column)


def located(text: str, error: MalformedError) -> MalformedError:
    """The same error, with the line of ``text`` that it speaks of."""
    if error.line is not None and error.excerpt is None:
        error.excerpt = text.split("\n")[error.line - 1].rstrip("\r")
    return error


def keyword(node: Node) -> str | None:
    """The first word of a list (``param`` of ``(param i32)``), or None."""
    if isinstance(node, list):
        head = node[1]
        if not isinstance(head, list) and head.type == "KEYWORD":
            return str(head.value)
    return None


def is_word(node: Node, word: str) -> bool:
    """Whether a node is this keyword."""
    return not isinstance(node, list) and node.type == "KEYWORD" and node.value == word
