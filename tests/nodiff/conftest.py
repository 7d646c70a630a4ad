"""What the tests of generated modules share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.need_helpers import need


@pytest.fixture(scope="session")
def oracle() -> Iterator[object]:
    """wasmtime in a process of its own."""
    need("wasmtime")
    from tests.nodiff.oracle_helpers import Oracle

    started = Oracle()
    yield started
    started.close()
