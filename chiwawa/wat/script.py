"""Scripts of the spec's test suite, ``.wast``: text to commands.

Their grammar stands in the README of the spec's reference interpreter. A command that cannot be
read, or that belongs to a Wasm that is not built yet, becomes ``Unread``, so that the rest of its
file still runs. Modules are kept as they stand in the script: whether one parses is what some
commands are about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from chiwawa.module import Module
from chiwawa.wat.annotations import Annotations
from chiwawa.wat.context import (
    end,
    is_token,
    lexeme,
    read_abstract,
    read_id,
    read_name,
    read_string,
    read_u32,
    token_of,
)
from chiwawa.wat.instructions import read_v128
from chiwawa.wat.keywords import unexpected
from chiwawa.wat.numbers import LANES, parse_float, parse_int
from chiwawa.wat.parser import parse_quoted, read_bare, read_bytes, read_module, with_text
from chiwawa.wat.strings import parse_id
from chiwawa.wat.tokens import Node, Nodes, Token, is_word, keyword, located, position
from chiwawa_runtime.errors import BadInput


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """A module as a script gives it. ``content`` is its nodes (``text``, the module's own list;
    ``fields``, a whole script that is one module) or its bytes (``binary``, ``quote``); ``script``
    is the text of the whole script."""

    form: str
    content: Nodes | bytes
    script: str = field(default="", compare=False, repr=False)
    annotations: Annotations = field(default_factory=Annotations, compare=False, repr=False)

    def parse(self) -> Module | bytes:
        """The module, not yet encoded or validated, or a binary. Raises as ``parse_module``."""
        if isinstance(self.content, bytes):
            return self.content if self.form == "binary" else parse_quoted(self.content)
        try:
            read = read_bare if self.form == "fields" else read_module
            module = read(self.content, self.annotations)
            whole = self.form == "fields"
            start = 0 if whole else position(self.content)
            self.annotations.check(start, len(self.script) if whole else position(self.content[-1]))
            return with_text(module, self.script)
        except BadInput as error:
            raise located(self.script, error) from None


@dataclass(frozen=True, slots=True)
class Const:
    """A value. ``type`` is i32, i64, v128 (``value`` unsigned), f32, f64 (IEEE bits), ``extern``
    (the number of a host reference; None stands for any but null) or ``func`` (any but null,
    None)."""

    type: str
    value: int | None


@dataclass(frozen=True, slots=True)
class RefNull:
    """A null reference. ``heap`` is None in a pattern that takes any."""

    heap: str | None


@dataclass(frozen=True, slots=True)
class NanPattern:
    """``kind`` is ``canonical`` or ``arithmetic`` (spec 4.3.3)."""

    type: str
    kind: str


@dataclass(frozen=True, slots=True)
class Lanes:
    """A vector, lane by lane, where a lane of a float shape may be a pattern."""

    shape: str
    lanes: tuple[Const | NanPattern, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of these."""

    options: tuple[Pattern, ...]


Pattern = Const | RefNull | NanPattern | Lanes | Either
Arg = Const | RefNull


@dataclass(frozen=True, slots=True)
class Invoke:
    """``instance`` is None for the current one."""

    instance: str | None
    export: str
    args: tuple[Arg, ...]


@dataclass(frozen=True, slots=True)
class Get:
    instance: str | None
    export: str


Action = Invoke | Get


@dataclass(frozen=True, slots=True)
class DefineModule:
    """``definition`` says that no instance is made yet."""

    line: int
    name: str | None
    source: ModuleSource
    definition: bool


@dataclass(frozen=True, slots=True)
class MakeInstance:
    """An instance of an earlier definition (None: of the last)."""

    line: int
    name: str | None
    definition: str | None


@dataclass(frozen=True, slots=True)
class Register:
    line: int
    alias: str
    instance: str | None


@dataclass(frozen=True, slots=True)
class Perform:
    """An action alone, which must not trap."""

    line: int
    action: Action


@dataclass(frozen=True, slots=True)
class AssertReturn:
    line: int
    action: Action
    results: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class AssertTrap:
    """``word`` is ``assert_trap`` or ``assert_exhaustion``; a module must trap as it starts."""

    line: int
    word: str
    what: Action | ModuleSource
    message: str


