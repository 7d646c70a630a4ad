"""What PyPI is told about the package."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_LINK = re.compile(r"\]\(([^)]+)\)")


@pytest.fixture
def description(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str | None], str]:
    # The build brings hatchling; what is tested here does without it.
    interface = ModuleType("hatchling.metadata.plugin.interface")
    interface.MetadataHookInterface = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hatchling.metadata.plugin.interface", interface)
    for name in ("hatchling", "hatchling.metadata", "hatchling.metadata.plugin"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.description  # type: ignore[no-any-return]


def test_the_links_of_the_readme_lead_to_files() -> None:
    links = [link for link in _LINK.findall(README) if not link.startswith(("http", "#"))]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_no_link_of_the_description_is_relative(
    description: Callable[[str, str | None], str],
) -> None:
    alone = description(README, None)
    assert all(link.startswith(("https://", "#")) for link in _LINK.findall(alone))
    assert "docs/wasi.md" in alone
    led = description(README, "https://example.org/us/")
    assert "(https://example.org/us/blob/main/docs/wasi.md)" in led
    assert all(link.startswith(("https://", "#")) for link in _LINK.findall(led))
    assert (
        description("[a](b.md) [c](#d) [e](https://f)", None) == "a (b.md) [c](#d) [e](https://f)"
    )


def test_every_python_that_is_supported_is_named() -> None:
    named = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c}
    assert named == {f"3.{minor}" for minor in range(11, 16)}
    assert PROJECT["requires-python"] == ">=3.11"
    assert "completion" in PROJECT["optional-dependencies"]
