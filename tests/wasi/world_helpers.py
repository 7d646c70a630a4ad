"""A small world for a guest: a directory to write, one only to read, and what lies outside."""

from __future__ import annotations

import os
from pathlib import Path

SECRET = "secret of the host"


def make_world(folder: Path) -> Path:
    """``work`` and ``fixed`` are given as /data (3) and /fixed (4, read-only)."""
    work, fixed = folder / "work", folder / "fixed"
    (folder / "outside" / "deep").mkdir(parents=True)
    (folder / "outside" / "secret").write_text(SECRET)
    for below in (work / "sub" / "deep", work / "empty", fixed / "sub"):
        below.mkdir(parents=True)
    (work / "file").write_text("hello world")
    (work / "other").write_text("other")
    (work / "sub" / "inner").write_text("inner")
    (fixed / "file").write_text("fixed")
    os.symlink("file", work / "link")
    os.symlink("sub", work / "dirlink")
    os.symlink("nowhere", work / "dangling")
    os.symlink("loop", work / "loop")
    return folder
