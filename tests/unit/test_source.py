"""Sources of modules: told apart by content, always decoded and validated."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiwawa.api import start
from chiwawa.binary import decode
from chiwawa.module import Summary
from chiwawa.source import load
from chiwawa_runtime.errors import InvalidError, MalformedError, UnsupportedError

ROOT = Path(__file__).resolve().parents[2]
BINARY = b"\0asm\1\0\0\0"
TEXT = '(module (func $f (export "f") (result i32) (i32.const 1)))'


def test_text_bytes_and_files_give_the_same_module(tmp_path: Path) -> None:
    module = load(TEXT)
    assert module.binary.startswith(BINARY)
    assert module.funcs[0].body[1].offset == 3
    assert module.names.funcs == {0: "f"}
    (tmp_path / "m.txt").write_text(TEXT)
    (tmp_path / "m.bin").write_bytes(module.binary)
    for source in (TEXT.encode(), module.binary, tmp_path / "m.txt", str(tmp_path / "m.bin")):
        assert load(source) == module


def test_text_may_begin_with_a_comment_or_be_a_binary_module() -> None:
    assert load(" ;; nothing\n(module)").binary == BINARY
    assert load("(; nothing ;) (module)").binary == BINARY
    assert load('(module binary "\\00asm" "\\01\\00\\00\\00")').binary == BINARY


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "it is empty"),
        (b"\0elf\1\0\0\0", "magic header not detected"),
        (b"(module \xff)", "malformed UTF-8 encoding"),
        (b"\x7fELF\2\1\1\0", "a program of this machine"),
        (b"\x1f\x8b\x08\0", "compressed"),
        (b"PK\3\4", "a zip archive"),
        (b"MZ\x90", "Windows"),
        (b"<!DOCTYPE html>", "HTML"),
        (b"#!/bin/sh\n", "a script"),
        (
            b'"""WebAssembly module \'m\', translated to Python by chiwawa: do not edit.',
            "a generated file",
        ),
        (b"\x7f", r"illegal character U\+007F"),
        ("\ufeff(module)".encode(), r"illegal character U\+FEFF"),
        (b"hello", "unexpected token"),
    ],
)
def test_what_is_no_module_is_malformed(source: bytes, message: str) -> None:
    with pytest.raises(MalformedError, match=message):
        load(source)


def test_what_does_not_validate_is_invalid() -> None:
    with pytest.raises(InvalidError, match="type mismatch"):
        load("(func (result i32))")


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        load(tmp_path / "nowhere.wasm")


@pytest.mark.parametrize(
    "text",
    [
        "\0asm\1\0\0\0",
        "\0(module)",
        "; note\n(module)",
        "\ufeff(module)",
        '"\n"',
        "x" * 5000 + "\n(module)",
        "(module) \ud800",
        '(module (func (export "\ud800")))',
        '(module (@"\ud800"))',
        "hello\nworld",
        "(",
        "(; (;\n",
    ],
    ids=ascii,
)
def test_what_can_only_be_text_is_never_taken_for_a_path(text: str) -> None:
    with pytest.raises(MalformedError):
        load(text)


@pytest.mark.parametrize("path", ["", "x" * 5000, "\ud800", "no/such/file", "; note (module)", "."])
def test_a_path_that_is_none_is_an_os_error(path: str) -> None:
    for source in (path, Path(path)):
        with pytest.raises(OSError):  # noqa: PT011 (which one is the system's to say)
            load(source)
    with pytest.raises(OSError, match="Invalid argument"):
        load(Path("a\0b"))


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(), max_size=40) | st.text('()"; \n\0$a\ufeff@', max_size=20))
def test_any_str_is_a_module_or_one_of_the_errors_that_are_named(text: str) -> None:
    with suppress(MalformedError, InvalidError, UnsupportedError, OSError):
        load(text)


def test_any_buffer_of_bytes_will_do() -> None:
    assert load(bytearray(BINARY)) == load(memoryview(BINARY)) == load(BINARY)


COMPONENT = b"\0asm\x0d\0\1\0"


@pytest.mark.parametrize(
    "source",
    [COMPONENT, COMPONENT + b"\0\2\1a", "(component)", "(component $c (core module))"],
)
def test_a_component_is_named(source: bytes | str) -> None:
    with pytest.raises(UnsupportedError, match=r"component.* is not supported"):
        load(source)


@pytest.mark.parametrize("version", [b"\x0d\0\0\0", b"\0\0\1\0", b"\1\0\1\1", b"\2\0\0\0"])
def test_another_version_is_no_component(version: bytes) -> None:
    with pytest.raises(MalformedError, match="unknown binary version"):
        load(b"\0asm" + version)


@pytest.mark.parametrize("name", ["", "x" * 300])
def test_a_checkpoint_and_a_core_dump_are_named(name: str) -> None:
    module = load(f'(module ${name or "m"} (func $_start (export "_start") (loop)))')
    if not name:
        module = load('(func (export "_start") (loop))')
    run = start(module, "_start")
    run.requests.ask()
    assert not run.go()
    data = run.checkpoint()
    with pytest.raises(MalformedError, match="it is a checkpoint"):
        load(data)
    with pytest.raises(MalformedError, match="it is a checkpoint"):
        load(data[:-64])


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.wasm").write_bytes(b"")
    with pytest.raises(MalformedError, match="it is empty"):
        load(tmp_path / "empty.wasm")


def test_a_body_is_read_again_as_it_was_when_the_module_was() -> None:
    """Only the bytes of functions are kept, and what the call graph needs."""
    for file in sorted((ROOT / "samples").glob("*.wasm")):
        module = load(file)
        data = file.read_bytes()
        bodies: list[object] = []
        decode(data, lambda _, index, body: bodies.append((index, body)))  # noqa: B023
        assert bodies == [(i, func.body) for i, func in enumerate(module.funcs)]
        assert all(func.body == func.body for func in module.funcs)
        for func in module.funcs:
            assert func.summary == Summary.of(func.body)
            assert not isinstance(func.source, list)


def test_what_is_wrong_with_the_module_comes_before_what_is_wrong_in_a_body() -> None:
    """A body is checked before what follows the code has been read."""
    body = "01 04 00 6a 1a 0b"  # i32.add of nothing
    head = "00 61 73 6d 01 00 00 00 01 04 01 60 00 00 03 02 01 00"
    wrong = bytes.fromhex(f"{head} 0a {len(bytes.fromhex(body)):02x} {body}")
    with pytest.raises(InvalidError, match="type mismatch"):
        load(wrong)
    with pytest.raises(MalformedError):
        load(wrong + b"\x0b\x05\x01")
    data = bytes.fromhex("05 03 01 00 01")
    segment = bytes.fromhex("0b 07 01 00 42 00 0b 01 61")  # at an i64
    with pytest.raises(InvalidError, match="type mismatch") as caught:
        load(wrong[:18] + data + wrong[18:] + segment)
    assert caught.value.field is not None
    assert caught.value.field.kind == "data"
