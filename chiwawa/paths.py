"""The paths of execution that there are. One row each; what a path is says ``execution``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chiwawa.execution import Path

#: By name, where the ``PATH`` of each is. It is loaded when it is first asked for: who interprets
#: needs no translator.
HOMES = {
    "interp": "chiwawa.interp.path",
    "aot": "chiwawa.aot.path",
    "native": "chiwawa.native.path",
}
#: What names no path: the fastest that can run a program as it is to be run.
AUTO = "auto"


def names() -> tuple[str, ...]:
    return tuple(HOMES)


def available() -> tuple[str, ...]:
    """The names of those that can run programs here."""
    return tuple(name for name in HOMES if path(name).lacks() is None)


def path(name: str) -> Path:
    """Raises ValueError where there is no such path."""
    if name not in HOMES:
        raise ValueError(f"path is {' or '.join((*HOMES, AUTO))}, not {name!r}")
    found: Path = import_module(HOMES[name]).PATH
    return found


def looked_at(name: str) -> str:
    """The name of a path on which instruments can look at what ``name`` would run: its own, or that
    of the fastest that has them."""
    if path(name).instruments:
        return name
    return next(each for each in reversed(HOMES) if path(each).instruments)


def entering_anywhere() -> str:
    """The name of the first path on which a run can be taken on from every boundary."""
    return next(name for name in HOMES if path(name).enters_anywhere)
