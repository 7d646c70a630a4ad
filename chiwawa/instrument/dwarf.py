"""Source lines of instructions, read by pyelftools from the DWARF that a module carries.

DWARF for WebAssembly (webassembly.github.io/tool-conventions/Debugging) counts addresses from the
start of the code section's contents; ``Func.at`` and a code offset make one. The ranges of the
units say which unit an address is in, and only such a unit's line program is decoded. Modules are
hostile: whatever is wrong in the sections means that there are no lines, never an error.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from elftools.common.exceptions import DWARFError
from elftools.common.utils import struct_parse
from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo
from elftools.dwarf.enums import DW_FORM_raw2name
from elftools.dwarf.lineprogram import LineProgram
from elftools.dwarf.ranges import BaseAddressEntry

from chiwawa.module import Module
from chiwawa_runtime.names import printable
from chiwawa_runtime.state.types import I64

_SECTIONS = (
    "abbrev",
    "addr",
    "info",
    "line",
    "line_str",
    "ranges",
    "rnglists",
    "str",
    "str_offsets",
)
#: Longer strings are cut: any number of entries may name one, or each a part of one.
_LONGEST = 1024
_TOO_LONG = re.compile(rb"[^\0]{%d}" % _LONGEST)
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")


@dataclass(slots=True)
class Rows:
    """A line table: what is at ``addresses[i]`` and up to the next is of ``places[i]``, a path and
    a line, or of no line (None). Addresses ascend; of equal ones the last counts."""

    addresses: list[int]
    places: list[tuple[str, int] | None]

    def find(self, address: int) -> tuple[str, int] | None:
        row = bisect_right(self.addresses, address) - 1
        return None if row < 0 else self.places[row]


@dataclass(slots=True)
class SourceLines:
    """The source lines of a module. ``problem`` is a line about what was found wrong in its DWARF
    so far: some places have no source then."""

    info: DWARFInfo
    #: By function index: where the body starts. Imported functions have no entry.
    starts: dict[int, int]
    #: Addresses that code has: from, and up to.
    code: tuple[int, int]
    problem: str | None = None
    ranges: list[tuple[int, int, CompileUnit]] | None = None
    #: Units that do not say where their code is, as one table.
    rest: Rows = field(default_factory=lambda: Rows([], []))
    #: By where the line program is in its section.
    tables: dict[int, Rows] = field(default_factory=dict)

    def at(self, function: int, offset: int) -> str | None:
        """``file.c:12`` for the instruction at a code offset of a function, where that is known.
        The path is what the DWARF has, without the compilation directory where it is inside, and
        printable."""
        start = self.starts.get(function)
        if start is None:
            return None
        address = start + offset
        place = None
        for unit in self._units(address):
            place = place or self._table(unit).find(address)
        place = place or self.rest.find(address)
        return None if place is None else f"{place[0]}:{place[1]}"

    def _units(self, address: int) -> list[CompileUnit]:
        if self.ranges is None:
            self.ranges = []
            self._index()
        # Only the range that begins last can hold the address: code has one owner.
        found = bisect_right(self.ranges, address, key=lambda r: r[0]) - 1
        if found < 0 or address >= self.ranges[found][1]:
            return []
        return [self.ranges[found][2]]

    def _index(self) -> None:
        """Fill ``ranges``, and ``rest`` from the units that have none."""
        assert self.ranges is not None
        homeless = []
        try:
            for unit in self.info.iter_CUs():
                found = self._attempt_ranges(unit)
                self.ranges += [(low, high, unit) for low, high in found if self._is_code(low)]
                if not found:
                    homeless.append(unit)
        except Exception as error:
            self._note(error)
        self.ranges.sort(key=lambda r: r[0])
        self.rest = _merged([self._table(unit) for unit in homeless])

    def _attempt_ranges(self, unit: CompileUnit) -> list[tuple[int, int]]:
        try:
            return list(_ranges(self.info, unit))
        except Exception as error:
            self._note(error)
            return []

    def _table(self, unit: CompileUnit) -> Rows:
        """The line table of a unit; without rows where it has none, or a broken one."""
        try:
            attributes = unit.get_top_DIE().attributes
            if "DW_AT_stmt_list" not in attributes:
                return Rows([], [])
            at = int(attributes["DW_AT_stmt_list"].value)
            known = self.tables.get(at)
            if known is not None:
                return known
            # Not anew for each unit that names it, whatever comes of it.
            self.tables[at] = Rows([], [])
            _check_entries(self.info, unit, at)
            program = self.info.line_program_for_CU(unit)
            assert program is not None
            directory = attributes.get("DW_AT_comp_dir")
            rows = self._rows(program, b"" if directory is None else directory.value)
            self.tables[at] = rows
        except Exception as error:
            self._note(error)
            return Rows([], [])
        return rows

    def _rows(self, program: LineProgram, directory: bytes) -> Rows:
        rows: list[tuple[int, bool, int, int]] = []
        sequence: list[tuple[int, bool, int, int]] = []
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            sequence.append((state.address, not state.end_sequence, state.file, state.line))
            if state.end_sequence:
                # What the linker left out keeps its lines, at an address that no code has.
                if self._is_code(sequence[0][0]):
                    rows += sequence
                sequence = []
        # Where one sequence ends and another begins, the beginning counts.
        rows.sort(key=lambda row: row[:2])
        paths: dict[int, str] = {}
        places: list[tuple[str, int] | None] = []
        for _, going_on, file, line in rows:
            if not going_on or line <= 0:
                places.append(None)
                continue
            if file not in paths:
                paths[file] = _path(program, file, directory)
            places.append((paths[file], line))
        return Rows([row[0] for row in rows], places)

    def _is_code(self, address: int) -> bool:
        return self.code[0] <= address < self.code[1]

    def _note(self, error: Exception) -> None:
        if self.problem is None:
            text = " ".join(str(error).split())
            self.problem = f"broken DWARF: {type(error).__name__}{text and ': '}{text}"


def source_lines(module: Module, sections: Mapping[str, bytes]) -> SourceLines:
    """The source lines of ``module``, whose custom sections are ``sections``. Cheap: they are read
    when lines are asked for."""
    imported = len(module.func_typeidxs()) - len(module.funcs)
    starts = {
        imported + index: func.at for index, func in enumerate(module.funcs) if func.at is not None
    }
    last = module.funcs[-1] if module.funcs else None
    end = 0 if last is None or last.at is None else last.at + last.body[-1].offset + 1
    wide = any(memory.limits.address is I64 for memory in module.memory_types())
    info = DWARFInfo(
        DwarfConfig(little_endian=True, machine_arch="wasm", default_address_size=8 if wide else 4),
        debug_aranges_sec=None,
        debug_frame_sec=None,
        eh_frame_sec=None,
        debug_loc_sec=None,
        debug_pubtypes_sec=None,
        debug_pubnames_sec=None,
        debug_loclists_sec=None,
        debug_sup_sec=None,
        gnu_debugaltlink_sec=None,
        debug_types_sec=None,
        **{f"debug_{name}_sec": _section(sections, f".debug_{name}") for name in _SECTIONS},
    )
    return SourceLines(info, starts, (min(starts.values(), default=0), end))


def _section(sections: Mapping[str, bytes], name: str) -> DebugSectionDescriptor | None:
    data = sections.get(name)
    if data is None:
        return None
    if name in (".debug_str", ".debug_line_str"):
        data = _TOO_LONG.sub(lambda found: found[0][:-1] + b"\0", data)
    return DebugSectionDescriptor(io.BytesIO(data), name, 0, len(data), 0)


def _ranges(info: DWARFInfo, unit: CompileUnit) -> Iterator[tuple[int, int]]:
    """Where the code of a unit is: from an address up to another (DWARF 5, 3.1.1)."""
    attributes = unit.get_top_DIE().attributes
    base = 0
    if "DW_AT_low_pc" in attributes:
        base = attributes["DW_AT_low_pc"].value
    if "DW_AT_ranges" in attributes:
        lists = info.range_lists()
        if lists is None:
            return
        for entry in lists.get_range_list_at_offset(attributes["DW_AT_ranges"].value, unit):
            if isinstance(entry, BaseAddressEntry):
                base = entry.base_address
            else:
                start = 0 if entry.is_absolute else base
                yield start + entry.begin_offset, start + entry.end_offset
    elif "DW_AT_high_pc" in attributes:
        high = attributes["DW_AT_high_pc"]
        absolute = high.form in ("DW_FORM_addr", "DW_FORM_addrx")
        yield base, high.value if absolute else base + high.value


def _check_entries(info: DWARFInfo, unit: CompileUnit, at: int) -> None:
    """Raise DWARFError where the header of a line program promises entries that have no bytes: of
    these there might be any number (DWARF 5, 6.2.4)."""
    structs = unit.structs
    assert info.debug_line_sec is not None
    stream = info.debug_line_sec.stream
    stream.seek(at)
    struct_parse(structs.Dwarf_initial_length(""), stream)
    if struct_parse(structs.Dwarf_uint16(""), stream) < 5:
        return
    stream.seek(2, io.SEEK_CUR)
    struct_parse(structs.the_Dwarf_offset, stream)
    stream.seek(5, io.SEEK_CUR)
    stream.seek(struct_parse(structs.the_Dwarf_uint8, stream) - 1, io.SEEK_CUR)
    for _ in ("directories", "files"):
        forms = []
        for _ in range(struct_parse(structs.the_Dwarf_uint8, stream)):
            struct_parse(structs.the_Dwarf_uleb128, stream)
            forms.append(DW_FORM_raw2name[struct_parse(structs.the_Dwarf_uleb128, stream)])
        for _ in range(struct_parse(structs.the_Dwarf_uleb128, stream)):
            before = stream.tell()
            for form in forms:
                parser = structs.Dwarf_dw_form[form]
                if parser is None:
                    raise DWARFError(f"a line program has {form}")
                parser.parse_stream(stream)
            if stream.tell() == before:
                raise DWARFError("a line program has files without names")


def _path(program: LineProgram, file: int, compilation: bytes) -> str:
    """The path of a file by its number, relative to the compilation directory where it is inside
    (DWARF 4 and 5, 6.2.4: files and directories count from 1, then from 0)."""
    header = program.header
    files, directories = header["file_entry"], header["include_directory"]
    home = _text(compilation)
    if header["version"] >= 5:
        entry = files[file]
        directory = _text(directories[entry.dir_index or 0])
        home = home or _text(directories[0])
    else:
        if not 1 <= file <= len(files):
            raise DWARFError(f"a line program has no file {file}")
        entry = files[file - 1]
        directory = _text(directories[entry.dir_index - 1]) if entry.dir_index else ""
    path = _joined(home, _joined(directory, _text(entry.name)))
    inside = home.rstrip("/\\")
    if inside and path.startswith((f"{inside}/", f"{inside}\\")):
        return path[len(inside) + 1 :]
    return path


def _text(data: bytes | None) -> str:
    return printable((data or b"").decode("utf-8", "replace"))


def _joined(directory: str, path: str) -> str:
    if not directory or _ABSOLUTE.match(path):
        return path
    return f"{directory.rstrip('/')}/{path.removeprefix('./')}"


def _merged(tables: list[Rows]) -> Rows:
    pairs = [pair for t in tables for pair in zip(t.addresses, t.places, strict=True)]
    pairs.sort(key=lambda pair: (pair[0], pair[1] is not None))
    return Rows([address for address, _ in pairs], [place for _, place in pairs])
