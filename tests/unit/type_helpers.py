"""Types for hypothesis, more than there are instructions for."""

from __future__ import annotations

from hypothesis import strategies as st

from chiwawa_runtime.state.types import (
    I32,
    I64,
    VALTYPE_BY_CODE,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    RefType,
    TableType,
)

heaps = st.integers(0, 2**32 - 1) | st.sampled_from(["func", "extern", "any", "noextern", "i31"])
reftypes = st.builds(RefType, heaps, st.booleans())
valtypes = st.sampled_from([*VALTYPE_BY_CODE.values()]) | reftypes
_several = st.lists(valtypes, max_size=5).map(tuple)
functypes = st.builds(FuncType, _several, _several)
_sizes = st.integers(0, 2**64 - 1)
limits = st.builds(Limits, _sizes, st.none() | _sizes, st.sampled_from([I32, I64]))
tabletypes = st.builds(TableType, limits, reftypes)
memorytypes = st.builds(MemoryType, limits)
globaltypes = st.builds(GlobalType, valtypes, st.booleans())
