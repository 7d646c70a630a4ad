"""The paths of execution, for all tests: one list, that of ``chiwawa.paths``, and which of them do
what not all do."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

import chiwawa
from chiwawa import paths
from chiwawa.execution import Source

#: Those that can run here.
PATHS = paths.available()
#: Of a path and the one after it, each pair once.
PAIRS = list(itertools.permutations(PATHS, 2))
#: Each path with each granularity that it has.
PATHS_AND_GRANULARITIES = [
    (name, granularity) for name in PATHS for granularity in paths.path(name).granularities
]
#: Those on which traces and monitors look. A run with them takes one of these, whatever was asked
#: for, and says so (``tests/instrument/test_native_handover.py``).
WATCHED = tuple(name for name in PATHS if paths.path(name).instruments)
#: The path of an instance, and that of another one which imports its memories, tables and mutable
#: globals. Those of machine code are of machine code alone.
SHARING = [
    (below, above)
    for below, above in itertools.product(PATHS, repeat=2)
    if (below == "native") == (above == "native")
]
#: Those that run in Python: in the thread that calls the program, over memories that Python holds
#: or is given. Native code runs in a thread that has the room for it, over what wasmtime holds
#: (docs/architecture.md).
IN_PYTHON = tuple(name for name in PATHS if name != "native")

each_path = pytest.mark.parametrize("path", PATHS)
each_path_and_granularity = pytest.mark.parametrize(
    ("path", "granularity"), PATHS_AND_GRANULARITIES
)
each_watched_path = pytest.mark.parametrize("path", WATCHED)


def running(module: chiwawa.Module) -> list[str]:
    """The paths that run ``module``."""
    source = Source(module)
    return [path for path in PATHS if paths.path(path).refusal(source, "safepoint") is None]


def stopping_at(granularity: str) -> tuple[str, ...]:
    """The paths that can stop at safepoints of a granularity."""
    return tuple(name for name in PATHS if granularity in paths.path(name).granularities)


def next_path(path: str, among: Sequence[str] = PATHS) -> str:
    """The path after ``path``; by and by that is each of them."""
    return among[(among.index(path) + 1) % len(among)]
