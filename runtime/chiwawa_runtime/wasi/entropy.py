"""Random bytes: the host's, or a stream that is the same in every run."""

from __future__ import annotations

import hashlib
import os

_PERIOD = 1 << 64


class Entropy:
    """``position`` is how many bytes of the repeatable stream have been taken, which begins anew
    after 2**64; None where the bytes are the host's."""

    __slots__ = ("position",)

    def __init__(self, position: int | None) -> None:
        self.position = position

    def take(self, n: int) -> bytes:
        if self.position is None:
            return os.urandom(n)
        start = self.position
        self.position = (start + n) % _PERIOD
        # Block i of the stream is the hash of i: any position can be had at once.
        first, last = start // 32, (start + n + 31) // 32
        blocks = b"".join(
            hashlib.sha256(b"chiwawa" + (i % (_PERIOD // 32)).to_bytes(8, "little")).digest()
            for i in range(first, last)
        )
        return blocks[start - first * 32 :][:n]
