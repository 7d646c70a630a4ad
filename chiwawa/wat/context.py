"""What a text module has named so far, and how its indices, types and type uses are read.

Spec 6.1.4 (contexts), 6.4 (types) and 6.6.5 (type uses). Every reader takes a list of nodes and
where to read in it, and returns what it read and where it stopped. It knows neither instructions
nor the fields of a module.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from chiwawa.module import Data, Module
from chiwawa.places import Places
from chiwawa.wat.annotations import Annotations
from chiwawa.wat.keywords import unexpected
from chiwawa.wat.numbers import parse_uint
from chiwawa.wat.strings import parse_id, parse_name, parse_string
from chiwawa.wat.tokens import Node, Nodes, Token, is_word, keyword, misplaced
from chiwawa_runtime.errors import MalformedError
from chiwawa_runtime.state.types import (
    HEAP_CODES,
    I8,
    I16,
    I32,
    I64,
    PAGE,
    VALTYPE_BY_NAME,
    ArrayType,
    CompType,
    FieldType,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    NumType,
    PackedType,
    RefType,
    StructType,
    SubType,
    TableType,
    ValType,
)

T = TypeVar("T")

#: The index spaces, each with the word that errors call it by.
SPACES = {
    "type": "type",
    "func": "function",
    "table": "table",
    "memory": "memory",
    "global": "global",
    "tag": "tag",
    "elem": "elem segment",
    "data": "data segment",
}
_PACKED = {str(t): t for t in (I8, I16)}


@dataclass(slots=True)
class Context:
    """``ids`` maps names to indices in each space and ``counts`` says how large each is;
    ``typeidxs`` has the first index of each function type that stands alone. ``here`` is where the
    field starts that is being read, and ``code`` takes the places of the instructions in it.
    ``defined`` is the space of the first definition, after which no import may come. ``early`` says
    that a type was named before the inline type that makes it had been read; then the fields are
    read once more with all types at hand, ``later``."""

    module: Module = field(default_factory=Module)
    ids: dict[str, dict[str, int]] = field(default_factory=lambda: {s: {} for s in SPACES})
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPACES, 0))
    typeidxs: dict[FuncType, int] = field(default_factory=dict)
    #: The names of fields, by type.
    fields: dict[int, dict[str, int]] = field(default_factory=dict)
    defined: str | None = None
    places: Places = field(default_factory=Places)
    #: The module's.
    datas: list[Data] = field(default_factory=list)
    code: array[int] = field(default_factory=lambda: array("I"))
    annotations: Annotations = field(default_factory=Annotations)
    #: Names that annotations give, by space and index; those of ``local`` are the function's that
    #: is being read.
    noted: dict[str, dict[int, str]] = field(default_factory=dict)
    noted_fields: dict[int, dict[int, str]] = field(default_factory=dict)
    here: int = 0
    later: Sequence[CompType | SubType] | None = None
    early: bool = False

    def __post_init__(self) -> None:
        self.module.datas = self.datas

    def typeidx(self, functype: FuncType) -> int:
        """The index of this type; it is added at the end where the module has none."""
        index = self.typeidxs.get(functype)
        if index is None:
            index = self.counts["type"]
            self.add_type(functype)
        return index

    def type(self, index: int) -> FuncType | None:
        """The function type of this index, where it is known."""
        types: Sequence[CompType | SubType] = self.module.types
        if index >= len(types):
            self.early = self.later is None
            types = self.later or ()
        found = types[index] if index < len(types) else None
        comp = found.comp if isinstance(found, SubType) else found
        return comp if isinstance(comp, FuncType) else None

    def begin(self, kind: str, at: int | None = None) -> None:
        """Note that the next field of a kind is the one being read, or the node ``at`` a place."""
        self.code = self.places.begin(kind, self.here if at is None else at)

    def add_type(self, subtype: CompType | SubType, alone: bool = True) -> None:
        """``alone``: it is in no group with others."""
        self.places.begin("type", self.here)
        if alone and isinstance(subtype, FuncType):
            self.typeidxs.setdefault(subtype, self.counts["type"])
        self.module.types.append(subtype)
        self.counts["type"] += 1

    def note(self, space: str, index: int, items: Nodes, i: int) -> bool:
        """Whether an annotation right before ``items[i]`` names what has this index."""
        name = self.annotations.name(items, i, SPACES.get(space, space))
        if name is not None:
            self.noted.setdefault(space, {})[index] = name
        return name is not None

    def declare(self, space: str, name: Token | None) -> int:
        """Take the next index of a space. MalformedError: "duplicate function $f" and the like."""
        index = self.counts[space]
        self.counts[space] = index + 1
        if name is not None:
            bind(self.ids[space], name, index, SPACES[space])
        return index


def lexeme(parse: Callable[[str], T], token: Token) -> T:
    """``parse`` of a token's text, its error placed at the token."""
    try:
        return parse(token.value)
    except MalformedError as error:
        raise misplaced(error.message, token) from None


