"""Text to S-expressions, by the grammar beside this file.

Lark reads the grammar and parses by it (LALR); the scanner here finds the tokens by one regular
expression, made of the grammar's terminals. It owns every error about tokens and nesting, and knows
no keyword. Nothing imports this module until there is text to read: Lark takes longer to load than
a binary module does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from threading import local

from lark import Lark, Transformer, Tree
from lark.exceptions import UnexpectedToken
from lark.lexer import Lexer

from chiwawa.wat.annotations import KNOWN, PLACEMENT, Annotation, Annotations
from chiwawa.wat.strings import parse_name
from chiwawa.wat.tokens import Nodes, Token, located, misplaced, placed
from chiwawa_runtime.errors import MalformedError

_STRING_CONTENT = re.compile(r'(?:[^"\\\x00-\x1f\x7f][^"\\\x00-\x1f\x7f]*+|\\.)*+')
_IN_COMMENT = ("_COMMENT_OPEN", "_COMMENT_CLOSE", "_COMMENT_TEXT")


class _Scanner(Lexer):
    """The tokens of a text. Lark's own lexers do the same at half the speed."""

    def __init__(self, conf: object) -> None:
        terminals = sorted(conf.terminals, key=lambda t: -t.priority)  # type: ignore[attr-defined]
        ignored = set(conf.ignore)  # type: ignore[attr-defined]
        patterns = {t.name: t.pattern.to_regexp() for t in terminals}
        skip = "|".join(patterns[name] for name in ignored)
        code = "|".join(
            f"(?P<{name}>{pattern})"
            for name, pattern in patterns.items()
            if name not in ignored and name not in _IN_COMMENT[1:]
        )
        comment = "|".join(f"(?P<{name}>{patterns[name]})" for name in _IN_COMMENT)
        self.skip = re.compile(f"(?:{skip})*+")
        # What is skipped follows the token: it cannot fail, so that nothing is ever tried twice.
        self.code = re.compile(f"(?:{code})(?:{skip})*+")
        self.comment = re.compile(comment)

    def lex(self, text: str) -> Iterator[Token]:  # type: ignore[override]
        start = self.skip.match(text)
        assert start is not None
        pos = start.end()
        while pos < len(text):
            for match in self.code.finditer(text, pos):
                kind = match.lastgroup
                if match.start() != pos:
                    raise _no_token(text, pos)
                assert kind is not None
                yield Token(kind, match[kind], pos)
                if kind == "_COMMENT_OPEN":
                    pos += 2
                    break
                pos = match.end()
            else:
                if pos < len(text):
                    raise _no_token(text, pos)
                return
            depth = 1
            while depth:
                inner = self.comment.match(text, pos)
                if inner is None:
                    return
                kind = inner.lastgroup or ""
                yield Token(kind, inner[0], pos)
                pos = inner.end()
                depth += (kind == "_COMMENT_OPEN") - (kind == "_COMMENT_CLOSE")
            rest = self.skip.match(text, pos)
            assert rest is not None
            pos = rest.end()


_Children = list[Token | Tree[Token]]


class _Found(local):
    """The annotations of the text that a thread is reading."""

    annotations: list[Annotation]


_FOUND = _Found()


class _Build(Transformer[Token, Nodes]):
    """What each rule makes, called while parsing."""

    def start(self, children: Nodes) -> Nodes:
        return children

    def list(self, children: Nodes) -> Nodes:
        return children

    def _annotation(self, children: Nodes) -> Tree[Token]:
        opening = children[0]
        assert isinstance(opening, Token)
        name = opening.value[2:]
        if name.startswith('"'):
            try:
                name = parse_name(name)
            except MalformedError as error:
                raise misplaced(error.message, opening) from None
            if not name:
                raise misplaced("empty annotation id", opening)
        found = _FOUND.annotations
        while found and found[-1].at > opening.at:
            # It is in this one.
            found.pop()
        if name in KNOWN:
            tokens = [token for token in children[1:-1] if isinstance(token, Token)]
            found.append(Annotation(name, opening.at, tokens))
        # An inlined rule gives its children to the list around it: none.
        return Tree("annotation", [])

    def _parens(self, children: _Children) -> Tree[Token]:
        # Those of longer ones nobody reads.
        return Tree("parens", children if len(children) <= PLACEMENT else children[:1])


@cache
def _parser() -> Lark:
    grammar = resources.files("chiwawa.wat").joinpath("grammar.lark").read_text("utf-8")
    return Lark(
        grammar, parser="lalr", lexer=_Scanner, transformer=_Build(), maybe_placeholders=False
    )


def read(text: str) -> tuple[Nodes, Annotations]:
    """The top-level lists of ``text``, comments dropped, and the annotations that mean something.
    MalformedError with line, column and excerpt, in the suite's words: "unexpected token", "unknown
    operator", "illegal character", "unclosed string", "unclosed annotation", "empty identifier" and
    the like."""
    found = _FOUND.annotations = []
    try:
        nodes: Nodes = _parser().parse(text)  # type: ignore[assignment]
    except UnexpectedToken as error:
        raise located(text, _misread(text, error)) from None
    except MalformedError as error:
        raise located(text, error) from None
    return nodes, Annotations(found, nodes)


def _misread(text: str, error: UnexpectedToken) -> MalformedError:
    token: object = error.token
    if not isinstance(token, Token):
        opened = {v.type for v in error.state.value_stack if isinstance(v, Token)}
        if "_COMMENT_OPEN" in opened:
            return placed(MalformedError("unclosed comment"), len(text))
        unclosed = "unclosed annotation" if "ANNOTATION" in opened else "unexpected token"
        return placed(MalformedError(unclosed), len(text))
    if token.type == "RESERVED":
        return _no_token(text, token.at)
    return misplaced("unexpected token", token)


def _no_token(text: str, at: int) -> MalformedError:
    """What is wrong where no token of a module starts."""
    reserved = _reserved().match(text, at)
    if reserved is None:
        message = _no_string(text, at) if text[at] == '"' else _illegal(text[at])
    elif reserved[0] == "$":
        message = "empty identifier"
    elif text.startswith("(@", at - 1):
        message = "empty annotation id"
    else:
        message = f"unknown operator {reserved[0]}"
    return placed(MalformedError(message), at)


def _illegal(character: str) -> str:
    """What cannot be seen in the excerpt is named."""
    named = "" if character.isprintable() else f" U+{ord(character):04X}"
    return f"illegal character{named}"


@cache
def _reserved() -> re.Pattern[str]:
    """A run of characters that the grammar keeps as one token, good or not."""
    return re.compile(_parser().get_terminal("RESERVED").pattern.to_regexp())


def _no_string(text: str, at: int) -> str:
    """Why no string starts at this quote."""
    content = _STRING_CONTENT.match(text, at + 1)
    assert content is not None
    end = text[content.end() : content.end() + 1]
    if end in ("", "\n", "\\"):
        return "unclosed string"
    return "illegal escape" if end == '"' else "illegal character"
