"""Types as the state has them."""

from __future__ import annotations

import copy
import pickle

import pytest

from chiwawa_runtime.state.types import F32, F64, I32, I64, V128, NumType, VecType


@pytest.mark.parametrize("valtype", [I32, I64, F32, F64, V128], ids=str)
def test_there_is_one_object_for_each_number_type(valtype: NumType | VecType) -> None:
    assert copy.deepcopy([valtype])[0] is valtype
    assert pickle.loads(pickle.dumps(valtype)) is valtype
