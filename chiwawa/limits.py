"""How large a module may be: the limits that engines share, so that what runs here runs elsewhere,
and a small file cannot take a machine's memory.

The numbers are those of the JavaScript embedding ("Implementation-defined Limits"), which browsers
keep to. Locals, and the values of a type, have theirs where they are counted.
"""

from __future__ import annotations

#: The most items of each kind that a module may define or import in one section.
ITEMS = {
    "types": 1_000_000,
    "imports": 1_000_000,
    "functions": 1_000_000,
    "tables": 100_000,
    "memories": 100,
    "tags": 1_000_000,
    "globals": 1_000_000,
    "exports": 1_000_000,
    "element segments": 10_000_000,
    "data segments": 100_000,
}
#: Elements of one element segment.
ELEMENTS = 10_000_000
#: Parameters of a function type, and results.
ARITY = 1000
#: Fields of a structure type.
FIELDS = 10_000
#: How many supertypes are above each other.
SUPERTYPES = 63
#: Locals of a function; and of all functions whose declarations differ, since a few bytes can
#: declare four thousand million.
LOCALS = 50_000
LOCALS_IN_ALL = 5_000_000
#: Bytes of a function's body.
BODY = 7_654_321
#: Labels of a br_table.
LABELS = 65_520
#: Operands on the stack of one function. A few bytes can push a thousand.
OPERANDS = 1_000_000
#: Locals of one function that have no value yet, over all places where it can be stopped.
UNSET = 5_000_000


def more_than(limit: int, what: str) -> str:
    """What is refused, for a message."""
    return f"more than {limit:,} {what}, the limit that engines share,"
