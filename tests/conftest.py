"""What all tests share: golden files, refreshed by ``pytest --refresh-golden``, and needs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.need_helpers import need

# What tests find out must not hang on what others have left in the user's cache, nor fill it. Those
# of the cache have one of their own.
os.environ["CHIWAWA_CACHE"] = "off"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--refresh-golden",
        action="store_true",
        help="write the files in tests/golden anew; read what changed as a diff",
    )


# How long an example takes, and drawing it, is the machine's business. (Wasm Pythons, which run a
# part of the tests, have nothing of hypothesis that is machine code.)
with suppress(ImportError):
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any machine")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            need(name)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """``golden(name, text)``: ``text`` is that of the file ``name`` in tests/golden."""

    def compare(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if request.config.getoption("--refresh-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> None:
    """Whoever starts the tests in a shell's background has interrupts ignored, and what the tests
    start would ignore them too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
