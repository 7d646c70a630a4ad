"""The examples in what the package says of its public names."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path
from types import UnionType

import pytest

import chiwawa

#: Unions of types have no docstrings.
PUBLIC = {
    name: value
    for name in chiwawa.__all__
    if name != "__version__" and type(value := getattr(chiwawa, name)) is not UnionType
}
PARSER = doctest.DocTestParser()


def is_error(name: str) -> bool:
    return isinstance(PUBLIC[name], type) and issubclass(PUBLIC[name], BaseException)


@pytest.mark.parametrize("name", PUBLIC)
def test_the_examples_of_a_public_name_do_as_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = inspect.getdoc(PUBLIC[name]) or ""
    test = PARSER.get_doctest(text, {"chiwawa": chiwawa}, name, None, 0)
    assert test.examples or is_error(name), "no example"
    said: list[str] = []
    doctest.DocTestRunner().run(test, out=said.append)
    assert not said, "".join(said)