@dataclass(frozen=True, slots=True)
class AssertException:
    """An exception leaves the program."""

    line: int
    action: Action


@dataclass(frozen=True, slots=True)
class AssertRefused:
    """``word`` is the command's: ``assert_malformed``, ``assert_invalid``, ``assert_unlinkable``,
    ``assert_malformed_custom`` or ``assert_invalid_custom``."""

    line: int
    word: str
    source: ModuleSource
    message: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A command that could not be read, and why."""

    line: int
    word: str
    error: BadInput


Command = (
    DefineModule
    | MakeInstance
    | Register
    | Perform
    | AssertReturn
    | AssertTrap
    | AssertException
    | AssertRefused
    | Unread
)


class _Place(NamedTuple):
    """The line of a command, and the script that it stands in, with its annotations."""

    line: int
    script: str
    annotations: Annotations


def parse_script(text: str) -> list[Command]:
    """The commands of a script, in order. A script of module fields alone is one module. Raises
    MalformedError, with line and column, only where the text is no S-expressions."""
    # Lark is not loaded until there is text to read.
    from chiwawa.wat.reader import read

    nodes, annotations = read(text)
    lines = _lines(text, nodes)
    if nodes and not any((keyword(node) or "") in _COMMANDS for node in nodes):
        return [
            DefineModule(lines[0], None, ModuleSource("fields", nodes, text, annotations), False)
        ]
    commands: list[Command] = []
    for line, node in zip(lines, nodes, strict=True):
        word = keyword(node) or ""
        try:
            read_command = _COMMANDS.get(word)
            if read_command is None or not isinstance(node, list):
                raise unexpected(node)
            commands.append(read_command(_Place(line, text, annotations), node))
        except BadInput as error:
            commands.append(Unread(line, word, located(text, error)))
    return commands


def _lines(text: str, nodes: Nodes) -> list[int]:
    """The line of each node, counted on from the one before."""
    lines, line, at = [], 1, 0
    for node in nodes:
        start = position(node)
        line += text.count("\n", at, start)
        at = start
        lines.append(line)
    return lines


def _read_name_id(items: Nodes, i: int) -> tuple[str | None, int]:
    token, i = read_id(items, i)
    return None if token is None else lexeme(parse_id, token), i


def _module(place: _Place, items: Nodes) -> Command:
    if is_word(items[2], "instance"):
        name, i = _read_name_id(items, 3)
        definition, i = _read_name_id(items, i)
        end(items, i)
        return MakeInstance(place.line, name, definition)
    definition_only = is_word(items[2], "definition")
    if definition_only:
        items = [*items[:2], *items[3:]]
    name, _ = _read_name_id(items, 2)
    return DefineModule(place.line, name, _source(place, items), definition_only)


def _source(place: _Place, node: Node) -> ModuleSource:
    if not isinstance(node, list) or keyword(node) != "module":
        raise unexpected(node)
    _, i = read_id(node, 2)
    for form in ("binary", "quote"):
        if is_word(node[i], form):
            return ModuleSource(form, read_bytes(node, i + 1), place.script)
    return ModuleSource("text", node, place.script, place.annotations)


def _register(place: _Place, items: Nodes) -> Command:
    alias = read_name(items[2])
    name, i = _read_name_id(items, 3)
    end(items, i)
    return Register(place.line, alias, name)


def _action(node: Node) -> Action:
    word = keyword(node)
    if not isinstance(node, list) or word not in ("invoke", "get"):
        raise unexpected(node)
    instance, i = _read_name_id(node, 2)
    export = read_name(node[i])
    if word == "get":
        end(node, i + 1)
        return Get(instance, export)
    args = []
    for argument in node[i + 1 : -1]:
        value = _pattern(argument)
        if isinstance(value, NanPattern | Lanes | Either):
            raise unexpected(argument)
        args.append(value)
    return Invoke(instance, export, tuple(args))


def _perform(place: _Place, items: Nodes) -> Command:
    return Perform(place.line, _action(items))


def _assert_return(place: _Place, items: Nodes) -> Command:
    patterns = tuple([_pattern(node) for node in items[3:-1]])
    return AssertReturn(place.line, _action(items[2]), patterns)


def _assert_trap(place: _Place, items: Nodes) -> Command:
    what = _source(place, items[2]) if keyword(items[2]) == "module" else _action(items[2])
    end(items, 4)
    return AssertTrap(place.line, keyword(items) or "", what, _message(items[3]))


def _assert_refused(place: _Place, items: Nodes) -> Command:
    end(items, 4)
    return AssertRefused(
        place.line, keyword(items) or "", _source(place, items[2]), _message(items[3])
    )


def _message(node: Node) -> str:
    return read_string(node).decode("utf-8", "replace")


def _assert_exception(place: _Place, items: Nodes) -> Command:
    end(items, 3)
    return AssertException(place.line, _action(items[2]))


def _pattern(node: Node) -> Pattern:
    """A constant or a pattern of results."""
    word = keyword(node) or ""
    if not isinstance(node, list):
        raise unexpected(node)
    if word == "either":
        return Either(tuple([_pattern(option) for option in node[2:-1]]))
    number = _NUMBERS.get(word)
    if number is not None:
        end(node, 3)
        return _number(word.removesuffix(".const"), *number, node[2])
    if word == "v128.const":
        return _vector(node)
    if word == "ref.null":
        heap = None if node[2] is node[-1] else read_abstract(node[2])
        end(node, 2 if heap is None else 3)
        return RefNull(heap)
    if word in ("ref.extern", "ref.func", "ref.host"):
        if node[2] is node[-1]:
            return Const(word.removeprefix("ref."), None)
        end(node, 3)
        return Const(word.removeprefix("ref."), read_u32(token_of(node[2], "INT")))
    if word in _SOME:
        end(node, 2)
        return Const(word.removeprefix("ref."), None)
    raise unexpected(node)


def _number(valtype: str, parse: _Parse, bits: int, token: Node) -> Const | NanPattern:
    if parse is parse_float and is_token(token, "KEYWORD"):
        for kind in ("canonical", "arithmetic"):
            if is_word(token, f"nan:{kind}"):
                return NanPattern(valtype, kind)
    if not is_token(token, "INT") and (parse is parse_int or not is_token(token, "FLOAT")):
        raise unexpected(token)
    assert isinstance(token, Token)
    return Const(valtype, lexeme(lambda text: parse(text, bits), token))


def _vector(node: Nodes) -> Const | Lanes:
    """A vector: one value, but where a lane is a pattern."""
    if any(is_word(lane, f"nan:{kind}") for lane in node for kind in ("canonical", "arithmetic")):
        shape = token_of(node[2], "KEYWORD")
        if shape.value not in ("f32x4", "f64x2"):
            raise unexpected(shape)
        parse, count, bits = LANES[shape.value]
        end(node, 3 + count)
        lanes = [_number(f"f{bits}", parse, bits, lane) for lane in node[3:-1]]
        return Lanes(shape.value, tuple(lanes))
    value, i = read_v128(node, 2)
    end(node, i)
    return Const("v128", int.from_bytes(value, "little"))


_Parse = Callable[[str, int], int]
_NUMBERS: dict[str, tuple[Callable[[str, int], int], int]] = {
    "i32.const": (parse_int, 32),
    "i64.const": (parse_int, 64),
    "f32.const": (parse_float, 32),
    "f64.const": (parse_float, 64),
}
#: Patterns of some reference of a heap type.
_SOME = frozenset(("ref.i31", "ref.struct", "ref.array", "ref.any", "ref.eq", "ref.exn"))
_COMMANDS: dict[str, Callable[[_Place, Nodes], Command]] = {
    "module": _module,
    "register": _register,
    "invoke": _perform,
    "get": _perform,
    "assert_return": _assert_return,
    "assert_trap": _assert_trap,
    "assert_exhaustion": _assert_trap,
    "assert_malformed": _assert_refused,
    "assert_invalid": _assert_refused,
    "assert_unlinkable": _assert_refused,
    "assert_malformed_custom": _assert_refused,
    "assert_invalid_custom": _assert_refused,
    "assert_exception": _assert_exception,
}
