"""Whether this processor computes with f64 as the specification says (4.3.3): rounded once.

The x87 unit of 32-bit x86 rounds to its own 64 bits and then to the 53 of an f64, which gives other
results in some cases, and other checkpoints. Python neither sees it nor can change it.
"""

from __future__ import annotations

from chiwawa_runtime.errors import UnsupportedError

#: The sum lies just above the middle of two neighbours, too near for 64 bits to tell.
_ONE, _LITTLE = 1.0, 2.0**-53 + 2.0**-65
_NEXT = 1.0 + 2.0**-52


def add(a: float, b: float) -> float:
    """In a function, so that it is this processor that adds, and not who compiled this file."""
    return a + b


def require_single_rounding() -> None:
    """Raises UnsupportedError where sums are rounded twice."""
    if add(_ONE, _LITTLE) != _NEXT:
        raise UnsupportedError(
            "this Python computes with the x87 unit of 32-bit x86, which rounds twice: "
            "Wasm's results would be wrong (a Python for 64 bits, or built for SSE2, is right)"
        )
