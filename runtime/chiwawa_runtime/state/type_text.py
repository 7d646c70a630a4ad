"""Types from the text that ``str`` gives of a module's own (``types``), which generated files hold.

The grammar is the text format's (spec 6.4) where it has one, and a function type is written as the
spec's prose writes it (2.3.6)::

    valtype    ::=  i32 | i64 | f32 | f64 | v128 | funcref | … | reftype
    reftype    ::=  (ref null? heap)            heap ::= a type index, or a word
    subtype    ::=  (sub final? typeidx* comptype) | comptype
    comptype   ::=  functype | (struct (field fieldtype)*) | (array fieldtype)
    fieldtype  ::=  storage | (mut storage)     storage ::= valtype | i8 | i16
    functype   ::=  [valtype*] -> [valtype*]
    limits     ::=  (i32 | i64)? min max?       the type of an address: i32 unless said
    tabletype  ::=  limits reftype
    memorytype ::=  limits shared? ((pagesize number))?
    globaltype ::=  valtype | (mut valtype)

Each function takes a whole text and raises BadInput for any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.state.types import (
    HEAP_CODES,
    I8,
    I16,
    I32,
    I64,
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

Type = TypeVar("Type")

_TOKEN = re.compile(r"->|[()\[\]]|\w+", re.ASCII)
_ADDRESSES: dict[str, NumType] = {"i32": I32, "i64": I64}


def valtype(text: str) -> ValType:
    # The most frequent by far.
    return VALTYPE_BY_NAME.get(text) or _whole(text, _Reader.valtype)


def functype(text: str) -> FuncType:
    return _whole(text, _Reader.functype)


def subtype(text: str) -> CompType | SubType:
    return _whole(text, _Reader.subtype)


def tabletype(text: str) -> TableType:
    return _whole(text, _Reader.tabletype)


def memorytype(text: str) -> MemoryType:
    return _whole(text, _Reader.memorytype)


def globaltype(text: str) -> GlobalType:
    return _whole(text, _Reader.globaltype)


def _whole(text: str, read: Callable[[_Reader], Type]) -> Type:
    reader = _Reader(text)
    result = read(reader)
    if reader.tokens:
        raise reader.wrong()
    return result


class _Reader:
    """``tokens`` are those of ``text`` that have not been taken, the next one last."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = _TOKEN.findall(text)[::-1]
        if _TOKEN.sub("", text).strip():
            raise self.wrong()

    def wrong(self) -> BadInput:
        return BadInput(f"{self.text!r} is not the text of a type")

    def begins(self, *tokens: str) -> bool:
        return self.tokens[-len(tokens) :] == [*reversed(tokens)]

    def take(self) -> str:
        if not self.tokens:
            raise self.wrong()
        return self.tokens.pop()

    def expect(self, *tokens: str) -> None:
        for token in tokens:
            if self.take() != token:
                raise self.wrong()

    def valtype(self) -> ValType:
        if self.begins("("):
            self.expect("(", "ref")
            nullable = self.begins("null")
            if nullable:
                self.take()
            heap = self.take()
            self.expect(")")
            if not heap.isdecimal() and heap not in HEAP_CODES:
                raise self.wrong()
            return RefType(int(heap) if heap.isdecimal() else heap, nullable)
        known = VALTYPE_BY_NAME.get(self.take())
        if known is None:
            raise self.wrong()
        return known

    def reftype(self) -> RefType:
        valtype = self.valtype()
        if not isinstance(valtype, RefType):
            raise self.wrong()
        return valtype

    def valtypes(self) -> tuple[ValType, ...]:
        self.expect("[")
        types = []
        while not self.begins("]"):
            types.append(self.valtype())
        self.take()
        return tuple(types)

    def functype(self) -> FuncType:
        params = self.valtypes()
        self.expect("->")
        return FuncType(params, self.valtypes())

    def subtype(self) -> CompType | SubType:
        if not self.begins("(", "sub"):
            return self.comptype()
        self.expect("(", "sub")
        final = self.begins("final")
        if final:
            self.take()
        supers = []
        while self.has_number():
            supers.append(self.number())
        comp = self.comptype()
        self.expect(")")
        return SubType(final, tuple(supers), comp)

    def comptype(self) -> CompType:
        if self.begins("["):
            return self.functype()
        self.expect("(")
        if self.begins("array"):
            self.take()
            array = ArrayType(self.fieldtype())
            self.expect(")")
            return array
        self.expect("struct")
        fields = []
        while self.begins("("):
            self.expect("(", "field")
            fields.append(self.fieldtype())
            self.expect(")")
        self.expect(")")
        return StructType(tuple(fields))

    def fieldtype(self) -> FieldType:
        if not self.begins("(", "mut"):
            return FieldType(self.storage(), False)
        self.expect("(", "mut")
        storage = self.storage()
        self.expect(")")
        return FieldType(storage, True)

    def storage(self) -> ValType | PackedType:
        for packed in (I8, I16):
            if self.begins(packed.name):
                self.take()
                return packed
        return self.valtype()

    def has_number(self) -> bool:
        return bool(self.tokens) and self.tokens[-1].isdecimal()

    def number(self) -> int:
        if not self.has_number():
            raise self.wrong()
        return int(self.take())

    def limits(self) -> Limits:
        address = I32
        if self.begins("i32") or self.begins("i64"):
            address = _ADDRESSES[self.take()]
        least = self.number()
        return Limits(least, self.number() if self.has_number() else None, address)

    def memorytype(self) -> MemoryType:
        limits = self.limits()
        shared = self.begins("shared")
        if shared:
            self.take()
        if not self.begins("(", "pagesize"):
            return MemoryType(limits, shared=shared)
        self.expect("(", "pagesize")
        page = self.number()
        self.expect(")")
        return MemoryType(limits, page, shared)

    def tabletype(self) -> TableType:
        limits = self.limits()
        return TableType(limits, self.reftype())

    def globaltype(self) -> GlobalType:
        if not self.begins("(", "mut"):
            return GlobalType(self.valtype(), False)
        self.expect("(", "mut")
        valtype = self.valtype()
        self.expect(")")
        return GlobalType(valtype, True)
