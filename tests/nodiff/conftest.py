"""What the tests of generated modules share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def oracle() -> Iterator[object]:
    """wasmtime in a process of its own."""
    pytest.importorskip("wasmtime", reason="wasmtime, the oracle, is not installed")
    from oracle import Oracle

    started = Oracle()
    yield started
    started.close()
