"""Sources of modules: told apart by content, always decoded and validated."""

from pathlib import Path

import pytest

from chiwawa.source import load
from chiwawa_runtime.errors import InvalidError, MalformedError

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
        (b"", "unexpected end"),
        (b"\0elf\1\0\0\0", "magic header not detected"),
        (b"(module \xff)", "malformed UTF-8 encoding"),
        (b"\x7fELF", "illegal character"),
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
