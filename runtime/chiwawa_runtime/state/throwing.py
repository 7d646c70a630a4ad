"""How an exception is thrown (spec 4.4.8): what goes through frames then, and out of a program to
the host, is Python's exception ``Thrown``. It is no trap, and a program catches nothing else."""

from __future__ import annotations

from typing import Any

from chiwawa_runtime.errors import Abrupt, Trap
from chiwawa_runtime.state.exceptions import ExceptionInstance, Tag
from chiwawa_runtime.state.heap import shown
from chiwawa_runtime.state.store import coerce


class Thrown(Abrupt):
    """A program has thrown an exception. It reaches the host where nothing in the program catches
    it; a host function raises one (see ``of``) to throw it into the program. ``tag`` and ``values``
    say what it is; ``exception`` is what a program holds of it.

    >>> module = chiwawa.load('''(module (tag $e (export "e") (param i32))
    ...   (func (export "f") (throw $e (i32.const 7))))''')
    >>> instance = chiwawa.instantiate(module)
    >>> try:
    ...     instance.invoke("f")
    ... except chiwawa.Thrown as thrown:
    ...     print(thrown.tag is instance.exports["e"], thrown.values)
    True [7]
    """

    def __init__(self, exception: ExceptionInstance) -> None:
        super().__init__("uncaught exception")
        self.exception = exception

    @classmethod
    def of(cls, tag: Tag, *values: Any) -> Thrown:
        """An exception of ``tag`` for a host function to raise: ``raise Thrown.of(tag, 1, 2)``.
        Raises TypeError and ValueError where ``values`` are not of the tag's types."""
        params = tag.type.type.params
        if len(values) != len(params):
            raise TypeError(f"{tag!r} takes {len(params)} values, not {len(values)}")
        return cls(ExceptionInstance(tag, tuple(map(coerce, values, params))))

    @property
    def line(self) -> str:
        values = ", ".join(map(shown, self.values))
        return f"{self.message}: {self.tag.name or 'of a tag without a name'} ({values})"

    @property
    def tag(self) -> Tag:
        return self.exception.tag

    @property
    def values(self) -> list[Any]:
        return list(self.exception.values)


def throw(tag: Tag, *values: Any) -> None:
    """Spec 4.4.8, throw."""
    raise Thrown(ExceptionInstance(tag, values))


def throw_ref(exception: ExceptionInstance | None) -> None:
    """Spec 4.4.8, throw_ref."""
    if exception is None:
        raise Trap("null exception reference")
    raise Thrown(exception)
