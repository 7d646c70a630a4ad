"""Each page of docs/ has a place on the site."""

from __future__ import annotations

import re

from tests.cli.cli_helpers import ROOT


def test_each_page_has_one_place() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    placed = re.findall(r"- (\S+\.md)$", nav, re.MULTILINE)
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(placed) == sorted(pages)
