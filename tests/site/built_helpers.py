"""A page of the built site, as whoever reads it in a browser has its blocks."""

from __future__ import annotations

from html.parser import HTMLParser

from tests.site.snippet_helpers import Block

_VOID = ("meta", "link", "input", "br", "img", "hr", "path")


class _Blocks(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Block] = []
        #: The classes of the elements that are open.
        self.open: list[tuple[str, list[str]]] = []
        self.title: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            return
        classes = (dict(attrs).get("class") or "").split()
        if "highlight" in classes:
            self.title, self.text = [], []
        self.open.append((tag, classes))

    def handle_data(self, data: str) -> None:
        if self._in("filename"):
            self.title.append(data)
        elif any(tag == "code" for tag, _ in self.open):
            self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        while self.open:
            opened, classes = self.open.pop()
            if "highlight" in classes:
                title = "".join(self.title) or None
                # The site does not say in which language they are.
                self.found.append(Block("", "".join(self.text), title))
            if opened == tag:
                break

    def _in(self, name: str) -> bool:
        return any(name in classes for _, classes in self.open)


def shown_blocks(page: str) -> list[Block]:
    """The blocks of a page, given as HTML, in the order in which they stand."""
    parser = _Blocks()
    parser.feed(page)
    parser.close()
    return parser.found
