"""Other Pythons, as ``samples/self-hosted`` has them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.need_helpers import lacking

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "samples" / "self-hosted"))

import hosts  # noqa: E402


@pytest.fixture(scope="session")
def host_named(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], hosts.Host]:
    """A host by its name. Where there is none, the test ends."""
    given = os.environ.get("CHIWAWA_HOSTS")
    cache = Path(given) if given else tmp_path_factory.mktemp("hosts")

    def find(name: str) -> hosts.Host:
        try:
            if name == "native":
                return hosts.this_python()
            if name == "pypy":
                return hosts.pypy()
            return hosts.wasi(cache) if name == "wasi" else hosts.pyodide(cache)
        except hosts.Missing as missing:
            lacking(str(missing))

    return find
