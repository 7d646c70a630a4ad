"""The report: what it refuses, what the page consists of, and what a browser makes of it."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from chiwawa.api import start
from chiwawa.commands.cli import main
from chiwawa.instrument import Instruments
from chiwawa.instrument.monitors.document import document as document_of
from chiwawa.instrument.monitors.monitors import MONITORS
from chiwawa.report import page, read
from chiwawa.source import load
from tests.instrument.browser_helpers import FLAGS, Document, show
from tests.need_helpers import need
from tests.path_helpers import WATCHED

SAMPLES = Path(__file__).resolve().parents[2] / "samples"

#: As in the script: narrower frames are not drawn.
NARROWEST = 0.001

HOSTILE = '</script><img src=x onerror="document.title=1">\u202e&amp;\x1b[31m'


def table(*columns: str, rows: list[list[Any]], note: str | None = None) -> dict[str, Any]:
    return {"columns": list(columns), "rows": rows, "note": note}


#: main calls fib 3 times and tick 2 times; fib calls itself. 10_000 instructions in all.
TREE = [
    [-1, -1, 0, 0],
    [0, 1, 1, 1000],
    [1, 0, 2, 0],
    [1, 2, 3, 2000],
    [3, 2, 6, 6991],
    [4, 2, 1, 9],
]

LINES = [
    {"offset": 1, "depth": 1, "text": "loop", "count": 40, "source": "fib.c:3"},
    {"offset": 3, "depth": 2, "text": "local.get 0", "count": 3000, "source": "fib.c:3"},
    {"offset": 5, "depth": 2, "text": "br_if 0", "count": 3000, "source": "fib.c:4"},
    {"offset": 7, "depth": 2, "text": "unreachable", "count": 0, "source": None},
    {"offset": 8, "depth": 1, "text": "end", "count": None, "source": None},
    {"offset": 9, "depth": 0, "text": "end", "count": None, "source": None},
]

RUN: dict[str, Any] = {
    "chiwawa": "run",
    "version": 1,
    "module": {"name": "fibs", "sha256": "ab" * 32},
    "gaps": 0,
    "functions": [
        {"index": 0, "name": "tick", "imported": True},
        {"index": 1, "name": "main", "imported": False},
        {"index": 2, "name": "fib", "imported": False},
        {"index": 3, "name": "idle", "imported": False},
    ],
    "monitors": {
        "profile": table("function", "depth", "name", "calls", rows=[[1, 1, "main", 1]])
        | {"tree": TREE},
        "hotness": table("function", "name", "offset", "count", rows=[[2, "fib", 3, 3000]])
        | {
            "listing": [
                {"function": 2, "count": 9000, "lines": LINES},
                {"function": 1, "count": 1000, "lines": []},
            ]
        },
        "coverage": table(
            *("function", "name", "instructions", "executed", "percent"),
            rows=[[1, "main", 4, 4, 100.0], [2, "fib", 8, 6, 75.0], [None, "total", 12, 10, 83.33]],
        ),
        "memory": table("memory", "what", rows=[[0, "page"]])
        | {
            "pages": [
                {"memory": 0, "page": 1, "reads": 4, "writes": 0},
                {"memory": 0, "page": 500, "reads": 0, "writes": 7},
            ]
        },
        "opcodes": table(
            *("opcode", "count", "share"),
            rows=[[f"op{n}", n * 1000, n / 2] for n in range(40)],
            note="made up",
        ),
    },
}


def run_of(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(RUN) | changes


def page_of(document: dict[str, Any]) -> str:
    return page(read(json.dumps(document).encode()))


def changed(path: str, value: Any) -> bytes:
    """RUN.json with one value changed; ``path`` as in ``monitors.profile.tree.3``."""
    document = run_of()
    *parents, last = (int(key) if key.isdigit() else key for key in path.split("."))
    place: Any = document
    for key in parents:
        place = place[key]
    place[last] = value
    return json.dumps(document).encode()


# What is refused.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON: Expecting value"),
        (b"\xff\xfe\xff", "not JSON: "),
        (b"{" * 10, "not JSON: "),
        (b"[" * 1_000_000, "not JSON: nested too deep"),
        (b'{"chiwawa": NaN}', "not JSON: NaN is no number"),
        (b"9" * 10_000, "not JSON: "),
        (b"[]", 'not what "chiwawa run --json --monitor-output" writes'),
        (b'{"chiwawa": "checkpoint"}', "not what "),
        (changed("version", 2), "version 2 of a run's measurements"),
        (changed("version", "1"), "version is not a whole number"),
        (changed("version", True), "version is not a whole number"),
        (changed("module", []), "module is not an object"),
        (changed("module.name", None), "module.name is not a text"),
        (changed("gaps", -1), "gaps is not a number from 0 up"),
        (changed("functions", {}), "functions is not a list"),
        (changed("functions.1", "main"), "functions[1] is not an object"),
        (changed("functions.1.index", 7), "functions[1].index is not 1"),
        (changed("monitors", None), "monitors is not an object"),
        (changed("monitors.opcodes", 3), "monitors.opcodes is not an object"),
        (changed("monitors.opcodes.columns.1", 3), "monitors.opcodes.columns[1] is not a text"),
        (changed("monitors.opcodes.rows.1", [1]), "monitors.opcodes.rows[1] is not a list of 3"),
        (changed("monitors.opcodes.rows.1.0", [1]), "monitors.opcodes.rows[1] is not a row of"),
        (changed("monitors.opcodes.rows.1.0", True), "monitors.opcodes.rows[1] is not a row of"),
        (changed("monitors.profile.tree", []), "monitors.profile.tree is not a tree with a root"),
        (changed("monitors.profile.tree.0", [-1, 2, 0, 0]), "tree[0] is not the root"),
        (changed("monitors.profile.tree.2", [2, 0, 0, 0]), "tree[2] is not beneath a row before"),
        (changed("monitors.profile.tree.2", [1, 4, 0, 0]), "tree[2][1] is not a function's index"),
        (changed("monitors.profile.tree.2", [1, 0, 0]), "tree[2] is not [parent, function, calls"),
        (changed("monitors.profile.tree.2", [1, 0, 0, -1]), "tree[2] is not a number from 0 up"),
        (changed("monitors.hotness.listing", None), "monitors.hotness.listing is not a list"),
        (changed("monitors.hotness.listing.0.function", 9), "function is not a function's index"),
        (changed("monitors.hotness.listing.0.lines.0.depth", 0.5), "lines[0].depth is not"),
        (changed("monitors.memory.pages.0.reads", "4"), "pages[0].reads is not a number"),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "RUN.json", tmp_path / "report.html"
    run.write_bytes(content)
    out.write_text("before")
    assert main(["report", str(run), "-o", str(out)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert f"error: {run}: " in said.err
    assert message in said.err
    assert out.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["RUN.json", "report.html"]


def test_a_number_beyond_all_is_refused() -> None:
    content = json.dumps(run_of()).replace("83.33", "1e999").encode()
    with pytest.raises(Exception, match="a row of numbers, texts and nulls"):
        read(content)


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# What the page consists of.


def test_a_page_is_written_to_the_file_or_to_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "RUN.json", tmp_path / "report.html"
    run.write_text(json.dumps(run_of()))
    assert main(["report", str(run), "-o", str(out)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out == out.read_text(encoding="utf-8") == page_of(RUN)


def test_the_page_is_one_file_that_names_no_other() -> None:
    text = page_of(RUN)
    assert not re.search(r"https?:|@import|url\(|\bsrc=|//[a-z]+\.", text)
    document = Document(text)
    (link,) = document.of("link")
    assert link.attributes["href"] == "data:,"


def test_the_policy_allows_the_two_scripts_and_the_style_alone() -> None:
    document = Document(page_of(RUN))
    (policy,) = (
        meta.attributes["content"]
        for meta in document.of("meta")
        if meta.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    watch, data, script = document.of("script")
    (style,) = document.of("style")
    assert data.attributes["type"] == "application/json"
    assert policy == (
        f"default-src 'none'; script-src {digest(watch.text)} {digest(script.text)}; "
        f"style-src {digest(style.text)}; img-src data:; base-uri 'none'; form-action 'none'"
    )


def digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def hostile() -> dict[str, Any]:
    """RUN with HOSTILE wherever a text from the module may stand."""
    document = run_of(module={"name": HOSTILE, "sha256": HOSTILE})
    for function in document["functions"]:
        function["name"] = HOSTILE
    monitors = document["monitors"]
    for line in monitors["hotness"]["listing"][0]["lines"]:
        line["text"] = line["source"] = HOSTILE
    monitors["opcodes"]["rows"][0][0] = monitors["opcodes"]["note"] = HOSTILE
    monitors[HOSTILE] = table(HOSTILE, rows=[[HOSTILE], ["\ud800"]])
    return document


def test_names_from_the_module_are_no_markup() -> None:
    text = page_of(hostile())
    text.encode()
    document = Document(text)
    assert len(document.of("script")) == 3
    assert not document.of("img")
    clean = HOSTILE.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b")
    (title,) = document.of("title")
    (heading,) = document.of("h1")
    assert title.text == f"{clean} · chiwawa report"
    assert heading.text == clean
    data = json.loads(document.named("run").text)
    assert data["functions"] == [clean] * 4
    assert data["tables"][clean]["rows"] == [[clean], ["\\ud800"]]


def test_numbers_that_a_script_has_not_exactly_are_texts() -> None:
    run = read(changed("monitors.opcodes.rows.0.1", 2**53))
    assert run.tables["opcodes"].rows[0] == ["op0", str(2**53), 0.0]


def test_the_head_says_what_the_run_comes_to() -> None:
    document = Document(page_of(run_of(gaps=2)))
    tiles = [element.text for element in document.of("dd")]
    assert tiles == ["10,000", "2 of 3", "4", "2 128 KiB", "5"]
    warning, _ = document.of("p", "warning")
    assert warning.text.startswith("2 parts of this run went uncounted")


def test_listings_too_large_for_a_page_are_left_out_coldest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chiwawa.report.writing.LISTED_LINES", len(LINES))
    document = run_of()
    document["monitors"]["hotness"]["listing"][1]["lines"] = LINES[:1]
    data = json.loads(Document(page_of(document)).named("run").text)
    assert [entry[2] is not None for entry in data["listing"]] == [True, False]
    assert data["unlisted"] == 1


# What a browser makes of it.


def frames(shown: Document) -> dict[int, int]:
    """The instructions of each frame drawn, by its row in the tree."""
    return {
        int(element.attributes["data-row"]): int(element.attributes["data-total"])
        for element in shown.of("div", "frame")
    }


def totals(tree: list[list[int]]) -> list[int]:
    """The instructions of each row and all beneath it."""
    found = [row[3] for row in tree]
    for at in range(len(tree) - 1, 0, -1):
        found[tree[at][0]] += found[at]
    return found


def test_the_page_shows_all_that_was_measured(tmp_path: Path) -> None:
    shown = show(page_of(RUN), tmp_path)
    assert shown.whole, shown.console
    document = shown.document
    # 9 of 10,000 instructions are too narrow, tick began none; the others are drawn.
    assert frames(document) == {0: 10_000, 1: 10_000, 3: 9000, 4: 7000}
    assert document.named("flame-cut").text == (
        "Not drawn: 1 context (0.09 % of the instructions here) too narrow to draw. "
        "Zoom in to see them."
    )
    labels = [element.attributes["aria-label"] for element in document.of("div", "frame")]
    assert labels[2] == "fib, 9,000 instructions (90.0 %), 2,000 itself, 3 calls"
    # The hottest function is open, the other is not.
    (listing,) = document.of("table", "listing")
    assert [element.text for element in document.of("td", "wat")] == [
        line["text"] for line in LINES
    ]
    assert "3,000" in listing.text
    assert [e.text for e in document.of("td", "source")] == ["fib.c:3", "", "fib.c:4", "", "", ""]
    (never,) = document.of("tr", "never")
    assert never.text == "0x00070unreachable"
    assert [e.attributes["data-page"] for e in document.of("div", "cell")] == ["0", "1", "500"]
    (gap,) = document.of("span", "gap")
    assert gap.text == "498 untouched"
    coverage = document.named("coverage")
    assert "83.33 %" in coverage.text
    opcodes = document.named("monitor-opcodes")
    assert "Show all" in opcodes.text
    assert "25 rows of 40 not shown" in opcodes.text
    assert "Note: made up." in opcodes.text
    # What was not measured says how it can be.
    more = document.named("more")
    assert "chiwawa run FILE --monitor icount,calls,branches,loops,blocks,globals" in more.text


def test_nothing_that_a_module_names_acts_in_the_browser(tmp_path: Path) -> None:
    shown = show(page_of(hostile()), tmp_path)
    assert shown.whole, shown.console
    assert not shown.document.of("img")
    assert len(shown.document.of("script")) == 3
    (title,) = shown.document.of("title")
    assert "chiwawa report" in title.text


def test_a_run_without_monitors_says_how_to_have_them(tmp_path: Path) -> None:
    shown = show(page_of(run_of(monitors={})), tmp_path)
    assert shown.whole, shown.console
    assert not shown.document.of("div", "frame")
    for name, monitor in (
        *(("flame", "profile"), ("functions", "hotness")),
        *(("coverage", "coverage"), ("memory", "memory")),
    ):
        assert f"--monitor {monitor} --json" in shown.document.named(name).text


def test_deep_recursion_is_folded_until_asked_otherwise(tmp_path: Path) -> None:
    # main, then fib and idle in turn, 100,000 deep.
    tree = [TREE[0], [0, 1, 1, 1], *([n + 1, 2 + n % 2, 1, 10] for n in range(100_000))]
    document = run_of()
    document["monitors"]["profile"]["tree"] = tree
    shown = show(page_of(document), tmp_path)
    assert shown.whole, shown.console
    assert sorted(frames(shown.document).values()) == [500_000, 1_000_000, 1_000_001, 1_000_001]
    (label,) = (e for e in shown.document.of("label") if "Fold recursion" in e.text)
    assert "the deepest chain is 100,001 calls" in label.text


def test_a_large_run_is_drawn_a_part_at_a_time(tmp_path: Path) -> None:
    functions = [{"index": n, "name": f"f{n}", "imported": False} for n in range(3000)]
    tree = [TREE[0], *([0, n, 1, 1 + n % 7] for n in range(3000))]
    tree += [[1 + n % 3000, (n * 7) % 3000, 1, 5] for n in range(12_000)]
    listing = [{"function": n, "count": 9000 - n, "lines": LINES * 9} for n in range(500)]
    document = run_of(functions=functions)
    monitors = document["monitors"]
    monitors["profile"]["tree"] = tree
    monitors["hotness"]["listing"] = listing
    monitors["opcodes"]["rows"] *= 200
    shown = show(page_of(document), tmp_path)
    assert shown.whole, shown.console
    whole = totals(tree)
    drawn = {row: total for row, total in enumerate(whole) if total >= whole[0] * NARROWEST}
    assert frames(shown.document) == drawn
    assert len(shown.document.of("details")) < 40
    assert "of 500 not shown" in shown.document.named("functions").text


@pytest.mark.parametrize(
    ("sample", "function", "size"),
    [("quicksort", "quicksort", 500), ("vm", "execute", 50), ("recursion", "fib", 15)],
)
def test_a_sample_is_drawn_and_the_same_from_both_paths(
    sample: str, function: str, size: int, tmp_path: Path
) -> None:
    module = load(SAMPLES / f"{sample}.wasm")
    documents = []
    for path in WATCHED:
        instruments = Instruments(module, monitors=MONITORS)
        assert start(module, function, [size], path=path, instruments=instruments).go()
        documents.append(document_of(instruments.observed(), list(MONITORS)))
    one, two = map(page_of, documents)
    assert one == two
    shown = show(one, tmp_path)
    assert shown.whole, shown.console
    tree = documents[0]["monitors"]["profile"]["tree"]
    whole = totals(tree)
    assert frames(shown.document) == {
        row: total for row, total in enumerate(whole) if total >= whole[0] * NARROWEST
    }
    total = next(element.text for element in shown.document.of("dd"))
    assert total == f"{whole[0]:,}"
    assert "Not measured" not in "".join(e.text for e in shown.document.of("section"))


def test_a_page_that_cannot_be_drawn_says_so(tmp_path: Path) -> None:
    broken = page_of(RUN).replace('"tree":[[', '"tree":[7,[')
    shown = show(broken, tmp_path)
    assert not shown.whole
    assert "could not be drawn whole" in shown.document.named("errors").text
    assert shown.console


def test_a_click_zooms_in_and_a_key_out(tmp_path: Path) -> None:
    clicked = show(page_of(RUN), tmp_path, "document.querySelector('[data-row=\"4\"]').click();")
    assert clicked.whole, clicked.console
    # Zoomed in, what was too narrow is wide enough.
    assert frames(clicked.document) == {4: 7000, 5: 9}
    pressed = show(
        page_of(RUN),
        tmp_path,
        """const press = (key) => document.activeElement.dispatchEvent(
             new KeyboardEvent("keydown", { key, bubbles: true }));
           document.querySelector('[data-row="4"]').click();
           press("Escape");
           press("ArrowDown");
           press("ArrowDown");
           press("Enter");""",
    )
    assert pressed.whole, pressed.console
    assert frames(pressed.document) == {3: 9000, 4: 7000, 5: 9}


def test_a_search_highlights_and_says_how_much(tmp_path: Path) -> None:
    shown = show(
        page_of(RUN),
        tmp_path,
        """const search = document.getElementById("flame-search");
           search.value = "FIB";
           search.dispatchEvent(new Event("input"));""",
    )
    assert shown.whole, shown.console
    matches = shown.document.of("div", "match")
    assert [element.attributes["data-row"] for element in matches] == ["3", "4"]
    (found,) = shown.document.of("span", "found")
    assert found.text == "3 contexts, 90.0 % of all instructions"


def test_a_person_can_use_it_with_mouse_and_keyboard(tmp_path: Path) -> None:
    need("playwright")
    from playwright import sync_api

    file = tmp_path / "report.html"
    file.write_text(page_of(RUN), encoding="utf-8")
    with sync_api.sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=need("browser"), args=FLAGS[1:])
        tab = program.new_page()
        errors: list[object] = []
        tab.on("pageerror", lambda error: errors.append(error))
        tab.goto(file.as_uri())
        drawn = lambda: tab.eval_on_selector_all(  # noqa: E731
            ".frame", "frames => frames.map((frame) => +frame.dataset.row)"
        )
        assert drawn() == [0, 1, 3, 4]
        tab.click('.frame[data-row="4"]')
        assert drawn() == [4, 5]
        assert (
            tab.inner_text(".crumbs").replace("\n", " ").replace("\u203a", ">")
            == "whole run > main > fib >"
        )
        tab.keyboard.press("Escape")
        assert drawn() == [0, 1, 3, 4]
        tab.keyboard.press("ArrowDown")
        tab.keyboard.press("ArrowDown")
        assert "9,000 instructions" in tab.inner_text(".detail")
        tab.keyboard.press("Enter")
        assert drawn() == [3, 4, 5]
        tab.keyboard.press("/")
        tab.keyboard.type("FIB")
        tab.wait_for_selector(".frame.match")
        assert tab.inner_text(".found") == "3 contexts, 90.0 % of all instructions"
        tab.check("#flame-fold")
        assert drawn() == [0, 1, 3]
        tab.click("#monitor-opcodes th:nth-child(2) button")
        assert tab.inner_text("#monitor-opcodes tbody td") == "op39"
        tab.click("#monitor-opcodes .more button")
        assert tab.locator("#monitor-opcodes tbody tr").count() == 40
        assert errors == []
        assert tab.is_hidden("#errors")
        program.close()
