"""Where functions can be suspended, kept for the next start: of a large module, as far as somebody
has asked, since few functions have frames that are ever saved, and these may be the largest."""

from __future__ import annotations

import weakref

from chiwawa.cache import Cache, key_of
from chiwawa.kept_entries import Entries, add_entries, read_entries
from chiwawa.lower.lowered import Spaces
from chiwawa.validated import is_kept
from chiwawa_runtime.engine.code_rows import TypeCodes, read_points, write_points
from chiwawa_runtime.state.deftypes import close, opened, type_indexes
from chiwawa_runtime.state.program import SuspensionPoints
from chiwawa_runtime.state.type_text import valtype


class KeptPoints:
    """Those of functions of a module, as far as they are in ``cache``. What is added is there when
    the process ends, or the module goes."""

    def __init__(self, spaces: Spaces, cache: Cache) -> None:
        module = spaces.module
        self.is_kept = is_kept(module.binary, cache)
        self.entries: Entries = {}
        #: What this process has found out.
        self.new: Entries = {}
        self.types, self.funcs = spaces.types, spaces.funcs
        if self.is_kept:
            key = key_of("suspension points", module.hash)
            self.entries = read_entries(cache, key)
            weakref.finalize(self, add_entries, cache, key, self.new)

    def get(self, function: int) -> SuspensionPoints | None:
        """Those of a function, if they are there."""
        entry = self.entries.get(function)
        if entry is None:
            return None
        fields, valtypes = entry
        known = {code: close(valtype(text), self.types) for code, text in valtypes.items()}
        return read_points(fields, known, self.types, self.funcs)

    def add(self, function: int, points: SuspensionPoints) -> None:
        if self.is_kept:
            indexes = type_indexes(self.types)
            functypes = {t.functype: i for t, i in indexes.items() if t.kind == "func"}
            codes = TypeCodes()
            fields = write_points(points, codes, functypes)
            valtypes = {code: str(opened(t, indexes)) for t, code in codes.codes.items()}
            self.new[function] = tuple(fields), valtypes
