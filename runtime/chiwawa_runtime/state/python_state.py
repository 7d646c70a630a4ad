"""The owner of state whose bytes, references and values are Python's own objects: what handlers and
generated code run over."""

from __future__ import annotations

from collections.abc import Sequence

from chiwawa_runtime.state.allowance import Allowance
from chiwawa_runtime.state.data_segments import DataSegments, HeldSegments
from chiwawa_runtime.state.globals import Global
from chiwawa_runtime.state.interface import AnyGlobal, AnyMemory, AnyTable
from chiwawa_runtime.state.memory import Memory, new_memories
from chiwawa_runtime.state.table import Room, Table, unfilled
from chiwawa_runtime.state.types import GlobalType, MemoryType, TableType


class PythonState:
    """A ``StateOwner`` (see ``interface``)."""

    def new_memories(self, types: Sequence[MemoryType]) -> Sequence[AnyMemory]:
        return new_memories(types)

    def new_tables(self, types: Sequence[TableType]) -> Sequence[AnyTable]:
        room = Room()
        return [unfilled(t, room) for t in types]

    def new_datas(self, contents: Sequence[bytes]) -> DataSegments:
        return HeldSegments(contents)

    def new_global(self, type: GlobalType, value: object) -> AnyGlobal:
        return Global(type, value)

    def accepts(self, given: AnyMemory | AnyTable | AnyGlobal) -> bool:
        return isinstance(given, Memory | Table | Global)

    def limit(self, things: Sequence[AnyMemory] | Sequence[AnyTable], allowance: Allowance) -> None:
        for each in things:
            each.allowances.add(allowance)
