"""Tags and exceptions, as values that a program holds (spec 4.2.8, 4.2.14). Both are compared by
identity. How an exception is thrown is ``throwing``'s business."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chiwawa_runtime.state.deftypes import of_functype
from chiwawa_runtime.state.heap import shown
from chiwawa_runtime.state.plain import plain
from chiwawa_runtime.state.types import FuncType, TagType


class Tag:
    """A tag instance, of a module or of the host. Programs that import the same one can throw to
    each other by it.

    >>> from chiwawa_runtime.state.types import I32, FuncType
    >>> chiwawa.Tag(FuncType((I32,), ()), "error")
    <tag error [i32] -> []>
    """

    __slots__ = ("maker", "name", "type")

    def __init__(self, type_: TagType | FuncType, name: str | None = None) -> None:
        self.type = TagType(of_functype(type_)) if isinstance(type_, FuncType) else type_
        self.name = name
        #: The engine that has made it, of a tag that is not the host's, where that matters to it.
        self.maker: Any = None

    def __repr__(self) -> str:
        return f"<tag {self.name} {self.type}>" if self.name else f"<tag {self.type}>"


class ExceptionInstance:
    """What an ``exnref`` refers to: its ``tag``, and ``values``, plain as all that comes out of a
    program; ``held`` are the same as a program holds them.

    >>> module = chiwawa.load('''(module (tag $e (param i32))
    ...   (func (export "f") (result exnref) (block $h (result i32 exnref)
    ...     (try_table (catch_ref $e $h) (throw $e (i32.const -7))) (unreachable))
    ...     (return)))''')
    >>> exception = chiwawa.instantiate(module).call("f")
    >>> exception, exception.values
    (<exception <tag [i32] -> []> [-7]>, (-7,))
    """

    __slots__ = ("__weakref__", "held", "tag")

    def __init__(self, tag: Tag, held: Sequence[Any]) -> None:
        self.tag = tag
        self.held = held

    @property
    def values(self) -> tuple[Any, ...]:
        return tuple(map(plain, self.held, self.tag.type.type.params))

    def __repr__(self) -> str:
        return f"<exception {self.tag!r} [{', '.join(map(shown, self.values))}]>"
