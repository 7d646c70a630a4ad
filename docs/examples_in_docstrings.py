"""Has the examples of docstrings, which are doctests, shown as the programs they are."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^>>> .*(?:\n.*\S.*)*", re.MULTILINE)


def fenced(docstring: str) -> str:
    return _EXAMPLE.sub(lambda example: f"\n```pycon\n{example[0]}\n```\n", docstring)


class ExamplesInDocstrings(griffe.Extension):  # type: ignore[misc]
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
