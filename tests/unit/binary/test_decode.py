"""Decoding: what is kept, what is refused and where."""

import pytest

from chiwawa.binary import decode
from chiwawa.module import BrTable, Custom, Data, Elem, Export, Import, MemArg, TypeUse
from chiwawa.opcodes import BY_NAME
from chiwawa_runtime.checkpoint.leb import encode_u
from chiwawa_runtime.errors import MalformedError, UnsupportedError
from chiwawa_runtime.state.types import (
    EXTERNREF,
    F64,
    FUNCREF,
    I32,
    I64,
    REF_FUNC,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
)

HEAD = "00 61 73 6d 01 00 00 00"
TYPE = "01 04 01 60 00 00"
FUNC = "03 02 01 00"


def load(*sections: str):
    return decode(bytes.fromhex(" ".join((HEAD, *sections))))


def code(body: str) -> str:
    """A type, a function and a code section, for one function of ``body``: locals and all."""
    size = len(bytes.fromhex(body))
    return f"{TYPE} {FUNC} 0a {size + 2:02x} 01 {size:02x} {body}"


def instructions(body: str):
    return [
        (instr.op.name, instr.imm, instr.offset) for instr in load(code(body)).funcs[0].body[:-1]
    ]


def test_every_section_is_kept() -> None:
    module = load(
        "01 08 01 60 02 7f 7e 02 7c 70",
        "02 0e 02 01 61 01 66 00 00 01 61 01 67 03 7f 01",
        "03 02 01 00",
        "04 05 01 6f 01 00 05",
        "05 03 01 00 01",
        "06 06 01 7e 00 42 7f 0b",
        "07 06 01 02 c3 a9 00 01",
        "08 01 00",
        "09 07 01 00 41 01 0b 01 00",
        "0c 01 02",
        "0a 06 01 04 01 02 7f 0b",
        "0b 09 02 00 41 05 0b 01 61 01 00",
    )
    assert module.types == [FuncType((I32, I64), (F64, FUNCREF))]
    assert module.import_section == [
        Import("a", "f", TypeUse(0)),
        Import("a", "g", GlobalType(I32, True)),
    ]
    assert module.tables == [TableType(Limits(0, 5), EXTERNREF)]
    assert module.mems == [MemoryType(Limits(1))]
    assert module.globals[0].type == GlobalType(I64, False)
    assert module.globals[0].init[0].imm == (2**64 - 1,)
    assert module.export_section == [Export("é", "func", 1)]
    assert module.start == 0
    (elem,) = module.elems
    assert isinstance(elem, Elem)
    assert (elem.mode, elem.type, elem.tableidx) == ("active", REF_FUNC, 0)
    assert [[instr.op.name for instr in init] for init in elem.init] == [["ref.func", "end"]]
    assert module.funcs[0].locals == (I32, I32)
    assert module.data_count == 2
    active, passive = module.datas
    assert (active.mode, active.init) == ("active", b"a")
    assert active.at is not None
    assert module.binary[active.at : active.at + 1] == b"a"
    assert passive == Data(b"", "passive", at=len(module.binary))


def test_code_offsets_count_from_the_vector_of_locals() -> None:
    assert instructions("01 01 7f 41 c0 00 1a 01 0b") == [
        ("i32.const", (64,), 3),
        ("drop", (), 6),
        ("nop", (), 7),
    ]


@pytest.mark.parametrize(
    ("body", "name", "imm"),
    [
        ("02 40 0b", "block", (None,)),
        ("03 7f 0b", "loop", (I32,)),
        ("04 80 01 0b", "if", (128,)),
        ("0e 02 01 02 80 00", "br_table", (BrTable((1, 2), 0),)),
        ("11 01 80 01", "call_indirect", (1, 128)),
        ("1c 01 6f", "select t*", ((EXTERNREF,),)),
        ("20 ff ff ff ff 0f", "local.get", (2**32 - 1,)),
        ("28 02 80 80 04", "i32.load", (MemArg(2, 65536),)),
        ("28 41 03 07", "i32.load", (MemArg(1, 7, 3),)),
        ("41 7f", "i32.const", (2**32 - 1,)),
        ("41 80 80 80 80 78", "i32.const", (2**31,)),
        ("42 80 80 80 80 78", "i64.const", (2**64 - 2**31,)),
        ("43 00 00 a0 7f", "f32.const", (0x7FA00000,)),
        ("44 01 00 00 00 00 00 f4 7f", "f64.const", (0x7FF4000000000001,)),
        ("d0 70", "ref.null", (FUNCREF,)),
        ("fc 80 00", "i32.trunc_sat_f32_s", ()),
        ("fc 0e 01 02", "table.copy", (1, 2)),
    ],
)
def test_immediates_are_read(body: str, name: str, imm: tuple[object, ...]) -> None:
    assert instructions(f"00 {body} 0b")[0] == (name, imm, 1)


def test_one_tuple_serves_equal_short_immediates() -> None:
    first, second = load(code("00 28 02 04 28 02 04 0b")).funcs[0].body[:2]
    assert first.op is BY_NAME["i32.load"]
    assert first.imm is second.imm


def test_custom_sections_are_kept_with_the_section_that_they_follow() -> None:
    module = load("00 03 01 61 ff", TYPE, "00 02 01 62")
    assert module.customs == [Custom("a", b"\xff", 0), Custom("b", b"", 1)]


