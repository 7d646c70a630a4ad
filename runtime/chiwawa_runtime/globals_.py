"""A global (spec 4.2.9)."""

from __future__ import annotations

from chiwawa_runtime.types import GlobalType


class Global:
    """A global instance. ``value`` is as ``numerics`` says for numbers, and whatever the store
    uses for references; None is null."""

    __slots__ = ("type", "value")

    def __init__(self, type: GlobalType, value: object) -> None:
        self.type = type
        self.value = value
