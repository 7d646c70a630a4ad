"""The package's description for PyPI: the README, whose links to files of the source lead to the
repository that ``[project.urls]`` names as ``Source``; while it names none, they are plain names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: A link in Markdown to something that is neither elsewhere nor on the same page.
_RELATIVE = re.compile(r"\[([^\]]*)\]\((?![a-z]+:|#)([^)\s]+)\)")


class CustomMetadataHook(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        source = metadata.get("urls", {}).get("Source")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": description(text, source),
        }


def description(readme: str, source: str | None) -> str:
    """``readme`` without links that lead nowhere but in a checkout."""

    def link(found: re.Match[str]) -> str:
        words, path = found.groups()
        if source is not None:
            return f"[{words}]({source.rstrip('/')}/blob/main/{path})"
        return words if words == path else f"{words} ({path})"

    return _RELATIVE.sub(link, readme)
