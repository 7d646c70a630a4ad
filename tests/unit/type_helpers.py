"""Types for hypothesis, more than there are instructions for."""

from __future__ import annotations

from hypothesis import strategies as st

from chiwawa_runtime.state.types import (
    HEAP_CODES,
    I8,
    I16,
    I32,
    I64,
    VALTYPE_BY_CODE,
    ArrayType,
    CompType,
    FieldType,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    RefType,
    StructType,
    SubType,
    TableType,
)

heaps = st.integers(0, 2**32 - 1) | st.sampled_from([*HEAP_CODES])
reftypes = st.builds(RefType, heaps, st.booleans())
valtypes = st.sampled_from([*VALTYPE_BY_CODE.values()]) | reftypes
_several = st.lists(valtypes, max_size=5).map(tuple)
functypes = st.builds(FuncType, _several, _several)
_fields = st.builds(FieldType, valtypes | st.sampled_from([I8, I16]), st.booleans())
comptypes: st.SearchStrategy[CompType] = (
    functypes
    | st.builds(ArrayType, _fields)
    | st.builds(StructType, st.lists(_fields, max_size=3).map(tuple))
)
#: Of a module that has types as they come: nothing says that they name types that are there.
subtypes = comptypes | st.builds(
    SubType, st.booleans(), st.lists(st.integers(0, 2**32 - 1), max_size=1).map(tuple), comptypes
)
_sizes = st.integers(0, 2**64 - 1)
limits = st.builds(Limits, _sizes, st.none() | _sizes, st.sampled_from([I32, I64]))
tabletypes = st.builds(TableType, limits, reftypes)
memorytypes = st.builds(MemoryType, limits)
globaltypes = st.builds(GlobalType, valtypes, st.booleans())
