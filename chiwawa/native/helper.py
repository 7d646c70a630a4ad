"""A process that rewrites some functions for another (see ``shares``), from its standard input to
its standard output: ``python -m chiwawa.native.helper``."""

from __future__ import annotations

import marshal
import sys

from chiwawa.binary import decode
from chiwawa.native.module import rewrite_share
from chiwawa.validated import read_known


def main() -> int:
    binary, known, counting = marshal.load(sys.stdin.buffer)
    start, stop = marshal.load(sys.stdin.buffer)
    module = decode(binary, known=read_known(known))
    del binary, known
    sys.stdout.buffer.write(marshal.dumps(rewrite_share(module, counting, range(start, stop))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
