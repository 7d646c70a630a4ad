"""A page in headless Chromium: what its scripts made of it, and what they complained of."""

from __future__ import annotations

import secrets
import subprocess
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from tests.need_helpers import need

#: Nothing but the page: no network, no profile of the user's, no service of the maker's.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--proxy-server=127.0.0.1:1",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


@dataclass(frozen=True, slots=True)
class Element:
    tag: str
    attributes: dict[str, str]
    #: Of the element itself and all in it.
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()


#: Elements that have no end.
VOID = ("meta", "link", "input", "br")


class Document(HTMLParser):
    """All elements of a page, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if any(element.tag == tag for element in self._open):
            while self._open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.words.append(data)

    def of(self, tag: str, class_: str | None = None) -> list[Element]:
        return [
            element
            for element in self.elements
            if element.tag == tag and (class_ is None or class_ in element.classes)
        ]

    def named(self, name: str) -> Element:
        (found,) = (e for e in self.elements if e.attributes.get("id") == name)
        return found


@dataclass(frozen=True, slots=True)
class Shown:
    """``console`` are the lines that went to the browser's console."""

    document: Document
    console: list[str]

    @property
    def whole(self) -> bool:
        """Whether the script came to its end and nothing was wrong on the way."""
        (root,) = self.document.of("html")
        errors = self.document.named("errors")
        drawn = root.attributes.get("data-drawn") == "yes"
        return drawn and "hidden" in errors.attributes and not errors.text and not self.console


def show(page: str, folder: Path, then: str = "") -> Shown:
    """``page`` after its scripts ran, and then the script ``then``, which its policy is made to
    allow."""
    program = need("browser")
    if then:
        nonce = secrets.token_hex(8)
        page = page.replace("script-src ", f"script-src &#x27;nonce-{nonce}&#x27; ", 1)
        page = page.replace("</html>", f'<script nonce="{nonce}">{then}</script></html>')
    file = folder / "shown.html"
    file.write_text(page, encoding="utf-8")
    done = subprocess.run(
        [
            program,
            *FLAGS,
            f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr",
            "--v=0",
            # As much time as timers ask for, in no time.
            "--virtual-time-budget=1000",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Shown(Document(done.stdout), console)
