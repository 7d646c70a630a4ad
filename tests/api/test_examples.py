"""The examples in what the package says of its public names."""

from __future__ import annotations

import doctest
import inspect
from functools import cached_property
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


#: Of classes whose other members are for engines, those that embedders use.
USED = {
    "AnyMemory": "grow",
    # Its class has an example of the others.
    "At": "memory set_local set_global stop checkpoint trap",
    "Global": "value",
    "Instance": (
        "allow call call_async checkpoint fuel func global_ invoke probe snapshot start stop table "
        "tag"
    ),
    "Linker": "define define_instance define_wasi",
    "Memory": "data view size byte_length fill copy read write",
    "MemoryFiles": "contents write_file",
    "Module": "imports exports func_names hash",
    "Run": "allow checkpoint frames go go_async result results resume snapshot",
    "Table": "elements size get set grow fill copy",
    "Wasi": "imports memory on_output save load",
}


def members(public: object) -> dict[str, str]:
    """The docstrings of what a public class has itself, by name."""
    if not isinstance(public, type):
        return {}
    return {
        name: inspect.getdoc(value) or ""
        for name, value in vars(public).items()
        if not name.startswith("_") and (callable(value) or isinstance(value, MEMBERS))
    }


#: Members that cannot be called.
MEMBERS = (property, cached_property, classmethod, staticmethod)
#: Each with its class.
WITH_EXAMPLES = [
    (name, member)
    for name, public in PUBLIC.items()
    for member, text in members(public).items()
    if ">>>" in text
]


@pytest.mark.parametrize(("name", "member"), WITH_EXAMPLES)
def test_the_examples_of_a_member_do_as_they_say(
    name: str, member: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    text = members(PUBLIC[name])[member]
    test = PARSER.get_doctest(text, {"chiwawa": chiwawa}, f"{name}.{member}", None, 0)
    doctest.DocTestRunner().run(test, out=said.append)
    assert not said, "".join(said)


def test_each_member_that_embedders_use_has_an_example() -> None:
    used = {(name, member) for name, members in USED.items() for member in members.split()}
    assert used - set(WITH_EXAMPLES) == set()


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
