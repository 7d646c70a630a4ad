"""A module in the text format (spec 6.6.1), from text to ``chiwawa.module.Module``.

What comes out has no code offsets and no binary: those are the encoder's to give.
"""

from __future__ import annotations

from chiwawa.module import Module
from chiwawa.wat.annotations import Annotations
from chiwawa.wat.context import lexeme, read_id, read_string
from chiwawa.wat.fields import read_fields
from chiwawa.wat.strings import parse_id
from chiwawa.wat.tokens import Nodes, is_word, keyword, located, position
from chiwawa_runtime.errors import BadInput, MalformedError


def parse_module(text: str) -> Module:
    """The module that ``text`` spells out: ``(module …)``, or its fields alone. All code offsets
    are 0, ``binary`` is empty, and ``names`` has every identifier.

    Raises MalformedError, and UnsupportedError, which names a construct of a later Wasm, with line,
    column and excerpt. ``(module binary …)`` has no fields: see ``parse_source``.
    """
    module = parse_source(text)
    if isinstance(module, bytes):
        raise MalformedError("unexpected token: the module is given as binary")
    return module


def parse_source(text: str) -> Module | bytes:
    """Like ``parse_module``; of ``(module binary "…")`` the bytes, neither decoded nor judged."""
    # Lark is not loaded until there is text to read.
    from chiwawa.wat.reader import read

    try:
        nodes, annotations = read(text)
        if len(nodes) == 1 and keyword(nodes[0]) == "module":
            assert isinstance(nodes[0], list)
            module = read_module(nodes[0], annotations)
        else:
            module = read_bare(nodes, annotations)
        annotations.check(0, len(text))
    except BadInput as error:
        raise located(text, error) from None
    return with_text(module, text)


def with_text(module: Module | bytes, text: str) -> Module | bytes:
    """A module whose places are in ``text``, unless they are in a quotation of it."""
    if isinstance(module, Module) and module.places is not None and not module.places.text:
        module.places.text = text
    return module


def read_bare(fields: Nodes, annotations: Annotations) -> Module:
    """A module from fields that no list is around. Its errors are yet to be ``located``."""
    return read_fields(fields, annotations.module_name(-1, 0), annotations)


def read_module(items: Nodes, annotations: Annotations) -> Module | bytes:
    """``(module $id? …)``, in any of its three forms. Its errors are yet to be ``located``, but
    for those within a quoted module, which are located in the quotation."""
    token, i = read_id(items, 2)
    name = None if token is None else lexeme(parse_id, token)
    inside = position(items)
    noted = annotations.module_name(inside, i)
    name = name if noted is None else noted
    if is_word(items[i], "binary"):
        return read_bytes(items, i + 1)
    if is_word(items[i], "quote"):
        return parse_quoted(read_bytes(items, i + 1), name)
    return read_fields(items[i:-1], name, annotations, inside)


def read_bytes(items: Nodes, i: int) -> bytes:
    """The strings that are left of a list, joined."""
    return b"".join([read_string(node) for node in items[i:-1]])


def parse_quoted(quoted: bytes, name: str | None = None) -> Module | bytes:
    """The text of ``(module quote …)``. MalformedError: "malformed UTF-8 encoding" and the rest."""
    try:
        text = quoted.decode()
    except UnicodeDecodeError:
        raise MalformedError("malformed UTF-8 encoding") from None
    module = parse_source(text)
    if isinstance(module, Module) and name is not None:
        module.names.module = name
    return module
