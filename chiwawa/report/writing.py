"""The page: a run's data, a script that draws it, and a style, in one file of HTML.

The head is written here; all else the script makes out of the data, as elements and text, never as
markup. What the page may do is said in its Content-Security-Policy: run the two scripts that it
consists of, by their hashes, and fetch nothing.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterator
from importlib import resources
from string import Template
from typing import Any

from chiwawa import __version__
from chiwawa.report.reading import Run

_SCRIPTS = ("elements.js", "flame.js", "functions.js", "memory.js", "main.js")
#: How many lines of code a page holds; those of the coldest functions are left out beyond.
LISTED_LINES = 200_000


def page(run: Run) -> str:
    """One self-contained HTML file, the same for the same run."""
    watch, style = _file("watch.js"), _file("page.css")
    script = "".join(map(_file, _SCRIPTS))
    policy = (
        f"default-src 'none'; script-src {_hash(watch)} {_hash(script)}; "
        f"style-src {_hash(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    return Template(_file("page.html")).substitute(
        policy=html.escape(policy),
        title=html.escape(run.module or "unnamed module"),
        sha256=html.escape(run.sha256),
        tiles="".join(_tiles(run)),
        gaps=_gaps(run.gaps),
        version=html.escape(__version__),
        style=style,
        watch=watch,
        script=script,
        # No "<" means no tag, so the data cannot end the element that it is in.
        run=json.dumps(_data(run), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )


def _file(name: str) -> str:
    return resources.files("chiwawa.report").joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _data(run: Run) -> dict[str, Any]:
    """What the script reads: ``Run`` in short, the hottest functions' lines only."""
    listing: list[list[Any]] | None = None
    unlisted = 0
    if run.listing is not None:
        listing = []
        left = LISTED_LINES
        for function in run.listing:
            left -= len(function.lines)
            unlisted += left < 0
            listing.append([function.index, function.count, function.lines if left >= 0 else None])
    return {
        "functions": run.functions,
        "tree": run.tree,
        "listing": listing,
        "unlisted": unlisted,
        "pages": run.pages,
        "tables": {
            name: {"columns": table.columns, "rows": table.rows, "note": table.note}
            for name, table in run.tables.items()
        },
    }


def _gaps(gaps: int) -> str:
    if not gaps:
        return ""
    parts = "A part" if gaps == 1 else f"{gaps:,} parts"
    return (
        f'<p class="warning">{parts} of this run went uncounted: the program went on where nothing '
        "was watching, so each number here says “at least”.</p>\n"
    )


def _tiles(run: Run) -> Iterator[str]:
    """What the run comes to, at a glance; each only where it was measured."""
    if run.tree is not None:
        yield _tile("instructions", f"{sum(row[3] for row in run.tree):,}")
    elif run.listing is not None:
        yield _tile("instructions", f"{sum(function.count for function in run.listing):,}")
    if run.listing is not None:
        ran = sum(function.count > 0 for function in run.listing)
        yield _tile("functions that ran", f"{ran:,}", f"of {run.defined:,}")
    if run.tree is not None:
        depths = [0]
        for parent, *_ in run.tree[1:]:
            depths.append(depths[parent] + 1)
        yield _tile("deepest chain of calls", f"{max(depths):,}")
    if run.pages is not None:
        pages = len(run.pages)
        yield _tile("pages touched", f"{pages:,}", f"{pages * 64:,} KiB" if pages else "")
    yield _tile("monitors", f"{len(run.tables):,}")


def _tile(what: str, value: str, more: str = "") -> str:
    small = f" <small>{more}</small>" if more else ""
    return f"<div><dt>{what}</dt><dd>{value}{small}</dd></div>"
