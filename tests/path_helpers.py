"""The paths of execution, for all tests: one list, that of ``chiwawa.paths``."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from chiwawa import paths
from chiwawa.execution import GRANULARITIES

#: Those that can run here.
EVERY = paths.available()
#: Those that all tests run. The native path is not among them yet: what compares runs and
#: checkpoints (``tests/nodiff/harness_helpers``) runs EVERY.
PATHS = tuple(name for name in EVERY if name != "native")
#: Of a path and the one after it, each pair once.
PAIRS = list(itertools.permutations(PATHS, 2))


def stopping_at(granularity: str) -> tuple[str, ...]:
    """The paths that can stop at safepoints of a granularity."""
    return tuple(name for name in EVERY if granularity in paths.path(name).granularities)


#: The paths whose instances can have tables and other state from each other.
SHARING = PATHS
#: Each path with each granularity that it has.
PATHS_AND_GRANULARITIES = list(itertools.product(PATHS, GRANULARITIES))
each_path = pytest.mark.parametrize("path", PATHS)
every_path = pytest.mark.parametrize("path", EVERY)


def next_path(path: str, among: Sequence[str] = PATHS) -> str:
    """The path after ``path``; by and by that is each of them."""
    return among[(among.index(path) + 1) % len(among)]
