"""Annotations that mean something (spec 6.3.6, appendix 7.6 and the branch hinting proposal):
``@custom``, ``@name`` and ``@metadata.code.branch_hint``. All others are comments.

The reader finds them; this says which list each stands in, and before what. Whoever reads the list
asks for those of his, and what nobody has asked for in the end is misplaced.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from chiwawa import branch_hints
from chiwawa.wat.strings import parse_name, parse_string
from chiwawa.wat.tokens import Nodes, Token, misplaced, position
from chiwawa_runtime.errors import MalformedError

CUSTOM = "custom"
NAME = "name"
HINT = branch_hints.NAME
KNOWN = frozenset((CUSTOM, NAME, HINT))

#: The words for sections, in the order of sections, and their ids.
SECTIONS = {
    "type": 1,
    "import": 2,
    "func": 3,
    "table": 4,
    "memory": 5,
    "tag": 13,
    "global": 6,
    "export": 7,
    "start": 8,
    "elem": 9,
    "datacount": 12,
    "code": 10,
    "data": 11,
}
_IDS = (0, *SECTIONS.values())
#: The tokens of a placement, with its parentheses.
PLACEMENT = 4


@dataclass(slots=True)
class Annotation:
    """``tokens`` are those within, flat. ``inside`` is where the list starts that it stands in (-1:
    none), ``before`` the index in that list of what comes next, and ``target`` where the word is
    that comes next, or the first one in it."""

    name: str
    at: int
    tokens: Sequence[Token]
    inside: int = -1
    before: int = 0
    target: int = -1
    used: bool = False

    def refused(self, message: str, token: Token | None = None) -> MalformedError:
        where = token or Token("ANNOTATION", "", self.at)
        return misplaced(f"@{self.name} annotation: {message}", where)

    def strings(self, tokens: Iterable[Token]) -> bytes:
        """What strings are left say."""
        out = b""
        for token in tokens:
            if token.type != "STRING":
                raise self.refused("unexpected token", token)
            out += self.parsed(token)
        return out

    def parsed(self, token: Token) -> bytes:
        try:
            return parse_string(token.value)
        except MalformedError as error:
            raise self.refused(error.message, token) from None

    def text(self, missing: str) -> str:
        """The first token as a name."""
        if not self.tokens or self.tokens[0].type != "STRING":
            raise self.refused(missing, self.tokens[0] if self.tokens else None)
        try:
            return parse_name(self.tokens[0].value)
        except MalformedError as error:
            raise self.refused(error.message, self.tokens[0]) from None

    def custom(self) -> tuple[str, bytes, int, bool]:
        """What ``@custom`` says: the section's name and contents, the id of the section that it is
        next to (0: what comes before all), and whether it is right before the one after that."""
        name = self.text("missing section name")
        after, before, rest = _IDS[-1], False, self.tokens[1:]
        if rest and rest[0].type == "LPAR":
            after, before = self._placement(rest)
            rest = rest[PLACEMENT:]
        return name, self.strings(rest), after, before

    def _placement(self, tokens: Sequence[Token]) -> tuple[int, bool]:
        _, *words = tokens[:PLACEMENT]
        direction = words[0].value if words else ""
        if direction not in ("before", "after"):
            raise self.refused("malformed placement", tokens[0])
        section = words[1].value if len(words) > 1 else ""
        if section == {"before": "first", "after": "last"}[direction]:
            after = 0 if direction == "before" else _IDS[-1]
        elif section in SECTIONS:
            after = SECTIONS[section]
            if direction == "before":
                after = _IDS[_IDS.index(after) - 1]
        else:
            raise self.refused("malformed section kind", tokens[0])
        if len(words) < 3 or words[2].type != "RPAR":
            raise self.refused("malformed placement", tokens[0])
        return after, direction == "before" and section != "first"

    def likely(self) -> bool:
        """What a branch hint says."""
        value = self.strings(self.tokens)
        if value not in (b"\0", b"\1"):
            raise self.refused("invalid hint value")
        return value == b"\1"


class Annotations:
    """Those of a text, whose lists are ``nodes``."""

    def __init__(self, found: Sequence[Annotation] = (), nodes: Nodes | None = None) -> None:
        self.all = found
        self.by_list: dict[int, list[Annotation]] = {}
        for each in found:
            _find(each, nodes or [])
            self.by_list.setdefault(each.inside, []).append(each)

    def __bool__(self) -> bool:
        return bool(self.all)

    def name(self, items: Nodes, i: int, what: str) -> str | None:
        """The name that is given right before ``items[i]`` to ``what`` the list is about."""
        return self._name(items[0].at, i, what) if self.all else None  # type: ignore[union-attr]

    def module_name(self, inside: int, i: int) -> str | None:
        """The same of a module, whose list starts at ``inside``, or which has none."""
        return self._name(inside, i, "module")

    def _name(self, inside: int, i: int, what: str) -> str | None:
        name = None
        for each in self._of(inside, NAME):
            if each.before != i:
                continue
            if name is not None:
                raise each.refused(f"multiple {what} names")
            each.used = True
            name = each.text("string expected")
            if len(each.tokens) > 1:
                raise each.refused("unexpected token", each.tokens[1])
        return name

    def customs(self, inside: int) -> list[tuple[str, bytes, int]]:
        """The custom sections of a module, in order: name, contents, and the id of the known
        section that each follows."""
        placed = []
        for each in self._of(inside, CUSTOM):
            each.used = True
            name, data, after, before = each.custom()
            placed.append((_IDS.index(after), before, (name, data, after)))
        return [custom for *_, custom in sorted(placed, key=lambda each: each[:2])]

    def hints(self, start: int, end: int) -> Iterator[Annotation]:
        """The branch hints between two places."""
        seen = set()
        for each in self.all:
            if each.name == HINT and start <= each.at < end:
                each.used = True
                if each.target in seen:
                    raise each.refused("duplicate annotation")
                seen.add(each.target)
                yield each

    def check(self, start: int, end: int) -> None:
        """Nobody has missed one between two places."""
        for each in self.all:
            if not each.used and start <= each.at < end:
                if each.name == HINT:
                    raise each.refused("not in a function")
                where = Token("ANNOTATION", "", each.at)
                raise misplaced(f"misplaced @{each.name} annotation", where)

    def _of(self, inside: int, name: str) -> list[Annotation]:
        return [each for each in self.by_list.get(inside, ()) if each.name == name]


def _find(annotation: Annotation, nodes: Nodes) -> None:
    """Find where the annotation stands, among the lists of a text."""
    items, inside = nodes, -1
    while True:
        i = bisect(items, annotation.at, key=position)
        before = items[i - 1] if i else None
        if not isinstance(before, list) or position(before[-1]) < annotation.at:
            break
        items, inside = before, position(before)
    annotation.inside, annotation.before = inside, i
    if i < len(items):
        following = items[i]
        annotation.target = position(following[1] if isinstance(following, list) else following)