def test_names_are_read() -> None:
    module = load("00 17 04 6e 61 6d 65 00 02 01 6d 01 04 01 05 01 66 02 06 01 05 01 00 01 78")
    assert module.names.module == "m"
    assert module.names.funcs == {5: "f"}
    assert module.names.locals == {5: {0: "x"}}


@pytest.mark.parametrize(
    "names",
    ["00 0a 04 6e 61 6d 65 00 03 02 6d ff", "00 09 04 6e 61 6d 65 01 02 05 00"],
)
def test_a_broken_name_section_is_ignored(names: str) -> None:
    module = load(names)
    assert module.names.module is None
    assert module.names.funcs == {}


@pytest.mark.parametrize(
    ("sections", "message", "offset"),
    [
        (["0e 01 00"], "malformed section id", 8),
        (["05 01 00", "04 01 00"], "unexpected content after last section", 11),
        (["01 ff ff ff ff 0f"], "length out of bounds", 9),
        (["01 02 00 00"], "section size mismatch", 9),
        ([TYPE, FUNC], "function and code section have inconsistent lengths", 18),
        (["0c 01 01"], "data count and data section have inconsistent lengths", 11),
        ([code("00 fc 09 00 0b")], "data count section required", 23),
        ([code("00 ff 0b")], "illegal opcode ff", 23),
        ([code("00 fc 12 0b")], "illegal opcode fc 12", 23),
        ([code("00 05 0b")], "END opcode expected", 23),
        ([code("00 02 40 05 0b 0b")], "END opcode expected", 25),
        ([code("00 04 40 05 05 0b 0b")], "END opcode expected", 26),
        ([code("00 02 40 0b")], "unexpected end", 26),
        ([code("00 28 80 01 00 0b")], "malformed memop flags", 24),
        ([code("01 d1 86 03 7f 0b")], "too many locals", 22),
        ([code("01 01 40 0b")], "malformed value type", 24),
        (["01 05 01 60 01 80 00"], "integer representation too long", 13),
        (["02 04 01 00 00 09"], "malformed import kind", 13),
        (["07 04 01 00 09 00"], "malformed export kind", 12),
        (["02 05 01 01 ff 00 00"], "malformed UTF-8 encoding", 12),
        (["04 04 01 70 08 00"], "malformed limits flags", 12),
        (["06 05 01 7f 02 0b 0b"], "malformed mutability", 12),
        (["09 04 01 05 7f 00"], "malformed reference type", 12),
        (["09 04 01 01 01 00"], "malformed element kind", 12),
    ],
)
def test_a_malformed_module_is_refused_with_its_offset(
    sections: list[str], message: str, offset: int
) -> None:
    with pytest.raises(MalformedError) as caught:
        load(*sections)
    assert caught.value.message.startswith(message)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("sections", "feature"),
    [
        (["01 03 01 5d 00"], "stack switching: a continuation type"),
    ],
)
def test_a_later_feature_is_refused_by_name(sections: list[str], feature: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load(*sections)
    assert caught.value.message.startswith(feature)
    assert " is not supported (at byte 0x" in caught.value.message


def test_a_component_is_named() -> None:
    with pytest.raises(UnsupportedError, match="a component is not supported"):
        decode(bytes.fromhex("00 61 73 6d 0d 00 01 00"))


def test_hostile_counts_need_no_memory() -> None:
    for section_id in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11):
        with pytest.raises(MalformedError, match="unexpected end"):
            load(f"{section_id:02x} 05 ff ff ff ff 0f")
    for body in ("ff ff ff ff 0f", "00 0e ff ff ff ff 0f", "00 1c ff ff ff ff 0f"):
        with pytest.raises(MalformedError, match="unexpected end"):
            load(code(body))


def test_many_functions_of_many_locals_need_no_memory() -> None:
    # Sixteen bytes a function, each of which declares locals in a way of its own.
    bodies = [
        b"\x02" + encode_u(n) + b"\x7f" + encode_u(49_000 - n) + b"\x7e\x0b" for n in range(999)
    ]
    with pytest.raises(MalformedError, match="too many locals"):
        decode(module_of(*bodies))


def test_equal_declarations_of_locals_share_one_tuple() -> None:
    module = decode(module_of(*[b"\x01\x90\xa1\x02\x7f\x0b"] * 9999))
    assert len(module.funcs[9998].locals) == 37_008
    assert module.funcs[0].locals is module.funcs[9998].locals


def test_deep_nesting_is_no_recursion() -> None:
    depth = 200_000
    body = b"\0" + b"\x02\x40" * depth + b"\x0b" * (depth + 1)
    assert len(decode(module_of(body)).funcs[0].body) == 2 * depth + 1


def module_of(*bodies: bytes) -> bytes:
    """A module of functions without parameters and results."""
    typeidxs = encode_u(len(bodies)) + bytes(len(bodies))
    entries = encode_u(len(bodies)) + b"".join(encode_u(len(body)) + body for body in bodies)
    sections = b"\x03" + encode_u(len(typeidxs)) + typeidxs
    sections += b"\x0a" + encode_u(len(entries)) + entries
    return bytes.fromhex(f"{HEAD} {TYPE}") + sections
