"""What the site does to a page before it is rendered.

A link to a file of the source that is no page becomes its words: in a checkout it leads somewhere,
on the site it would not. One that leads nowhere in a checkout stays, and ``mkdocs build --strict``
fails for it. The reference gets an entry for each public name.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

_DOCS = Path(__file__).parent
_LEADING_OUT = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)#\s]+)(?:#[^)\s]*)?\)")
_NAMES = "<!-- public names -->"


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    text = without_sources(markdown, Path(page.file.src_uri).parent)
    return text.replace(_NAMES, "\n\n".join(f"::: chiwawa.{name}" for name in public_names()))


def without_sources(markdown: str, folder: Path) -> str:
    """``markdown`` of a page in ``folder``, a path below docs/."""

    def words(link: re.Match[str]) -> str:
        target = (_DOCS / folder / link[2]).resolve()
        inside = target.is_relative_to(_DOCS.resolve())
        return link[0] if inside or not target.exists() else link[1]

    return _LEADING_OUT.sub(words, markdown)


def public_names() -> list[str]:
    """What ``chiwawa.__all__`` lists, read from the source: a site is built without the package."""
    source = (_DOCS.parent / "chiwawa" / "__init__.py").read_text(encoding="utf-8")
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(targets=[ast.Name("__all__")], value=value):
                return [name for name in ast.literal_eval(value) if name != "__version__"]
    raise ValueError("chiwawa lists no public names")
