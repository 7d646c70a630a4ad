"""A module to a Python file, written function by function as it is translated.

The file has the functions as one string, then everything else that an instance needs as literals,
and the module itself, compressed; ``chiwawa_runtime.bundle`` reads it. The same module gives the
same bytes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from chiwawa.aot.emit import Writer
from chiwawa.aot.function import translate_function
from chiwawa.aot.options import Options, options_for
from chiwawa.lower.points import points_of
from chiwawa.module import Module
from chiwawa.program import program_of
from chiwawa_runtime.collector import uncollected
from chiwawa_runtime.engine.code_rows import TypeCodes, write_row
from chiwawa_runtime.engine.deferred import OWN_TABLES
from chiwawa_runtime.engine.translation import pack
from chiwawa_runtime.state.deftypes import opened, type_indexes
from chiwawa_runtime.state.program_literals import to_literals

#: Called with how many functions are done, and how many there are.
Progress = Callable[[int, int], None]

HEADER = '''\
"""WebAssembly module {name}, translated to Python by chiwawa: do not edit.

Import it (``instantiate``), run it (``python FILE``), or give it to ``chiwawa run``. A function
that can be suspended is a generator: ``l0`` and so on are its locals, ``s0`` and so on its
operands, and ``pc`` is where to go on, 0 when it simply runs. Lines stand for instructions, so a
change of lines makes the file useless. The functions are in a string so that Python compiles only
those that are called.
"""

from chiwawa_runtime.bundle import bundle, run_file

'''
FOOTER = """\
)

instantiate = BUNDLE.instantiate

if __name__ == "__main__":
    run_file(BUNDLE)
"""
#: Around a raw string of many lines.
QUOTE, UNQUOTE = "r'''", "'''"
INDENT = "    "
WIDTH = 100


def translate(
    module: Module,
    out: TextIO,
    *,
    granularity: str = "safepoint",
    canonical_nans: bool = False,
    polls: bool = True,
    progress: Progress | None = None,
) -> None:
    """Write the translation of ``module``, which is valid, to ``out``.

    ``granularity`` is ``safepoint`` or ``instruction`` (every boundary is a safepoint: slow).
    With ``canonical_nans`` every NaN that arithmetic makes is the canonical one. ``polls`` False
    leaves the safepoints out, which only serves to measure what they cost.
    """
    options = options_for(
        module,
        everywhere=granularity == "instruction",
        canonical_nans=canonical_nans,
        polls=polls,
    )
    header = HEADER.format(name=described(module))
    first_line = header.count("\n") + 1
    out.write(f"{header}FUNCTIONS = {QUOTE}\n")
    type_codes = TypeCodes()
    with uncollected():
        rows = write_functions(options, first_line + 1, type_codes, out, progress or ignored)
        imported = options.spaces.imported_funcs
        program = to_literals(program_of(module))
        indexes = type_indexes(options.spaces.types)
        # In the order of ``bundle.read_tables``, which reads them.
        tables: dict[str, Iterable[str]] = {
            "granularity": [ascii(granularity)],
            "canonical_nans": [ascii(canonical_nans)],
            "program": literal(program, 1),
            "imported_names": literal(tuple(options.names[i] for i in range(imported)), 1),
            "functions": ["FUNCTIONS"],
            "first_line": [str(first_line)],
            "valtypes": literal(
                {c: str(opened(t, indexes)) for t, c in type_codes.codes.items()}, 1
            ),
            "codes": raw("".join(f"{row}\n" for row in rows)),
            "module": raw(pack(module.binary)),
        }
        out.write(f"{UNQUOTE}\n{OWN_TABLES}")
        for name, source in tables.items():
            out.write(f"    {name}=")
            out.writelines(source)
            out.write(",\n")
    out.write(FOOTER)


def write_functions(
    options: Options, line: int, type_codes: TypeCodes, out: TextIO, progress: Progress
) -> list[str]:
    """Write the functions, the first of which begins in ``line`` of the file, and give the rows of
    them that ``codes`` has."""
    spaces = options.spaces
    # Equal function types of several defined types are one here: a frame's operands are the same.
    indexes = type_indexes(spaces.types)
    type_index = {t.functype: i for t, i in indexes.items() if t.kind == "func"}
    total = len(spaces.module.funcs)
    rows = []
    writer = Writer()
    for done in range(total):
        progress(done, total)
        translated = translate_function(spaces.imported_funcs + done, options, writer)
        out.write(f"{quotable(translated.source)}\n\n\n")
        rows.append(
            write_row(
                translated.generator,
                line,
                translated.slots,
                translated.lines,
                points_of(translated.lowered),
                type_codes,
                type_index,
            )
        )
        line += translated.source.count("\n") + 3
    progress(total, total)
    return rows


def ignored(done: int, total: int) -> None:
    """A ``Progress`` that nobody looks at."""


def described(module: Module) -> str:
    name = module.names.module
    return ascii(name).replace("\\", "/").replace('"', "'") if name else "(without a name)"


def quotable(text: str) -> str:
    """``text``, which can stand in a raw string."""
    assert UNQUOTE not in text
    assert "\\" not in text
    return text


def raw(text: str) -> list[str]:
    """Source of a line break and ``text``, such that Python has next to nothing to do for it."""
    return [QUOTE, "\n", quotable(text), UNQUOTE]


def literal(value: Any, depth: int) -> Iterator[str]:
    """Source of a literal, in pieces: a dict, and a tuple that is directly in one, has a line for
    each of its parts, ``depth`` times indented; one of nothing but ints as few as it needs."""
    if isinstance(value, dict) and value:
        yield "{\n"
        for key, part in value.items():
            yield f"{INDENT * (depth + 1)}{key!a}: "
            yield from literal(part, depth + 1)
            yield ",\n"
        yield f"{INDENT * depth}}}"
    elif isinstance(value, tuple) and value:
        yield "(\n"
        indent = INDENT * (depth + 1)
        parts = [f"{part!a}," for part in value]
        if all(isinstance(part, int) for part in value):
            yield textwrap.fill(
                " ".join(parts), WIDTH, initial_indent=indent, subsequent_indent=indent
            )
            yield "\n"
        else:
            yield from (f"{indent}{part}\n" for part in parts)
        yield f"{INDENT * depth})"
    else:
        yield ascii(value)
