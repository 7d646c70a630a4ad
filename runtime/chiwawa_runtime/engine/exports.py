"""What an instance exports, by name, for embedders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Exports(Mapping[str, Any]):
    """What an instance exports: functions, which are called as Python's are, memories, tables,
    globals and tags. Each is an item and, where its name is one of Python's and no method of a
    mapping, an attribute. As such they are of no type that a type checker knows, other than what
    ``Instance.func``, ``memory``, ``table``, ``global_`` and ``tag`` give.

    >>> module = chiwawa.load('''(module (func (export "add") (param i32 i32) (result i32)
    ...   (i32.add (local.get 0) (local.get 1))))''')
    >>> exports = chiwawa.instantiate(module).exports
    >>> exports["add"](2, 3), exports.add(2, -3)
    (5, -1)
    >>> exports
    <exports: add>
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any]) -> None:
        self._items = dict(items)

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._items:
            raise AttributeError(f'no export "{name}"', name=name, obj=self)
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *filter(str.isidentifier, self._items)]

    def __repr__(self) -> str:
        return f"<exports: {', '.join(self._items) or 'none'}>"
