"""The documented functions are those that exist, and the other way round."""

from __future__ import annotations

import re
from pathlib import Path

from chiwawa_runtime.wasi import Wasi
from chiwawa_runtime.wasi.functions import FUNCTIONS
from chiwawa_runtime.wasi.signatures import SIGNATURES

DOCS = Path(__file__).parent.parent.parent / "docs" / "wasi.md"


def test_the_table_of_functions_is_that_of_the_code() -> None:
    documented = re.findall(r"^\| `(\w+)` \| complete \|", DOCS.read_text(), re.MULTILINE)
    assert documented == list(FUNCTIONS) == list(SIGNATURES)
    assert len(documented) == 46


def test_both_modules_offer_them() -> None:
    wasi = Wasi()
    imports = wasi.imports()
    assert list(imports["wasi_snapshot_preview1"]) == list(FUNCTIONS)
    assert set(FUNCTIONS) - set(imports["wasi_unstable"]) == {"sock_accept"}
    assert imports["wasi_snapshot_preview1"]["proc_exit"].type.results == ()
    wasi.close()
