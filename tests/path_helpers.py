"""The paths of execution, for all tests: one list, that of ``chiwawa.paths``."""

from __future__ import annotations

import itertools

import pytest

from chiwawa import paths

#: Those that can run here.
PATHS = paths.available()
#: Of a path and the one after it, each pair once.
PAIRS = list(itertools.permutations(PATHS, 2))

each_path = pytest.mark.parametrize("path", PATHS)


def next_path(path: str) -> str:
    """The path after ``path``; by and by that is each of them."""
    return PATHS[(PATHS.index(path) + 1) % len(PATHS)]
