"""Instructions, flat and folded, to the binary's flat order (spec 6.5).

The words and their immediates come from the table of opcodes; the kinds of immediates have one
reader each. The walk keeps its own stack, so code may be nested as deep as memory allows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from chiwawa.arms import CATCHING, ONE, TRY, begun, divided
from chiwawa.immediates import KINDS, text_order
from chiwawa.module import CATCHES, BlockType, BrTable, Cast, Catch, Expr, Instr, MemArg
from chiwawa.opcodes import BY_NAME, TABLE, Op
from chiwawa.wat.context import (
    Context,
    end,
    is_index,
    is_token,
    lexeme,
    read_declared,
    read_heap,
    read_id,
    read_index,
    read_reftype,
    read_typeuse,
    read_u32,
    resolve,
    token_of,
)
from chiwawa.wat.keywords import unexpected
from chiwawa.wat.numbers import LANES, is_uint, parse_float, parse_int, parse_uint
from chiwawa.wat.strings import parse_id
from chiwawa.wat.tokens import Node, Nodes, Token, keyword, misplaced
from chiwawa_runtime.errors import MalformedError
from chiwawa_runtime.state.types import RefType


@dataclass(slots=True)
class Scope:
    """Where code stands: its module, its locals by name, and the labels around it, the innermost
    last, each a name or None. ``named`` says of each name where in ``labels`` it stands, since
    blocks may have the same. ``label_names`` has the names of all blocks, by order of opening."""

    context: Context
    locals: dict[str, int] = field(default_factory=dict)
    labels: list[str | None] = field(default_factory=list)
    named: dict[str, list[int]] = field(default_factory=dict)
    label_names: dict[int, str] = field(default_factory=dict)
    blocks: int = 0


class _Label(NamedTuple):
    """What a label is called in the text, where it is, and what the name section calls it."""

    bound: str | None
    name: str


#: Reads the immediates of an instruction that start at an index of the list.
Reader = Callable[[Scope, Nodes, int], tuple[tuple[object, ...], int]]


def _local(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
    return (resolve(scope.locals, items[i], "local"),), i + 1


def _label(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
    return (_resolve_label(scope, items[i]),), i + 1


def _resolve_label(scope: Scope, node: Node) -> int:
    if not is_token(node, "ID"):
        return resolve({}, node, "label")
    assert isinstance(node, Token)
    name = lexeme(parse_id, node)
    found = scope.named.get(name)
    if not found:
        raise misplaced(f"unknown label {node}", node)
    return len(scope.labels) - 1 - found[-1]


def _labels(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
    labels = [_resolve_label(scope, items[i])]
    i += 1
    while is_index(items[i]):
        labels.append(_resolve_label(scope, items[i]))
        i += 1
    return (BrTable(tuple(labels[:-1]), labels[-1]),), i


def _index_reader(kinds: tuple[str, ...]) -> Reader:
    """Indices of these kinds, of which those that may be left out are so all or none."""
    spaces = [KINDS[kind].space for kind in kinds]
    order = text_order(kinds)
    required = [n for n in order if not KINDS[kinds[n]].optional]

    def read(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
        count = 0
        while count < len(kinds) and is_index(items[i + count]):
            count += 1
        if count == len(kinds):
            given = order
        elif count == len(required):
            given = required
        else:
            raise unexpected(items[i + count])
        imm: list[object] = [0] * len(kinds)
        for n in given:
            imm[n] = read_index(scope.context, spaces[n], items[i])
            i += 1
        return tuple(imm), i

    return read


def _call_indirect(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
    table = 0
    if is_index(items[i]):
        table = read_index(scope.context, "table", items[i])
        i += 1
    index, functype, i = read_typeuse(scope.context, items, i)
    return (scope.context.typeidx(functype) if index is None else index, table), i


def _memarg_reader(op: Op) -> Reader:
    """Spec 6.5.6: ``memidx? offset=n? align=n?``, where the alignment is in bytes."""
    natural = op.width.bit_length() - 1
    default = (MemArg(natural, 0),)

    def read(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
        memory = 0
        if is_index(items[i]):
            memory = read_index(scope.context, "memory", items[i])
            i += 1
        node = items[i]
        offset, align = 0, natural
        if not isinstance(node, list) and node.value.startswith("offset="):
            offset = _number_after(node, "offset=", 64)
            i += 1
            node = items[i]
        elif memory == 0 and (isinstance(node, list) or not node.value.startswith("align=")):
            return default, i
        if not isinstance(node, list) and node.value.startswith("align="):
            size = _number_after(node, "align=", 64)
            if size == 0 or size & (size - 1):
                raise misplaced("alignment must be a power of 2", node)
            align = size.bit_length() - 1
            i += 1
        return (MemArg(align, offset, memory),), i

    return read


def _memarg_lane_reader(op: Op) -> Reader:
    """A memarg and a lane. Of one number alone, it is the lane."""
    read_memarg = _memarg_reader(op)

    def read(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
        if is_token(items[i], "INT") and not (
            is_token(items[i + 1], "INT")
            or (is_token(items[i + 1], "KEYWORD") and "=" in str(items[i + 1]))
        ):
            return (MemArg(op.width.bit_length() - 1, 0), _read_lane(items[i])), i + 1
        memarg, i = read_memarg(scope, items, i)
        return (*memarg, _read_lane(items[i])), i + 1

    return read


def _number_after(token: Token, prefix: str, bits: int) -> int:
    """The unsigned number after ``offset=`` or ``align=``, which share a token with it."""
    number = token.value.removeprefix(prefix)
    if not is_uint(number):
        raise misplaced(f"unknown operator {token}", token)
    try:
        return parse_uint(number, bits)
    except MalformedError as error:
        raise misplaced(error.message, token) from None


def _const_reader(parse: Callable[[str, int], int], bits: int, lexemes: tuple[str, ...]) -> Reader:
    def read(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
        node = items[i]
        if isinstance(node, list) or node.type not in lexemes:
            raise unexpected(node)
        try:
            return (parse(node.value, bits),), i + 1
        except MalformedError as error:
            raise misplaced(error.message, node) from None

    return read


def read_v128(items: Nodes, i: int) -> tuple[bytes, int]:
    """Spec 6.5.8: a shape and its lanes, as bytes."""
    shape = token_of(items[i], "KEYWORD")
    if shape.value not in LANES:
        raise unexpected(shape)
    parse, count, bits = LANES[shape.value]
    lexemes = ("INT",) if parse is parse_int else ("INT", "FLOAT")
    value = b""
    for each in range(i + 1, i + 1 + count):
        node = items[each]
        if isinstance(node, list) or node.type not in ("INT", "FLOAT"):
            raise misplaced("wrong number of lane literals", node)
        if node.type not in lexemes:
            raise unexpected(node)
        value += lexeme(lambda text: parse(text, bits), node).to_bytes(bits // 8, "little")
    following = items[i + 1 + count]
    if is_token(following, "INT") or is_token(following, "FLOAT"):
        raise misplaced("wrong number of lane literals", following)
    return value, i + 1 + count


def _v128(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
    value, i = read_v128(items, i)
    return (value,), i


def _read_lane(node: Node) -> int:
    token = token_of(node, "INT")
    if not is_uint(token.value):
        raise unexpected(token)
    return lexeme(lambda text: parse_uint(text, 8), token)


def _laneidx(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
    return (_read_lane(items[i]),), i + 1


def _lanes(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
    lanes = []
    while is_token(items[i], "INT") or is_token(items[i], "FLOAT"):
        lanes.append(_read_lane(items[i]))
        i += 1
    if len(lanes) != 16:
        raise misplaced("invalid lane length", items[i])
    return (bytes(lanes),), i


def _catches(scope: Scope, items: Nodes, i: int) -> tuple[tuple[Catch, ...], int]:
    """The clauses of try_table, whose labels are those outside of it."""
    catches = []
    while isinstance(node := items[i], list) and (word := keyword(node)) in CATCHES:
        kind = CATCHES.index(word)
        tag = None if kind & 2 else read_index(scope.context, "tag", node[2])
        label = node[2 if tag is None else 3]
        catches.append(Catch(tag, bool(kind & 1), _resolve_label(scope, label)))
        end(node, 3 if tag is None else 4)
        i += 1
    return tuple(catches), i


def _heaptype(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
    return (RefType(read_heap(scope.context, items[i])),), i + 1


def _reftype(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
    """Of a test or a cast, which takes another row where it is nullable."""
    return (read_reftype(scope.context, items[i]),), i + 1


def _cast(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
    label = _resolve_label(scope, items[i])
    source = read_reftype(scope.context, items[i + 1])
    return (Cast(label, source, read_reftype(scope.context, items[i + 2])),), i + 3


def _field(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
    typeidx = read_index(scope.context, "type", items[i])
    names = scope.context.fields.get(typeidx, {})
    return (typeidx, resolve(names, items[i + 1], "field")), i + 2


def _counted(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
    typeidx = read_index(scope.context, "type", items[i])
    return (typeidx, read_u32(token_of(items[i + 1], "INT"))), i + 2


_READERS: dict[tuple[str, ...], Reader] = {
    ("localidx",): _local,
    ("labelidx",): _label,
    ("labels",): _labels,
    ("typeidx", "tableidx"): _call_indirect,
    ("reftype",): _heaptype,
    ("heaptype",): _reftype,
    ("cast",): _cast,
    ("typeidx", "fieldidx"): _field,
    ("typeidx", "count"): _counted,
    ("i32",): _const_reader(parse_int, 32, ("INT",)),
    ("i64",): _const_reader(parse_int, 64, ("INT",)),
    ("f32",): _const_reader(parse_float, 32, ("INT", "FLOAT")),
    ("f64",): _const_reader(parse_float, 64, ("INT", "FLOAT")),
    ("v128",): _v128,
    ("laneidx",): _laneidx,
    ("lanes",): _lanes,
    ("ordering",): lambda scope, items, i: ((0,), i),
}


def _reader(op: Op) -> Reader | None:
    if not op.immediates or op.opens or op.delimits:
        return None
    if op.immediates == ("memarg",):
        return _memarg_reader(op)
    if op.immediates == ("memarg", "laneidx"):
        return _memarg_lane_reader(op)
    return _READERS.get(op.immediates) or _index_reader(op.immediates)


def _select(scope: Scope, items: Nodes, i: int) -> tuple[tuple[object, ...], int]:
    """Nothing, or the types of the ``select`` that carries them."""
    types, after = read_declared(scope.context, items, i, "result", None, 0)
    return ((tuple(types),) if after > i else ()), after


_SELECT = BY_NAME["select"]
_SELECT_TYPED = BY_NAME["select t*"]
_END_INSTR = Instr(BY_NAME["end"], (), 0)
_ELSE_INSTR = Instr(BY_NAME["else"], (), 0)
#: What takes the other row of its word where its type is nullable.
_NULLABLE = {BY_NAME[f"ref.{verb}"]: BY_NAME[f"ref.{verb} null"] for verb in ("test", "cast")}
_OTHER_ROWS = (_SELECT_TYPED, *_NULLABLE.values())
#: By word: its row, its reader where it has immediates, and itself where it has none.
_WORDS: dict[str, tuple[Op, Reader | None, Instr]] = {
    op.mnemonic: (op, _select if op is _SELECT else _reader(op), Instr(op, (), 0))
    for op in TABLE
    if op not in _OTHER_ROWS
}

# What a list being walked holds: a function's code or an arm of ``if``, the body of a folded block,
# the operands of a folded instruction, or a folded ``if`` before, between and after its arms, or a
# folded ``try`` before, between and after its arms, or with its end said already.
_CODE, _BODY, _OPERANDS, _BEFORE_THEN, _AFTER_THEN, _AFTER_ELSE = range(6)
_BEFORE_DO, _AFTER_DO, _AFTER_CATCH, _AFTER_ARMS, _DELEGATED = range(6, 11)


def _made(op: Op, imm: tuple[object, ...]) -> Instr:
    """The instruction of a word and its immediates, in whichever row it has."""
    if op is _SELECT and imm:
        return Instr(_SELECT_TYPED, imm, 0)
    if op in _NULLABLE:
        (reftype,) = imm
        assert isinstance(reftype, RefType)
        return Instr(_NULLABLE[op] if reftype.nullable else op, (reftype.heap,), 0)
    return Instr(op, imm, 0)


def read_instructions(scope: Scope, items: Nodes, i: int) -> Expr:
    """All that is left of a list, as an expression with its final ``end`` (all offsets are 0)."""
    code: Expr = []
    emit = code.append
    place = scope.context.code.append
    labels = scope.labels
    # The list being walked: ``held`` is its own instruction, emitted at its end (of ``if``, before
    # the first arm), and ``floor`` is the number of labels that it began with.
    holds, held, floor = _CODE, _END_INSTR, len(labels)
    outer: list[tuple[Nodes, int, int, Instr, int]] = []
    if_labels: list[_Label | None] = []
    # For each flat block opened in the lists being walked: what may come of it.
    flat: list[int] = []
    while True:
        item = items[i]
        i += 1
        if type(item) is list:
            head = item[1]
            word = head.value if type(head) is not list and head.type == "KEYWORD" else ""  # type: ignore[union-attr]
            if holds >= _BEFORE_DO:
                holds, start, instr = _begin_try_arm(scope, word, item, holds)
                if instr is not None:
                    place(head.at)  # type: ignore[union-attr]
                    emit(instr)
                outer.append((items, i, holds, held, floor))
                items, i, holds, held, floor = item, start, _CODE, _END_INSTR, len(labels)
                continue
            if holds >= _BEFORE_THEN and word in ("then", "else"):
                holds = _begin_arm(scope, word, item, holds)
                if holds == _AFTER_THEN:
                    place(items[1].at)  # type: ignore[union-attr]
                    emit(held)
                    _open(scope, if_labels.pop())
                else:
                    place(head.at)  # type: ignore[union-attr]
                    emit(_ELSE_INSTR)
                outer.append((items, i, holds, held, floor))
                items, i, holds, held, floor = item, 2, _CODE, _END_INSTR, len(labels)
                continue
            known = _WORDS.get(word)
            if known is None or holds >= _AFTER_THEN:
                raise unexpected(item)
            outer.append((items, i, holds, held, floor))
            op, reader, held = known
            items, i, holds = item, 2, _OPERANDS
            if reader is not None:
                imm, i = reader(scope, items, i)
                held = _made(op, imm)
            elif op.opens:
                label, held, i = _read_header(scope, op, items, i)
                if op.forks:
                    if_labels.append(label)
                    holds = _BEFORE_THEN
                else:
                    place(head.at)  # type: ignore[union-attr]
                    emit(held)
                    _open(scope, label)
                    holds, held = _BEFORE_DO if op.catches_in_arms else _BODY, _END_INSTR
                floor = len(labels)
            elif op.delimits:
                raise unexpected(item)
        elif item.type == "KEYWORD":  # type: ignore[union-attr]
            known = _WORDS.get(item.value)  # type: ignore[union-attr]
            if known is None or holds > _BODY:
                raise unexpected(item)
            op, reader, instr = known
            if reader is not None:
                imm, i = reader(scope, items, i)
                place(item.at)  # type: ignore[union-attr]
                emit(_made(op, imm))
            elif op.opens:
                label, instr, i = _read_header(scope, op, items, i)
                place(item.at)  # type: ignore[union-attr]
                emit(instr)
                _open(scope, label)
                flat.append(begun(op))
            elif op.delimits and (op.divides or op.immediates):
                state = divided(op, flat[-1]) if len(labels) != floor else None
                if state is None:
                    raise unexpected(item)
                if op.ends:
                    _close(scope)
                    flat.pop()
                else:
                    flat[-1] = state
                instr, i = _delimiter(scope, op, instr, items, i)
                place(item.at)  # type: ignore[union-attr]
                emit(instr)
            elif op.delimits:
                if len(labels) == floor:
                    raise unexpected(item)
                i = _check_label(scope, items, i)
                place(item.at)  # type: ignore[union-attr]
                emit(instr)
                _close(scope)
                flat.pop()
            else:
                place(item.at)  # type: ignore[union-attr]
                emit(instr)
        elif item.type == "RPAR":  # type: ignore[union-attr]
            if len(labels) != floor and holds <= _BODY:
                raise unexpected(item)
            if holds in (_BEFORE_THEN, _BEFORE_DO):
                raise unexpected(item)
            if holds == _OPERANDS:
                place(items[1].at)  # type: ignore[union-attr]
                emit(held)
            elif holds not in (_CODE, _DELEGATED):
                place(item.at)  # type: ignore[union-attr]
                emit(_END_INSTR)
                _close(scope)
            if not outer:
                place(item.at)  # type: ignore[union-attr]
                emit(_END_INSTR)
                return code
            items, i, holds, held, floor = outer.pop()
        else:
            raise unexpected(item)


def _begin_arm(scope: Scope, word: str, item: Node, holds: int) -> int:
    """What the list of an ``if`` holds after this arm."""
    if word == "then" and holds == _BEFORE_THEN:
        return _AFTER_THEN
    if word == "else" and holds == _AFTER_THEN:
        return _AFTER_ELSE
    raise unexpected(item)


def _begin_try_arm(
    scope: Scope, word: str, item: Nodes, holds: int
) -> tuple[int, int, Instr | None]:
    """What the list of a ``try`` holds after this arm; where the arm's code starts, and what is
    said before it."""
    if word == "do" and holds == _BEFORE_DO:
        return _AFTER_DO, 2, None
    known = _WORDS.get(word)
    state = {_AFTER_DO: TRY, _AFTER_CATCH: CATCHING}.get(holds, ONE)
    after = None if known is None or not known[0].delimits else divided(known[0], state)
    if known is None or after is None or not known[0].concerns_handling:
        raise unexpected(item)
    op, _, instr = known
    if op.ends:
        _close(scope)
    instr, start = _delimiter(scope, op, instr, item, 2)
    if op.ends:
        end(item, start)
    return (
        (_DELEGATED if op.ends else _AFTER_CATCH if after == CATCHING else _AFTER_ARMS),
        start,
        instr,
    )


def _delimiter(scope: Scope, op: Op, instr: Instr, items: Nodes, i: int) -> tuple[Instr, int]:
    """A delimiter but ``end``, with what it names: the label of ``delegate`` is one outside."""
    if "tagidx" in op.immediates:
        return Instr(op, (read_index(scope.context, "tag", items[i]),), 0), i + 1
    if op.immediates:
        return Instr(op, (_resolve_label(scope, items[i]),), 0), i + 1
    return instr, i if op.concerns_handling else _check_label(scope, items, i)


def _read_header(scope: Scope, op: Op, items: Nodes, i: int) -> tuple[_Label | None, Instr, int]:
    """A block's label and type (spec 6.5.3). A type with neither parameters nor more than one
    result is written without an index."""
    token, i = read_id(items, i)
    noted = scope.context.annotations.name(items, i, "label")
    index, functype, i = read_typeuse(scope.context, items, i)
    blocktype: BlockType = index
    if index is None:
        if functype.params or len(functype.results) > 1:
            blocktype = scope.context.typeidx(functype)
        else:
            blocktype = functype.results[0] if functype.results else None
    bound = None if token is None else lexeme(parse_id, token)
    name = bound if noted is None else noted
    label = None if name is None else _Label(bound, name)
    if "catches" in op.immediates:
        catches, i = _catches(scope, items, i)
        return label, Instr(op, (blocktype, catches), 0), i
    return label, Instr(op, (blocktype,), 0), i


def _open(scope: Scope, label: _Label | None) -> None:
    bound = None
    if label is not None:
        bound = label.bound
        scope.label_names[scope.blocks] = label.name
        if bound is not None:
            scope.named.setdefault(bound, []).append(len(scope.labels))
    scope.blocks += 1
    scope.labels.append(bound)


def _close(scope: Scope) -> None:
    label = scope.labels.pop()
    if label is not None:
        scope.named[label].pop()


def _check_label(scope: Scope, items: Nodes, i: int) -> int:
    """The label that ``else`` and ``end`` may repeat. MalformedError: "mismatching label"."""
    token, after = read_id(items, i)
    if token is not None and lexeme(parse_id, token) != scope.labels[-1]:
        raise misplaced(f"mismatching label {token}", token)
    return after


def read_offset(scope: Scope, node: Nodes, word: str) -> Expr:
    """``(offset …)`` or ``(item …)``, whichever ``word`` says, or one folded instruction."""
    if keyword(node) == word:
        return read_instructions(scope, node, 2)
    return read_instructions(scope, [node[0], node, node[-1]], 1)
