"""Segments of a module that wasmtime runs. Flags in the shadow memory say whether they have been
dropped, by the program or before it runs; what is in them the module says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, overload

from chiwawa.native import layout
from chiwawa.native.internals import same as same_reference
from chiwawa.native.machine import Machine
from chiwawa_runtime.state.data_segments import DataSegment, DataSegments
from chiwawa_runtime.state.table import ElemSegment


class Dropping(Protocol):
    """The engine that they are of."""

    @property
    def machine(self) -> Machine: ...
    def drop(self, flag: int, which: bytes = ...) -> None: ...


class NativeElem(ElemSegment):
    __slots__ = ("content", "engine", "flag")

    def __init__(self, engine: Dropping, flag: int, given: ElemSegment) -> None:
        self.engine = engine
        self.flag = flag
        super().__init__(given.elements)

    def takes(self, elements: Sequence[object]) -> bool:
        """The engine has made them, and nobody else can put anything there."""
        return all(map(same_reference, elements, self.content))

    def drop(self) -> None:
        self.engine.drop(self.flag)

    @property
    def elements(self) -> list[Any]:
        return [] if self.dropped else self.content

    @elements.setter
    def elements(self, elements: list[Any]) -> None:
        self.content = elements

    @property
    def dropped(self) -> bool:
        return bool(self.engine.machine.byte(self.flag))

    @dropped.setter
    def dropped(self, value: bool) -> None:
        """None is when it is made."""


class NativeData(DataSegment):
    __slots__ = ("content", "engine", "flag")

    def __init__(self, engine: Dropping, flag: int, data: bytes) -> None:
        self.engine = engine
        self.flag = flag
        super().__init__(data)

    def drop(self) -> None:
        self.engine.drop(self.flag)

    @property
    def data(self) -> bytes:
        return b"" if self.dropped else self.content

    @data.setter
    def data(self, data: bytes) -> None:
        self.content = data

    @property
    def dropped(self) -> bool:
        return bool(self.engine.machine.byte(self.flag))

    @dropped.setter
    def dropped(self, value: bool) -> None:
        """None is when it is made."""


class NativeDatas(DataSegments):
    """Each is made when it is asked for, and knows nothing that the others do not."""

    __slots__ = ("contents", "engine")

    def __init__(self, engine: Dropping, contents: Sequence[bytes]) -> None:
        self.engine = engine
        self.contents = contents

    def __len__(self) -> int:
        return len(self.contents)

    @overload
    def __getitem__(self, index: int) -> DataSegment: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[DataSegment]: ...
    def __getitem__(self, index: int | slice) -> DataSegment | Sequence[DataSegment]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        content = self.contents[index]
        return NativeData(self.engine, layout.DROPPED + index % len(self), content)

    def dropped(self) -> Sequence[bool]:
        return [*map(bool, self.engine.machine.flags()[: len(self)])]

    def drop(self, which: Sequence[bool]) -> None:
        self.engine.drop(layout.DROPPED, bytes(which))
