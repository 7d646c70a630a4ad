"""Takes a module, whose text is on stdin, through both formats, and calls of it through every path,
with a stop and a crossing at every boundary.

``test_recipe`` runs it with a chiwawa that has instructions of its own. The arguments are calls,
``pick:1,2``; what it prints is a JSON list of their results. Of a module that is refused it prints
why.
"""

from __future__ import annotations

import json
import sys

from chiwawa.binary import decode, encode
from chiwawa.instrument import Instruments, Tracer, Tracing
from chiwawa.module import Module
from chiwawa.paths import names
from chiwawa.source import load
from chiwawa.wat import parse_module, print_module
from chiwawa_runtime.errors import InvalidError

from chiwawa import api, paths  # isort: skip

# Another's engine knows no instruction of ours.
del paths.HOMES["native"]

from tests.nodiff.harness_helpers import Call, check  # noqa: E402
from tests.path_helpers import PATHS  # noqa: E402


def bodies(module: Module) -> list[list[tuple[str, object]]]:
    return [[(i.op.name, i.imm) for i in func.body] for func in module.funcs]


class Lines(list[str]):
    """What a trace goes to."""

    def write(self, text: str) -> None:
        self.append(text)

    def flush(self) -> None:
        pass


def traced(module: Module, name: str, args: tuple[int, ...], path: str) -> str:
    lines = Lines()
    instruments = Instruments(module, monitors=["opcodes"], tracer=Tracer(module, Tracing(), lines))
    run = api.start(module, name, args, path=path, instruments=instruments)
    assert run.go()
    instruments.finish()
    return "".join(lines)


def main() -> None:
    text = sys.stdin.read()
    try:
        module = load(text.encode())
    except InvalidError as error:
        print(json.dumps(error.message))
        return
    assert set(PATHS) == set(names())
    binary = encode(module)
    assert bodies(decode(binary)) == bodies(module)
    printed = print_module(module)
    assert bodies(parse_module(printed)) == bodies(module), printed
    results = []
    for each in sys.argv[1:]:
        name, _, numbers = each.partition(":")
        args = tuple(map(int, numbers.split(",")))
        call = Call(module, name, args)
        ending = check(call, stops=99, crossings=99, instruction_stops=99, instruction_crossings=99)
        assert len({traced(module, name, args, path) for path in names()}) == 1
        results.append(ending.detail)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
