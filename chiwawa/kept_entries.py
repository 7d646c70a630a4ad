"""Entries of the user's cache that hold something of many things by number, to which each process
adds what it has made."""

from __future__ import annotations

import marshal
from typing import Any

from chiwawa.cache import Cache

#: What a process has made is not worth a new file where it is less than this part of the old one.
LEAST = 256

Entries = dict[int, tuple[Any, ...]]


def read_entries(cache: Cache, key: str) -> Entries:
    """What is there."""
    return _entries(cache.read(key))


def add_entries(cache: Cache, key: str, new: Entries) -> None:
    """Keep ``new`` beside what is there by now, which others may have written."""
    if not new:
        return
    data = cache.read(key)
    if len(marshal.dumps(new)) * LEAST >= len(data or b""):
        cache.keep(key, marshal.dumps({**_entries(data), **new}))


def _entries(data: bytes | None) -> Entries:
    return {} if data is None else marshal.loads(data)
