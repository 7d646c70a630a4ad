"""The real programs, built once for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.real.moving_helpers import Programs
from tests.real.package_helpers import Taking


@pytest.fixture(scope="session")
def taking(tmp_path_factory: pytest.TempPathFactory) -> Taking:
    kept = os.environ.get("CHIWAWA_REAL_CACHE")
    return Taking(Path(kept).absolute() if kept else tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def programs(taking: Taking) -> Programs:
    return Programs(taking.folder / "translated")


@pytest.fixture(autouse=True)
def keeps_what_is_compiled(taking: Taking, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes minutes for the native path is done once for all sessions."""
    monkeypatch.setenv("CHIWAWA_CACHE", str(taking.folder / "compiled"))
