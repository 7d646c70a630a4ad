"""What several tests of single parts share."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiwawa.cache import Cache


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """One of the test's own, with nothing in it."""
    return Cache(str(tmp_path / "cache"))
