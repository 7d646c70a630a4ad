"""The paths of execution, for all tests: one list, that of ``chiwawa.paths``."""

from __future__ import annotations

import itertools

import pytest

from chiwawa import paths
from chiwawa.execution import GRANULARITIES

#: Those that can run here.
PATHS = paths.available()
#: Of a path and the one after it, each pair once.
PAIRS = list(itertools.permutations(PATHS, 2))


def stopping_at(granularity: str) -> tuple[str, ...]:
    """The paths that can stop at safepoints of a granularity."""
    return tuple(name for name in PATHS if granularity in paths.path(name).granularities)


#: Each path with each granularity that it has.
PATHS_AND_GRANULARITIES = [
    (name, granularity) for granularity in GRANULARITIES for name in stopping_at(granularity)
]
each_path = pytest.mark.parametrize("path", PATHS)


def next_path(path: str) -> str:
    """The path after ``path``; by and by that is each of them."""
    return PATHS[(PATHS.index(path) + 1) % len(PATHS)]
