"""Verdicts compared with other tools', on generated and on damaged modules."""

import random
import subprocess
from pathlib import Path

import pytest

from chiwawa.binary import decode, encode
from chiwawa.validate import validate
from chiwawa_runtime.errors import BadInput, UnsupportedError
from tests.need_helpers import need

SAMPLES = sorted((Path(__file__).parents[3] / "samples").glob("*.wasm"))
#: What is beyond what we read.
LATER = ["compact-imports", "custom-descriptors", "shared-everything-threads"]


@pytest.mark.parametrize("seed", range(12))
def test_a_generated_module_is_valid_and_survives_encoding(seed: int) -> None:
    tool = need("wasm-tools")
    # An older tool knows fewer features, and refuses the flags of the others.
    known = subprocess.run([tool, "smith", "--help"], capture_output=True, check=True).stdout
    switches = [f"--{name}-enabled" for name in LATER if f"--{name}-enabled".encode() in known]
    flags = [word for switch in switches for word in (switch, "false")]
    made = subprocess.run(
        [tool, "smith", "--max-memories", "1", *flags],
        input=random.Random(seed).randbytes(3000),
        capture_output=True,
        check=True,
    ).stdout
    module = decode(made)
    validate(module)
    written = encode(module)
    again = decode(written)
    validate(again)
    assert encode(again) == written


def test_wasmtime_gives_the_same_verdict_on_damaged_modules() -> None:
    need("wasmtime")
    import wasmtime

    config = wasmtime.Config()
    for feature in ("custom_page_sizes", "exceptions", "gc", "threads", "wide_arithmetic"):
        setattr(config, f"wasm_{feature}", True)
    engine = wasmtime.Engine(config)
    chance = random.Random(1)
    small = [data for path in SAMPLES if len(data := path.read_bytes()) < 3000]
    accepted = 0
    for _ in range(2000):
        data = bytearray(chance.choice(small))
        for _ in range(chance.choice((1, 1, 3))):
            data[chance.randrange(8, len(data))] ^= 1 << chance.randrange(8)
        try:
            validate(decode(bytes(data)))
            ours = True
        except UnsupportedError:
            continue
        except BadInput:
            ours = False
        try:
            wasmtime.Module.validate(engine, bytes(data))
            theirs = True
        except wasmtime.WasmtimeError as error:
            if "legacy_exceptions" in str(error):
                # wasmtime does not run what older toolchains emit.
                continue
            theirs = False
        assert ours == theirs, bytes(data).hex()
        accepted += ours
    assert accepted > 100