def bind(ids: dict[str, int], token: Token, index: int, space: str) -> None:
    name = lexeme(parse_id, token)
    if name in ids:
        raise misplaced(f"duplicate {space} {token}", token)
    ids[name] = index


def token_of(node: Node, kind: str) -> Token:
    """The node as a token of this type. MalformedError: "unexpected token"."""
    if isinstance(node, list) or node.type != kind:
        raise unexpected(node)
    return node


def is_token(node: Node, kind: str) -> bool:
    return not isinstance(node, list) and node.type == kind


def end(items: Nodes, i: int) -> None:
    """The list has its closing parenthesis at ``i``, neither sooner nor later."""
    if i != len(items) - 1:
        raise unexpected(items[min(i, len(items) - 1)])


def read_id(items: Nodes, i: int) -> tuple[Token | None, int]:
    """An optional identifier."""
    node = items[i]
    if not isinstance(node, list) and node.type == "ID":
        return node, i + 1
    return None, i


def read_u32(token: Token) -> int:
    """A token that is an unsigned integer. MalformedError: "i32 constant out of range"."""
    return _read_unsigned(token, 32)


def _read_unsigned(token: Token, bits: int) -> int:
    if token.type != "INT" or token.value[0] in "+-":
        raise unexpected(token)
    try:
        return parse_uint(token.value, bits)
    except MalformedError as error:
        raise misplaced(error.message, token) from None


def is_index(node: Node) -> bool:
    return not isinstance(node, list) and (
        node.type == "ID" or (node.type == "INT" and node.value[0] not in "+-")
    )


def resolve(ids: dict[str, int], node: Node, space: str) -> int:
    """An index, by number (which may be out of bounds: that is invalid, not malformed) or by name.
    MalformedError: "unknown local $x" and the like."""
    if isinstance(node, list):
        raise unexpected(node)
    if node.type != "ID":
        return read_u32(node)
    value = node.value
    index = ids.get(value[1:]) if value[1] != '"' else ids.get(lexeme(parse_id, node))
    if index is None:
        raise misplaced(f"unknown {space} {node}", node)
    return index


def read_index(context: Context, space: str, node: Node) -> int:
    return resolve(context.ids[space], node, SPACES[space])


def read_string(node: Node) -> bytes:
    return lexeme(parse_string, token_of(node, "STRING"))


def read_name(node: Node) -> str:
    return lexeme(parse_name, token_of(node, "STRING"))


# Types (spec 6.4).


def read_valtype(context: Context, node: Node) -> ValType:
    if isinstance(node, list):
        return read_reftype(context, node)
    valtype = VALTYPE_BY_NAME.get(node.value)
    if valtype is None:
        raise unexpected(node)
    return valtype


def read_reftype(context: Context, node: Node) -> RefType:
    """``funcref`` and the like, or what they abbreviate, ``(ref null func)``."""
    if isinstance(node, list):
        if keyword(node) != "ref":
            raise unexpected(node)
        null = is_word(node[2], "null")
        heap = read_heap(context, node[3] if null else node[2])
        end(node, 4 if null else 3)
        return RefType(heap, null)
    found = VALTYPE_BY_NAME.get(node.value)
    if not isinstance(found, RefType):
        raise unexpected(node)
    return found


def read_heap(context: Context, node: Node) -> str | int:
    """An abstract heap type or a type index."""
    if is_index(node):
        return read_index(context, "type", node)
    return read_abstract(node)


def read_abstract(node: Node) -> str:
    """An abstract heap type."""
    word = token_of(node, "KEYWORD").value
    if word not in HEAP_CODES:
        raise unexpected(node)
    return word


def read_limits(items: Nodes, i: int) -> tuple[Limits, int]:
    """Limits of a table or memory, behind the type of an address. Any number of 64 bits is
    well-formed: validation bounds them."""
    address, i = read_address(items, i)
    first = items[i]
    least = _read_unsigned(token_of(first, "INT"), 64)
    i += 1
    most = None
    if is_token(items[i], "INT"):
        most = _read_unsigned(token_of(items[i], "INT"), 64)
        i += 1
    return Limits(least, most, address), i


def read_address(items: Nodes, i: int) -> tuple[NumType, int]:
    """The type of an address, which may be left out to mean i32."""
    for address in (I32, I64):
        if is_word(items[i], address.name):
            return address, i + 1
    return I32, i


def read_tabletype(context: Context, items: Nodes, i: int) -> tuple[TableType, int]:
    limits, i = read_limits(items, i)
    return TableType(limits, read_reftype(context, items[i])), i + 1


def read_memorytype(items: Nodes, i: int) -> tuple[MemoryType, int]:
    limits, i = read_limits(items, i)
    shared = is_word(items[i], "shared")
    i += shared
    page, i = read_pagesize(items, i)
    return MemoryType(limits, page, shared), i


def read_pagesize(items: Nodes, i: int) -> tuple[int, int]:
    """``(pagesize n)``, which may be left out."""
    node = items[i]
    if not isinstance(node, list) or keyword(node) != "pagesize":
        return PAGE, i
    size = read_u32(token_of(node[2], "INT"))
    end(node, 3)
    if not size or size & (size - 1):
        raise misplaced("invalid custom page size", node)
    return size, i + 1


