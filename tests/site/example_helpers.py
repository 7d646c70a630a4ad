"""The programs of examples/, by name, and what each prints."""

from __future__ import annotations

from tests.cli.cli_helpers import ROOT

EXAMPLES = ROOT / "examples"
PROGRAMS = {
    "call": "-1\n(3, 2)\n",
    "describe": "needs env clock True\n"
    "has memory MemoryType\nhas version GlobalType\nhas scale FuncType\n",
    "event_loop": "[100, 200, 300, 400, 500]\n",
    "fork": "101\n102\n103\n",
    "host_function": "good morning\n",
    "limits": "['fuel'] ['forever']\n" * 3,
    "memory": "A QUIET WORD\n",
    "move": "[500500]\n",
    "traps": "250\nthe program: integer divide by zero\n"
    "the host: IndexError('list index out of range')\n",
    "wasi": "0 b'buy milk' b''\n",
}
