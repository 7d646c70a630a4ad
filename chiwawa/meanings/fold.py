"""Python expressions for Wasm operands: building, bounding, simplifying.

Each integer node carries ``lo`` and ``hi``, bounds that its value never leaves (floats and
references have None), so that masks and sign flips that cannot change anything are dropped: the
instruction table says the meaning in full and never has to be clever. Simplifications hold for
Python's unbounded ints; floats are never touched, since theirs would not be exact.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from chiwawa.immediates import MEANT
from chiwawa.opcodes import OPERANDS, Op
from chiwawa_runtime.state.vectors import is_vector_name, vector_of

ADD, SUB, MULT, FLOORDIV, MOD = ast.Add(), ast.Sub(), ast.Mult(), ast.FloorDiv(), ast.Mod()
BITAND, BITOR, BITXOR, LSHIFT, RSHIFT = (
    ast.BitAnd(),
    ast.BitOr(),
    ast.BitXor(),
    ast.LShift(),
    ast.RShift(),
)
NOT, USUB = ast.Not(), ast.USub()
LOAD, STORE = ast.Load(), ast.Store()

#: Without its mask an intermediate may grow up to here: three digits of a Python int.
WIDEST = 1 << 88

#: A syntax node with bounds. ``ast`` is untyped about extra attributes, so this is only a name.
Node = Any


def bounded(node: ast.expr, lo: int | None, hi: int | None) -> Node:
    node.lo = lo  # type: ignore[attr-defined]
    node.hi = hi  # type: ignore[attr-defined]
    return node


def const(value: Any) -> Node:
    if isinstance(value, int):
        return bounded(ast.Constant(value), value, value)
    return bounded(ast.Constant(value), None, None)


def name(identifier: str, hi: int | None = None) -> Node:
    """A variable; an integer one where ``hi`` says its bound."""
    return bounded(ast.Name(identifier, LOAD), None if hi is None else 0, hi)


def verbatim(source: str) -> ast.stmt:
    """A statement of one line that is source already: names are written as they stand."""
    return ast.Expr(ast.Name(source, LOAD))


def call(function: str, *args: Node) -> Node:
    return bounded(ast.Call(ast.Name(function, LOAD), list(args), []), None, None)


def is_kind(node: Node, kind: type) -> bool:
    return node.__class__ is kind


def is_binop(node: Node, op: ast.operator | None = None) -> bool:
    return isinstance(node, ast.BinOp) and (op is None or node.op is op)


def is_const(node: Node) -> bool:
    return isinstance(node, ast.Constant) and getattr(node, "lo", None) is not None


def is_call(node: Node, function: str) -> bool:
    return type(node) is ast.Call and type(node.func) is ast.Name and node.func.id == function


def is_atom(node: Node) -> bool:
    return type(node) is ast.Name or type(node) is ast.Constant


def add(x: Node, y: Node) -> Node:
    if x.lo is None or y.lo is None:
        return bounded(ast.BinOp(x, ADD, y), None, None)
    if is_const(x):
        x, y = y, x
    if is_const(y):
        if is_const(x):
            return const(x.value + y.value)
        if y.value == 0:
            return x
        if is_binop(x) and is_const(x.right):
            if x.op is ADD:
                return add(x.left, const(x.right.value + y.value))
            if x.op is SUB:
                return add(x.left, const(y.value - x.right.value))
        if y.value < 0:
            return bounded(ast.BinOp(x, SUB, const(-y.value)), x.lo + y.value, x.hi + y.value)
    return bounded(ast.BinOp(x, ADD, y), x.lo + y.lo, x.hi + y.hi)


def sub(x: Node, y: Node) -> Node:
    if x.lo is None or y.lo is None:
        return bounded(ast.BinOp(x, SUB, y), None, None)
    if is_const(y):
        # Undoing a sign flip that the operand is too small to feel.
        if is_binop(x, BITXOR) and is_const(x.right):
            sign = x.right.value
            if sign == y.value and x.left.lo >= 0 and x.left.hi < sign and sign & (sign - 1) == 0:
                return x.left
            return bounded(ast.BinOp(x, SUB, y), x.lo - y.hi, x.hi - y.lo)
        return add(x, const(-y.value))
    return bounded(ast.BinOp(x, SUB, y), x.lo - y.hi, x.hi - y.lo)


def mult(x: Node, y: Node) -> Node:
    if x.lo is None or y.lo is None:
        return bounded(ast.BinOp(x, MULT, y), None, None)
    if is_const(x):
        x, y = y, x
    if is_const(y):
        if is_const(x):
            return const(x.value * y.value)
        if y.value == 1:
            return x
    products = (x.lo * y.lo, x.lo * y.hi, x.hi * y.lo, x.hi * y.hi)
    return bounded(ast.BinOp(x, MULT, y), min(products), max(products))


def floordiv(x: Node, y: Node) -> Node:
    if x.lo is None:
        return bounded(ast.BinOp(x, FLOORDIV, y), None, None)
    return bounded(ast.BinOp(x, FLOORDIV, y), 0, x.hi)


def mod(x: Node, y: Node) -> Node:
    if x.lo is None:
        return bounded(ast.BinOp(x, MOD, y), None, None)
    return bounded(ast.BinOp(x, MOD, y), 0, x.hi if not is_const(y) else max(y.value - 1, 0))


def without_mask(node: Node, mask: int) -> Node:
    """A node that equals ``node`` in the bits of ``mask``, which is 2**k - 1: in those bits
    addition, multiplication and the bitwise operations do not see what lies above."""
    if not is_binop(node) or node.lo is None:
        return node
    op = node.op
    if op is BITAND and is_const(node.right) and node.right.value & mask == mask:
        return without_mask(node.left, mask)
    if op is ADD or op is SUB or op is MULT or op is BITOR or op is BITXOR or op is BITAND:
        left, right = without_mask(node.left, mask), without_mask(node.right, mask)
    elif op is LSHIFT and is_const(node.right):
        left, right = without_mask(node.left, mask), node.right
    else:
        return node
    if (left is node.left and right is node.right) or left.lo is None or right.lo is None:
        return node
    result: Node = BUILDERS[type(op)](left, right)
    if result.lo is None or not (result.lo > -WIDEST and result.hi < WIDEST):
        return node
    return result


def bitand(x: Node, y: Node) -> Node:
    if is_const(x):
        x, y = y, x
    if x.lo is None:
        # What a helper returned, or state: an int of any size.
        return bounded(ast.BinOp(x, BITAND, y), *((None, None) if y.lo is None else (0, y.hi)))
    if y.lo is None:
        return bounded(ast.BinOp(x, BITAND, y), *((0, x.hi) if x.lo >= 0 else (None, None)))
    if is_const(y):
        mask = y.value
        if is_const(x):
            return const(x.value & mask)
        if mask == 0:
            return bounded(ast.BinOp(x, BITAND, y), 0, 0)
        if mask & (mask + 1) == 0:
            if x.lo >= 0 and x.hi <= mask:
                return x
            x = without_mask(x, mask)
            if x.lo is None:
                return bounded(ast.BinOp(x, BITAND, y), 0, mask)
            if x.lo >= 0 and x.hi <= mask:
                return x
            if is_binop(x) and is_const(x.right):
                low = x.right.value & mask
                # Taking 1 away is cheaper than adding 0xFFFFFFFF, and reads better.
                if x.op is ADD and low > mask >> 1:
                    x = add(x.left, const(low - mask - 1))
                elif x.op is SUB and low > mask >> 1:
                    x = add(x.left, const(mask + 1 - low))
        return bounded(ast.BinOp(x, BITAND, y), 0, min(x.hi, mask) if x.lo >= 0 else mask)
    hi = min((n.hi for n in (x, y) if n.lo >= 0), default=None)
    if hi is None:
        return bounded(ast.BinOp(x, BITAND, y), min(x.lo, y.lo), max(x.hi, y.hi, 0))
    return bounded(ast.BinOp(x, BITAND, y), 0, hi)


def _disjoint(x: Node, y: Node) -> tuple[int, int] | tuple[None, None]:
    """Bounds of or and xor."""
    if x.lo is None or y.lo is None:
        return None, None
    if x.lo >= 0 and y.lo >= 0:
        return 0, (1 << max(x.hi.bit_length(), y.hi.bit_length())) - 1
    reach = max(abs(v).bit_length() for v in (x.lo, x.hi, y.lo, y.hi))
    return -(1 << reach), (1 << reach) - 1


def bitor(x: Node, y: Node) -> Node:
    if is_const(x):
        x, y = y, x
    if is_const(y):
        if is_const(x):
            return const(x.value | y.value)
        if y.value == 0:
            return x
    return bounded(ast.BinOp(x, BITOR, y), *_disjoint(x, y))


def bitxor(x: Node, y: Node) -> Node:
    if is_const(x):
        x, y = y, x
    if is_const(y):
        if is_const(x):
            return const(x.value ^ y.value)
        if y.value == 0:
            return x
    return bounded(ast.BinOp(x, BITXOR, y), *_disjoint(x, y))


def lshift(x: Node, y: Node) -> Node:
    if is_const(y):
        if is_const(x):
            return const(x.value << y.value)
        if y.value == 0:
            return x
    if x.lo is None or y.lo is None:
        return bounded(ast.BinOp(x, LSHIFT, y), None, None)
    return bounded(ast.BinOp(x, LSHIFT, y), min(x.lo << y.hi, x.lo), max(x.hi << y.hi, x.hi))


def rshift(x: Node, y: Node) -> Node:
    if is_const(y):
        if is_const(x):
            return const(x.value >> y.value)
        if y.value == 0:
            return x
    if x.lo is None or y.lo is None:
        return bounded(ast.BinOp(x, RSHIFT, y), None, None)
    return bounded(
        ast.BinOp(x, RSHIFT, y), min(x.lo >> y.lo, x.lo >> y.hi), max(x.hi >> y.lo, x.hi >> y.hi)
    )


def negate(x: Node) -> Node:
    if x.lo is None:
        return bounded(ast.UnaryOp(USUB, x), None, None)
    if is_const(x):
        return const(-x.value)
    return bounded(ast.UnaryOp(USUB, x), -x.hi, -x.lo)


INVERSE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
}
MIRROR: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.Eq,
    ast.NotEq: ast.NotEq,
    ast.Lt: ast.Gt,
    ast.Gt: ast.Lt,
    ast.LtE: ast.GtE,
    ast.GtE: ast.LtE,
}


def invert(x: Node) -> Node:
    if is_const(x):
        return const(int(not x.value))
    if is_kind(x, ast.Compare) and len(x.ops) == 1 and x.left.lo is not None:
        inverse = INVERSE.get(type(x.ops[0]))
        if inverse is not None:
            return bounded(ast.Compare(x.left, [inverse()], x.comparators), 0, 1)
    if is_kind(x, ast.UnaryOp) and x.op is NOT and x.operand.hi == 1:
        return x.operand
    return bounded(ast.UnaryOp(NOT, x), 0, 1)


def _flipped(node: Node) -> tuple[Node, int] | None:
    """``x`` and the sign bit, of a node that is ``x ^ sign``."""
    if is_binop(node, BITXOR) and is_const(node.right):
        sign = node.right.value
        if sign in (0x80000000, 0x8000000000000000) and node.left.lo is not None:
            return node.left, sign
    return None


def _compare_signed(op: ast.cmpop, x: Node, sign: int, limit: int) -> Node | None:
    """``(x ^ sign) op limit`` without the flip. ``x`` is in [0, 2 * sign)."""
    kind = type(op)
    if kind in (ast.LtE, ast.Gt):
        # x <= c is x < c + 1, and x > c is x >= c + 1.
        limit += 1
        kind = ast.Lt if kind is ast.LtE else ast.GtE
    if kind not in (ast.Lt, ast.GtE):
        return None
    if limit >= 2 * sign or limit <= 0:
        return None
    bound = limit ^ sign
    if limit == sign:
        inside: Node = bounded(ast.Compare(x, [ast.Lt()], [const(sign)]), 0, 1)
    elif limit > sign:
        # At least a positive bound: between it and the sign bit.
        if x.hi < sign:
            inside = bounded(ast.Compare(x, [ast.GtE()], [const(bound)]), 0, 1)
        else:
            inside = bounded(
                ast.Compare(const(bound), [ast.LtE(), ast.Lt()], [x, const(sign)]), 0, 1
            )
    else:
        # Below a negative bound: between the sign bit and it.
        below = bounded(ast.Compare(const(sign), [ast.LtE(), ast.Lt()], [x, const(bound)]), 0, 1)
        return below if kind is ast.Lt else invert(below)
    return inside if kind is ast.GtE else invert(inside)


def compare(op: ast.cmpop, x: Node, y: Node) -> Node:
    if isinstance(op, ast.Is | ast.IsNot) and is_const(x):
        # An i31 is not null. Python warns of a literal there.
        return const(int(isinstance(op, ast.IsNot)))
    left, right = _flipped(x), _flipped(y)
    if left and right:
        if left[0].hi < left[1] and right[0].hi < right[1]:
            x, y = left[0], right[0]
    elif left and is_const(y):
        signed = _compare_signed(op, left[0], left[1], y.value)
        if signed is not None:
            return signed
    elif right and is_const(x):
        signed = _compare_signed(MIRROR[type(op)](), right[0], right[1], x.value)
        if signed is not None:
            return signed
    return bounded(ast.Compare(x, [op], [y]), 0, 1)


def choose(test: Node, x: Node, y: Node) -> Node:
    if is_const(test):
        return x if test.value else y
    if x.lo is None or y.lo is None:
        return bounded(ast.IfExp(test, x, y), None, None)
    return bounded(ast.IfExp(test, x, y), min(x.lo, y.lo), max(x.hi, y.hi))


def either(x: Node, y: Node) -> Node:
    return bounded(ast.BoolOp(ast.Or(), [x, y]), None, None)


def attribute(value: Node, attr: str) -> Node:
    return bounded(ast.Attribute(value, attr, LOAD), None, None)


def subscript(value: Node, index: Node) -> Node:
    return bounded(ast.Subscript(value, index, LOAD), None, None)


def apply(function: Node, args: list[Node]) -> Node:
    if is_kind(function, ast.Attribute) and is_const(function.value):
        # A method of an int, called on a constant.
        return const(getattr(function.value.value, function.attr)(*(a.value for a in args)))
    if is_kind(function, ast.Name) and function.id == "v128_bits":
        return vector_bits(args)
    return bounded(ast.Call(function, args, []), None, None)


def vector_bits(args: list[Node]) -> Node:
    """The bits of a vector as an int. What is a vector only to be bits again stays an int."""
    vector = args[0]
    if is_kind(vector, ast.Name) and is_vector_name(vector.id):
        return const(int.from_bytes(vector_of(vector.id), "little"))
    made: Node = vector.func if is_kind(vector, ast.Call) else None
    if is_kind(made, ast.Attribute) and made.attr == "to_bytes":
        return made.value
    return bounded(ast.Call(ast.Name("v128_bits", LOAD), args, []), 0, (1 << 128) - 1)


BUILDERS: dict[type, Callable[[Node, Node], Node]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mult,
    ast.FloorDiv: floordiv,
    ast.Mod: mod,
    ast.BitAnd: bitand,
    ast.BitOr: bitor,
    ast.BitXor: bitxor,
    ast.LShift: lshift,
    ast.RShift: rshift,
}

#: A meaning as a function from the operands and what the immediates name to a node or, where the
#: meaning is an assignment, a statement.
Template = Callable[[list[Node], Mapping[str, Node]], Any]


@cache
def template(op: Op) -> Template:
    """The meaning of ``op``, compiled to code that builds it."""
    assert op.meaning is not None
    (statement,) = ast.parse(op.meaning).body
    if isinstance(statement, ast.Assign):
        target = _builder(statement.targets[0])
        value = _builder(statement.value)
        source = f"assign({target}, {value})"
    else:
        assert isinstance(statement, ast.Expr)
        source = _builder(statement.value)
    return eval(f"lambda args, env: {source}", _BUILDER_NAMES)  # type: ignore[no-any-return]


def assign(target: Node, value: Node) -> ast.Assign:
    target.ctx = STORE
    return ast.Assign([target], value)


@cache
def uses(op: Op) -> tuple[int, ...]:
    """How often the meaning of ``op`` names each operand, ``a`` first."""
    assert op.meaning is not None
    names = [n.id for n in ast.walk(ast.parse(op.meaning)) if isinstance(n, ast.Name)]
    return tuple(names.count(operand) for operand in OPERANDS)


@cache
def may_skip(op: Op) -> bool:
    """Whether some operand may go unevaluated where the meaning of ``op`` is evaluated."""
    assert op.meaning is not None
    tree = ast.parse(op.meaning)
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.IfExp):
            arms = ast.Tuple([node.body, node.orelse], LOAD)
            skipped |= {id(n) for n in ast.walk(arms) if isinstance(n, ast.Name)}
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in OPERANDS]
    return {n.id for n in names} != {n.id for n in names if id(n) not in skipped}


_BUILDER_NAMES: dict[str, Any] = {
    "add": add, "sub": sub, "mult": mult, "floordiv": floordiv, "mod": mod,
    "bitand": bitand, "bitor": bitor, "bitxor": bitxor, "lshift": lshift, "rshift": rshift,
    "negate": negate, "invert": invert, "compare": compare, "choose": choose, "either": either,
    "attribute": attribute, "subscript": subscript, "apply": apply, "assign": assign,
    "const": const, "name": name, "ast": ast,
}  # fmt: skip


def _builder(node: ast.expr) -> str:
    """Source that builds ``node``."""
    match node:
        case ast.Name(id=identifier) if len(identifier) == 1 and identifier in OPERANDS:
            return f"args[{OPERANDS.index(identifier)}]"
        case ast.Name(id=identifier) if identifier in MEANT:
            return f"env[{identifier!r}]"
        case ast.Name(id=identifier):
            return f"name({identifier!r})"
        case ast.Constant(value=value):
            return f"const({value!r})"
        case ast.BinOp(left=left, op=op, right=right):
            return f"{BUILDERS[type(op)].__name__}({_builder(left)}, {_builder(right)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return f"invert({_builder(operand)})"
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"negate({_builder(operand)})"
        case ast.BoolOp(op=ast.Or(), values=[left, right]):
            return f"either({_builder(left)}, {_builder(right)})"
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return f"compare(ast.{type(op).__name__}(), {_builder(left)}, {_builder(right)})"
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return f"choose({_builder(test)}, {_builder(body)}, {_builder(orelse)})"
        case ast.Attribute(value=value, attr=attr):
            return f"attribute({_builder(value)}, {attr!r})"
        case ast.Subscript(value=value, slice=index):
            return f"subscript({_builder(value)}, {_builder(index)})"
        case ast.Call(func=function, args=args, keywords=[]):
            return f"apply({_builder(function)}, [{', '.join(map(_builder, args))}])"
    raise AssertionError(f"a meaning may not use {ast.dump(node)}")
