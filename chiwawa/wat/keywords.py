"""The words that are no instruction of the table, and what to say where a word does not belong.

The suite tells a word that no Wasm has ("unknown operator") from a word in the wrong place
("unexpected token"). A word of a Wasm that is not built yet is neither, but an UnsupportedError
that names it; it leaves UNSUPPORTED when its row enters the table of opcodes.
"""

from __future__ import annotations

from chiwawa.opcodes import TABLE
from chiwawa.wat.tokens import Node, keyword, misplaced, placed, position
from chiwawa_runtime.errors import MalformedError, UnsupportedError
from chiwawa_runtime.state.types import VALTYPE_BY_NAME

_STRUCTURE = """
module binary quote definition instance type func param result local import export table memory
global mut elem data offset item declare start then extern ref null nan:canonical nan:arithmetic
"""

_SIMD = {
    "v128": """const load load8x8_s load8x8_u load16x4_s load16x4_u load32x2_s load32x2_u
        load8_splat load16_splat load32_splat load64_splat load32_zero load64_zero store load8_lane
        load16_lane load32_lane load64_lane store8_lane store16_lane store32_lane store64_lane not
        and andnot or xor bitselect any_true""",
    "i8x16": """shuffle swizzle splat extract_lane_s extract_lane_u replace_lane eq ne lt_s lt_u
        gt_s gt_u le_s le_u ge_s ge_u abs neg popcnt all_true bitmask narrow_i16x8_s narrow_i16x8_u
        shl shr_s shr_u add add_sat_s add_sat_u sub sub_sat_s sub_sat_u min_s min_u max_s max_u
        avgr_u relaxed_swizzle relaxed_laneselect""",
    "i16x8": """splat extract_lane_s extract_lane_u replace_lane eq ne lt_s lt_u gt_s gt_u le_s le_u
        ge_s ge_u extadd_pairwise_i8x16_s extadd_pairwise_i8x16_u abs neg q15mulr_sat_s all_true
        bitmask narrow_i32x4_s narrow_i32x4_u extend_low_i8x16_s extend_high_i8x16_s
        extend_low_i8x16_u extend_high_i8x16_u shl shr_s shr_u add add_sat_s add_sat_u sub sub_sat_s
        sub_sat_u mul min_s min_u max_s max_u avgr_u extmul_low_i8x16_s extmul_high_i8x16_s
        extmul_low_i8x16_u extmul_high_i8x16_u relaxed_laneselect relaxed_q15mulr_s
        relaxed_dot_i8x16_i7x16_s""",
    "i32x4": """splat extract_lane replace_lane eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u
        extadd_pairwise_i16x8_s extadd_pairwise_i16x8_u abs neg all_true bitmask extend_low_i16x8_s
        extend_high_i16x8_s extend_low_i16x8_u extend_high_i16x8_u shl shr_s shr_u add sub mul min_s
        min_u max_s max_u dot_i16x8_s extmul_low_i16x8_s extmul_high_i16x8_s extmul_low_i16x8_u
        extmul_high_i16x8_u trunc_sat_f32x4_s trunc_sat_f32x4_u trunc_sat_f64x2_s_zero
        trunc_sat_f64x2_u_zero relaxed_laneselect relaxed_trunc_f32x4_s relaxed_trunc_f32x4_u
        relaxed_trunc_f64x2_s_zero relaxed_trunc_f64x2_u_zero relaxed_dot_i8x16_i7x16_add_s""",
    "i64x2": """splat extract_lane replace_lane eq ne lt_s gt_s le_s ge_s abs neg all_true bitmask
        extend_low_i32x4_s extend_high_i32x4_s extend_low_i32x4_u extend_high_i32x4_u shl shr_s
        shr_u add sub mul extmul_low_i32x4_s extmul_high_i32x4_s extmul_low_i32x4_u
        extmul_high_i32x4_u relaxed_laneselect""",
    "f32x4": """splat extract_lane replace_lane eq ne lt gt le ge abs neg sqrt ceil floor trunc
        nearest add sub mul div min max pmin pmax convert_i32x4_s convert_i32x4_u demote_f64x2_zero
        relaxed_madd relaxed_nmadd relaxed_min relaxed_max""",
    "f64x2": """splat extract_lane replace_lane eq ne lt gt le ge abs neg sqrt ceil floor trunc
        nearest add sub mul div min max pmin pmax convert_low_i32x4_s convert_low_i32x4_u
        promote_low_f32x4 relaxed_madd relaxed_nmadd relaxed_min relaxed_max""",
}

#: Of the proposal for threads.
_ATOMICS = " ".join(
    f"{valtype}.atomic.{word}"
    for valtype, widths in (("i32", ("", "8", "16")), ("i64", ("", "8", "16", "32")))
    for width in widths
    for unsigned in (("", "_u")[width != ""],)
    for word in (
        f"load{width}{unsigned}",
        f"store{width}",
        *(
            f"rmw{width}.{operation}{unsigned}"
            for operation in ("add", "sub", "and", "or", "xor", "xchg", "cmpxchg")
        ),
    )
)

#: What Wasm 3.0 and later proposals add to 2.0, by proposal.
_LATER = {
    "tail calls": "return_call return_call_indirect return_call_ref",
    "exception handling": "tag try delegate rethrow try_table throw throw_ref catch catch_ref "
    "catch_all catch_all_ref exn noexn exnref nullexnref",
    "typed function references": "call_ref ref.as_non_null br_on_null br_on_non_null nofunc "
    "noextern nullfuncref nullexternref",
    "garbage collection": "rec sub final struct array field i8 i16 any eq i31 none anyref eqref "
    "i31ref structref arrayref nullref ref.eq ref.test ref.cast ref.i31 i31.get_s i31.get_u "
    "struct.new struct.new_default struct.get struct.get_s struct.get_u struct.set array.new "
    "array.new_default array.new_fixed array.new_data array.new_elem array.get array.get_s "
    "array.get_u array.set array.len array.fill array.copy array.init_data array.init_elem "
    "br_on_cast br_on_cast_fail any.convert_extern extern.convert_any",
    "threads": "shared atomic.fence memory.atomic.notify memory.atomic.wait32 memory.atomic.wait64 "
    + _ATOMICS,
    "custom page sizes": "pagesize",
    "wide arithmetic": "i64.add128 i64.sub128 i64.mul_wide_s i64.mul_wide_u",
    "stack switching": "cont cont.new cont.bind resume resume_throw suspend switch",
    "component model": "component",
}

UNSUPPORTED: dict[str, str] = {
    **{f"{shape}.{word}": "SIMD" for shape, words in _SIMD.items() for word in words.split()},
    **{word: feature for feature, words in _LATER.items() for word in words.split()},
    **dict.fromkeys(("v128", *_SIMD), "SIMD"),
}
_KNOWN = frozenset(
    (*_STRUCTURE.split(), *(op.mnemonic for op in TABLE), *(t for t in VALTYPE_BY_NAME))
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
