"""The words that are no instruction of the table, and what to say where a word does not belong.

The suite tells a word that no Wasm has ("unknown operator") from a word in the wrong place
("unexpected token"). A word of a Wasm that is not built yet is neither, but an UnsupportedError
that names it; it leaves UNSUPPORTED when its row enters the table of opcodes.
"""

from __future__ import annotations

from chiwawa.opcodes import TABLE
from chiwawa.wat.tokens import Node, keyword, misplaced, placed, position
from chiwawa_runtime.errors import MalformedError, UnsupportedError
from chiwawa_runtime.state.types import HEAP_CODES, VALTYPE_BY_NAME

_STRUCTURE = """
module binary quote definition instance type func param result local import export table memory
shared pagesize
global mut elem data offset item declare start then ref null nan:canonical nan:arithmetic rec sub
final struct array field i8 i16 i8x16 i16x8 i32x4 i64x2 f32x4 f64x2
tag do catch_ref catch_all_ref
"""

#: What Wasm 3.0 and later proposals add to 2.0, by proposal.
_LATER = {
    "stack switching": "cont cont.new cont.bind resume resume_throw suspend switch",
    "component model": "component",
}

UNSUPPORTED: dict[str, str] = {
    **{word: feature for feature, words in _LATER.items() for word in words.split()},
}
_KNOWN = frozenset(
    (*_STRUCTURE.split(), *(op.mnemonic for op in TABLE), *VALTYPE_BY_NAME, *HEAP_CODES)
) - set(UNSUPPORTED)


def unsupported(word: str, feature: str, node: Node | None = None) -> UnsupportedError:
    """The error for a construct of a later Wasm, at a node."""
    error = UnsupportedError(f"{word} ({feature}) is not supported")
    return error if node is None else placed(error, position(node))


def unexpected(node: Node) -> MalformedError | UnsupportedError:
    """The error for a node that cannot stand where it does."""
    word = keyword(node) if isinstance(node, list) else node.value
    if isinstance(node, list) and word is None:
        return misplaced("unexpected token", node[1] if node[1] is not node[-1] else node)
    if word in UNSUPPORTED:
        return unsupported(word, UNSUPPORTED[word], node)
    token = node[1] if isinstance(node, list) else node
    if not isinstance(token, list) and token.type == "KEYWORD" and word not in _KNOWN:
        return misplaced(f"unknown operator {word}", token)
    return misplaced("unexpected token", node)
