"""The scripts of the specification's test suite, of whichever checkout there is."""

from __future__ import annotations

from pathlib import Path

from tests import need_helpers

SUITE = Path(need_helpers.testsuite() or "missing")
#: Folders of a checkout that do not speak for the standard.
ELSEWHERE = {"proposals", "legacy"}
FILES = sorted(
    path.relative_to(SUITE).as_posix()
    for path in SUITE.rglob("*.wast")
    if not ELSEWHERE & set(path.relative_to(SUITE).parts)
) or ["the suite"]
