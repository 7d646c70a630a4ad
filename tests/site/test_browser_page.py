"""The page that runs chiwawa in a browser: a module is pasted, run, stopped, looked at, saved, and
carried to and from this Python, all of it after the server is gone."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import chiwawa
from tests.cli.cli_helpers import ROOT
from tests.need_helpers import lacking, need

sys.path.insert(0, str(ROOT / "docs"))

import complete_site
import hosts

pytestmark = [pytest.mark.slow, pytest.mark.needs("playwright", "browser")]

#: Milliseconds after which something is taken to hang, on however slow a machine.
HANGS = 300_000

#: ``deep`` goes round without end under three frames, ``sum`` does end.
PASTED = """
(module
  (func $down (param $n i32)
    (if (local.get $n)
      (then (call $down (i32.sub (local.get $n) (i32.const 1))))
      (else (loop $on (br $on)))))
  (func $deep (export "deep") (param $n i32) (call $down (local.get $n)))
  (func (export "sum") (param $n i32) (result i64) (local $total i64)
    (loop $on
      (local.set $total (i64.add (local.get $total) (i64.extend_i32_u (local.get $n))))
      (br_if $on (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $total)))
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``mkdocs build`` makes of the page, and ``complete_site.py`` of that."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs" / "browser", folder / "browser")
    given = os.environ.get("CHIWAWA_HOSTS")
    cache = Path(given) if given else tmp_path_factory.mktemp("hosts")
    try:
        complete_site.complete(folder / "browser", cache)
    except hosts.Missing as missing:
        lacking(str(missing))
    return folder


@pytest.fixture(scope="module")
def page(site: Path) -> Iterator[Any]:
    """The page, once it is loaded, and with its server gone from then on. All tests have the one:
    to load it takes seconds."""
    from playwright.sync_api import sync_playwright

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    here = f"http://127.0.0.1:{server.server_port}/"
    elsewhere: list[str] = []
    errors: list[str] = []

    def asked(request: Any) -> None:
        if not request.url.startswith((here, "data:", "blob:")):
            elsewhere.append(request.url)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=need("browser"), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(HANGS)
        page.on("request", asked)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text))
        try:
            page.goto(f"{here}browser/index.html")
            page.wait_for_selector("#run:enabled")
            page.evaluate("navigator.serviceWorker.ready.then(() => {})")
        finally:
            server.shutdown()
            serving.join()
            server.server_close()
        yield page
        browser.close()
    assert elsewhere == []
    assert errors == []


def paste(page: Any, text: str, arguments: str = "", function: str | None = None) -> None:
    page.fill("#text", text)
    page.fill("#arguments", arguments)
    page.wait_for_selector("#run:enabled")
    if function is not None:
        page.select_option("#function", function)


def press(page: Any, button: str) -> None:
    page.click(f"#{button}:enabled")


def stands(page: Any, how: str) -> str:
    """What the page says of the run, once it says that it ``how``."""
    page.wait_for_function(
        "how => document.querySelector('#state').textContent.startsWith(how)", arg=how
    )
    return str(page.inner_text("#state"))


def safepoint(said: str) -> int:
    return int(said.removesuffix(".").rpartition(" ")[2].replace(",", ""))


def frames(page: Any) -> list[list[str]]:
    return [row.split("\t") for row in page.locator("#frames tr").all_inner_texts()]


def saved(page: Any) -> bytes:
    with page.expect_download() as download:
        press(page, "save")
    return Path(download.value.path()).read_bytes()


def restore(page: Any, data: bytes) -> None:
    page.wait_for_selector("#open:enabled")
    file = {"name": "checkpoint.bin", "mimeType": "application/octet-stream", "buffer": data}
    page.set_input_files("#file", file)
    stands(page, "Restored")


def test_a_pasted_module_runs_stops_shows_where_it_is_and_goes_on(page: Any) -> None:
    paste(page, PASTED, "2", "deep")
    press(page, "run")
    press(page, "stop")
    first = safepoint(stands(page, "Stopped"))
    page.fill("#steps", "1000")
    press(page, "step")
    page.wait_for_selector("#on:enabled")
    assert safepoint(stands(page, "Stopped")) == first + 1000
    looping, *waiting = frames(page)
    assert [looping[0], looping[2], looping[3]] == ["$down", "loop", "$n=I32(0)"]
    assert [row[0] for row in waiting] == ["$down", "$down", "$deep"]
    assert waiting[-1][2:4] == ["call $down", "$n=I32(2)"]
    # The bytes that this Python writes there.
    data = saved(page)
    here = chiwawa.start(chiwawa.load(PASTED), "deep", [2], count=first + 1000)
    assert not here.go()
    assert data == here.checkpoint()
    # It still does not end, on the other path.
    page.select_option("#path", "aot")
    press(page, "on")
    press(page, "stop")
    page.wait_for_selector("#on:enabled")
    assert len(frames(page)) == 4
    page.select_option("#path", "interp")


def test_a_checkpoint_comes_from_elsewhere_and_is_ended_here(page: Any) -> None:
    run = chiwawa.start(chiwawa.load(PASTED), "sum", [1000], count=300)
    assert not run.go()
    paste(page, PASTED)
    restore(page, run.checkpoint())
    assert frames(page)[0][0] == "$sum"
    page.select_option("#path", "aot")
    press(page, "on")
    stands(page, "Ended")
    assert page.inner_text("#output") == "I64(500500)\n"
    page.select_option("#path", "interp")


def test_what_is_wrong_is_said(page: Any) -> None:
    page.fill("#text", '(module (func (export "f") (result i32)))')
    page.wait_for_selector("#complaint:visible")
    complaint = page.inner_text("#complaint")
    assert complaint.startswith("type mismatch: expected i32, but the stack is empty (line 1,")
    assert page.is_disabled("#run")
    paste(page, PASTED, "two", "sum")
    press(page, "run")
    stands(page, "It cannot begin.")
    assert "two" in page.inner_text("#output")
    paste(page, '(module (func $f (export "f") unreachable))')
    press(page, "run")
    stands(page, "Ended.")
    assert page.inner_text("#output").startswith("unreachable\n  at $f")


def test_each_example_ends_as_it_should(page: Any) -> None:
    for example, argument, printed in (
        ("primes", "1000", "I32(168)\n"),
        ("recursion", "10", "I64(55)\n"),
        ("log", "3", "0 1\n1 3\n2 9\n"),
        ("WASI", "", "".join(f"round {n}\n" for n in range(10))),
    ):
        page.select_option("#example", example)
        page.fill("#arguments", argument)
        press(page, "run")
        stands(page, "Ended.")
        assert page.inner_text("#output") == printed


def test_it_can_be_loaded_again_without_a_server(page: Any) -> None:
    page.reload()
    page.wait_for_selector("#run:enabled")
    paste(page, PASTED, "10", "sum")
    press(page, "run")
    stands(page, "Ended.")
    assert page.inner_text("#output") == "I64(55)\n"
