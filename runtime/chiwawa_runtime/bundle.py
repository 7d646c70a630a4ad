"""What a generated file imports, and all of it: its tables as literals in, a ``Bundle`` out."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from chiwawa_runtime.command.main import main
from chiwawa_runtime.command.reporting import reported
from chiwawa_runtime.engine.code_rows import WrittenCode
from chiwawa_runtime.engine.deferred import FORMAT, deferred, edited, other_format
from chiwawa_runtime.engine.generated import GeneratedEngine
from chiwawa_runtime.engine.translation import Bundle, unpack
from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.run.starting import Setup, instantiate
from chiwawa_runtime.state.deftypes import close
from chiwawa_runtime.state.program_literals import from_literals
from chiwawa_runtime.state.type_text import valtype


class File(Bundle):
    """The ``Bundle`` of a generated file that has been imported."""

    def instantiate(self, imports: Mapping[str, Mapping[str, Any]] | None = None) -> Any:
        """An ``Instance`` whose start function has run. Raises UnlinkableError and Trap."""
        return instantiate(self.program, GeneratedEngine(self), Setup(imports=imports or {}))


def bundle(format: int = 1, **tables: Any) -> File:
    """What a generated file offers, whose ``tables`` are as ``read_tables`` takes them. Raises
    BadInput for another ``format`` than this version's: the first one did not say it. In a file
    that is run as a program, that is a line and the end of it."""
    caller = sys._getframe(1)
    filename = caller.f_code.co_filename
    try:
        if format != FORMAT:
            raise other_format()
        return read_tables(filename, **tables)
    except BadInput as error:
        if caller.f_globals.get("__name__") != "__main__":
            raise
        refusal = BadInput(f"{filename}: {error}")

    def refuse() -> int:
        raise refusal

    sys.exit(reported(refuse))


def read_tables(
    filename: str,
    *,
    granularity: str,
    canonical_nans: bool,
    program: Mapping[str, Any],
    imported_names: Sequence[str],
    functions: str,
    first_line: int,
    valtypes: Mapping[str, str],
    codes: str,
    module: str,
) -> File:
    """``program`` is as ``program_literals`` has it; ``functions`` the source of the functions,
    which begins in ``first_line`` of ``filename``; ``codes`` a line for each (``code_rows``), with
    the text of the types that stand in it by code in ``valtypes``; ``module`` the module, packed.
    The rest is as in ``Bundle``."""
    known = from_literals(program, unpack(module) if program["datas"] else b"")
    types = {code: close(valtype(text), known.types) for code, text in valtypes.items()}
    own = list(deferred(functions, filename, first_line))
    rows = codes.strip().splitlines()
    if len(own) != len(rows):
        raise edited()
    return File(
        known,
        [
            WrittenCode(f, row, types, known.types, known.functions)
            for f, row in zip(own, rows, strict=True)
        ],
        granularity,
        imported_names,
        module,
        canonical_nans,
    )


def run_file(file: Bundle) -> None:
    """``python FILE …``: the program, as ``chiwawa run FILE …`` runs it."""
    sys.exit(main(file, sys.argv[1:]))
