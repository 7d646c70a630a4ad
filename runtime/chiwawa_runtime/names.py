"""Names as people see them: what a function is called, and text that is safe to print.

Names come from modules, checkpoints and files, and may hold anything: whatever would make a
terminal or an editor do something else than show it is escaped here, and nowhere else. The forms
are those of the text format (spec 6.3.3 to 6.3.5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_BARE = re.compile(r"[0-9A-Za-z!#$%&'*+\-./:<=>?@\\^_`|~]+")
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_QUOTE = re.compile(r"[\x00-\x1f\"\\]|[^\x20-\x7e]")


def printable(text: str) -> str:
    """``text`` in one line, with nothing in it that a terminal obeys or hides."""
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else ascii(c)[1:-1] for c in text])


def is_bare_id(name: str) -> bool:
    """Whether ``$`` and this name make an identifier without quotes."""
    return _BARE.fullmatch(name) is not None


def quoted(name: str) -> str:
    """A literal of the text format for a name, readable: only what must be escaped is, and what
    does not show as itself."""
    return f'"{_QUOTE.sub(_escape, name)}"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    short = _SHORT.get(character)
    if short is not None:
        return short
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\{code:02x}" if code < 0x80 else f"\\u{{{code:x}}}"


def identifier(name: str) -> str:
    """A name as an identifier of the text format: ``$fill``, or ``$"two words"``."""
    return f"${name if is_bare_id(name) else quoted(name)}"


def function_label(index: int, name: str | None) -> str:
    """What a function is called wherever people read of it: ``$fill``, or ``func[3]`` where it has
    no name."""
    return identifier(name) if name else f"func[{index}]"


def indexed_label(index: int, name: str | None) -> str:
    """As ``function_label``, with the index where the label does not have it."""
    label = function_label(index, name)
    return f"{label} (function {index})" if name else label


def function_names(
    named: Mapping[int, str], exports: Iterable[tuple[str, str, int]], count: int
) -> dict[int, str]:
    """The name of each function that has one, by index, in order: that of the name section, else
    that of its first export. ``exports`` are names, kinds and indices; ``count`` functions."""
    names: dict[int, str] = {}
    for name, kind, index in exports:
        if kind == "func" and name:
            names.setdefault(index, name)
    names.update((index, name) for index, name in named.items() if name and index < count)
    return {index: names[index] for index in sorted(names)}