def read_globaltype(context: Context, items: Nodes, i: int) -> tuple[GlobalType, int]:
    node = items[i]
    if isinstance(node, list) and keyword(node) == "mut":
        end(node, 3)
        return GlobalType(read_valtype(context, node[2]), mutable=True), i + 1
    return GlobalType(read_valtype(context, node), mutable=False), i + 1


def read_declared(
    context: Context, items: Nodes, i: int, word: str, ids: dict[str, int] | None, first: int
) -> tuple[list[ValType], int]:
    """``(param …)*``, ``(result …)*`` or ``(local …)*``: the types, and where ``ids`` is given the
    names, bound to indices from ``first``."""
    types: list[ValType] = []
    while isinstance(group := items[i], list) and keyword(group) == word:
        i += 1
        token, at = read_id(group, 2)
        if ids is not None and (
            context.note("local", first + len(types), group, at) or token is not None
        ):
            if token is not None:
                bind(ids, token, first + len(types), "local")
            types.append(read_valtype(context, group[at]))
            end(group, at + 1)
        else:
            types.extend([read_valtype(context, node) for node in group[2:-1]])
    return types, i


def read_functype(
    context: Context, items: Nodes, i: int, ids: dict[str, int] | None
) -> tuple[FuncType, int]:
    """``(param …)* (result …)*``."""
    params, i = read_declared(context, items, i, "param", ids, 0)
    results, i = read_declared(context, items, i, "result", None, 0)
    return FuncType(tuple(params), tuple(results)), i


def read_subtype(context: Context, node: Node, index: int) -> CompType | SubType:
    """``(sub final? $t* …)``, or the composite type alone; ``index`` is that of the type."""
    if not isinstance(node, list) or keyword(node) != "sub":
        return _read_comptype(context, node, index)
    i = 2
    final = is_word(node[i], "final")
    i += final
    supers = []
    while is_index(node[i]):
        supers.append(read_index(context, "type", node[i]))
        i += 1
    comp = _read_comptype(context, node[i], index)
    end(node, i + 1)
    return SubType(final, tuple(supers), comp)


def _read_comptype(context: Context, node: Node, index: int) -> CompType:
    """``(func …)``, ``(struct …)`` or ``(array …)``."""
    word = keyword(node) if isinstance(node, list) else None
    if not isinstance(node, list) or word not in ("func", "struct", "array"):
        raise unexpected(node)
    if word == "func":
        functype, after = read_functype(context, node, 2, {})
        context.noted.pop("local", None)
        end(node, after)
        return functype
    if word == "array":
        fieldtype = _read_fieldtype(context, node[2])
        end(node, 3)
        return ArrayType(fieldtype)
    ids: dict[str, int] = {}
    fields: list[FieldType] = []
    for group in node[2:-1]:
        if not isinstance(group, list) or keyword(group) != "field":
            raise unexpected(group)
        token, at = read_id(group, 2)
        if context.note("field", len(fields), group, at) or token is not None:
            if token is not None:
                bind(ids, token, len(fields), "field")
            fields.append(_read_fieldtype(context, group[at]))
            end(group, at + 1)
        else:
            fields.extend([_read_fieldtype(context, each) for each in group[2:-1]])
    if ids:
        context.fields[index] = ids
    if "field" in context.noted:
        context.noted_fields[index] = context.noted.pop("field")
    return StructType(tuple(fields))


def _read_fieldtype(context: Context, node: Node) -> FieldType:
    """A storage type, or ``(mut …)`` of one."""
    if isinstance(node, list) and keyword(node) == "mut":
        end(node, 3)
        return FieldType(_read_storage(context, node[2]), mutable=True)
    return FieldType(_read_storage(context, node))


def _read_storage(context: Context, node: Node) -> ValType | PackedType:
    packed = None if isinstance(node, list) else _PACKED.get(node.value)
    return packed or read_valtype(context, node)


def read_typeuse(
    context: Context, items: Nodes, i: int, ids: dict[str, int] | None = None
) -> tuple[int | None, FuncType, int]:
    """Spec 6.6.5: the explicit index, or None, and the type written out (of an index alone: the
    type it names). MalformedError: "inline function type", "unknown type"."""
    use = items[i]
    if not (isinstance(use, list) and keyword(use) == "type"):
        functype, i = read_functype(context, items, i, ids)
        return None, functype, i
    index = read_index(context, "type", use[2])
    end(use, 3)
    functype, after = read_functype(context, items, i + 1, ids)
    if keyword(items[after]) in ("type", "param", "result"):
        raise unexpected(items[after])
    known = context.type(index)
    if after > i + 1:
        if known is None and context.later is not None:
            raise misplaced(f"unknown type {use[2]}", use[2])
        if known is not None and functype != known:
            raise misplaced("inline function type", items[i + 1])
    return index, known or functype, after
