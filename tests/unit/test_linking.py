"""What an import takes of what is given for it (spec 3.4.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

import chiwawa
from chiwawa.execution import Settings, Source
from chiwawa.paths import path as path_of
from chiwawa_runtime.engine.instance import Importable, ModuleInstance
from chiwawa_runtime.state.memory import Memory
from chiwawa_runtime.state.program import ImportSpec
from chiwawa_runtime.state.table import Table
from chiwawa_runtime.state.types import FUNCREF, I64, Limits, MemoryType, TableType
from tests.path_helpers import IN_PYTHON

MEMORIES = [MemoryType(Limits(1, 2)), MemoryType(Limits(1, 2, I64))]
TABLES = [TableType(Limits(1, 2), FUNCREF), TableType(Limits(1, 2, I64), FUNCREF)]


def link(path: str, wanted: MemoryType | TableType, given: Importable) -> ModuleInstance:
    """An instance that imports ``wanted``, which no module can say yet where addresses are i64."""
    source = Source(chiwawa.load("(module)"))
    kind = "memories" if isinstance(wanted, MemoryType) else "tables"
    program = replace(
        source.program, imports=[ImportSpec("given", "it", wanted)], **{kind: [wanted]}
    )
    engine = path_of(path).prepare(source, Settings()).engine
    return ModuleInstance(program, {"given": {"it": given}}, engine)


@pytest.mark.parametrize("path", IN_PYTHON)
@pytest.mark.parametrize("types", [MEMORIES, TABLES], ids=["memory", "table"])
def test_addresses_are_of_the_type_that_is_wanted(
    path: str, types: list[MemoryType | TableType]
) -> None:
    for wanted in types:
        for given in types:
            thing = Memory(given) if isinstance(given, MemoryType) else Table(given)
            if given == wanted:
                link(path, wanted, thing)
                continue
            with pytest.raises(chiwawa.UnlinkableError, match="incompatible import type"):
                link(path, wanted, thing)
