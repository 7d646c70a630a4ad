// The heat map of memory: a cell for each page, its upper half reads, its lower half writes.
"use strict";

/** Untouched pages in a row from this many on are one gap. */
const GAP = 16;
const MOST_CELLS = 4096;
const FEW_CELLS = 64;
const PAGE = 65536;

function memoryMap(pages) {
  if (!pages.length) return make("p.note", null, "No page was read or written.");
  const memories = [...new Set(pages.map((page) => page[0]))];
  const busiest = Math.max(1, pages.reduce((most, page) => Math.max(most, page[2], page[3]), 0));
  const warmth = (count) => (count ? 0.25 + (0.75 * Math.log1p(count)) / Math.log1p(busiest) : 0);
  const detail = make("p.detail", null, "Point at a page, or move with the arrow keys.");

  function cell(page, reads, writes) {
    const text = `page ${grouped(page)} (from address ${hex(page * PAGE, 8)}): ${plural(reads, "read", "reads")}, ${plural(writes, "write", "writes")}`;
    const element = make("div.cell", { title: text, tabIndex: -1, "-role": "listitem", "-aria-label": text, "-data-page": page });
    element.style.setProperty("--reads", warmth(reads).toFixed(3));
    element.style.setProperty("--writes", warmth(writes).toFixed(3));
    return element;
  }

  function mapOf(memory) {
    const touched = pages.filter((page) => page[0] === memory).sort((one, two) => one[1] - two[1]);
    const cells = [];
    const parts = [];
    const untouched = (from, to) => {
      if (to - from >= GAP) parts.push(make("span.gap", { title: `pages ${grouped(from)} to ${grouped(to - 1)}` }, `${grouped(to - from)} untouched`));
      else for (let page = from; page < to; page++) parts.push(cells[cells.push(cell(page, 0, 0)) - 1]);
    };
    let next = 0;
    let left = touched.length;
    for (const [, page, reads, writes] of touched) {
      if (cells.length >= MOST_CELLS) break;
      untouched(next, page);
      parts.push(cells[cells.push(cell(page, reads, writes)) - 1]);
      next = page + 1;
      left -= 1;
    }
    cells[0].tabIndex = 0;
    const grid = make(cells.length <= FEW_CELLS ? "div.pages.few" : "div.pages", { "-role": "list", "-aria-label": `Pages of memory ${memory}` }, ...parts);
    const tell = (event) => {
      if (event.target.classList.contains("cell")) detail.textContent = event.target.title;
    };
    grid.addEventListener("pointerover", tell);
    grid.addEventListener("focusin", tell);
    grid.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const to = step && cells[cells.indexOf(event.target) + step];
      if (!to) return;
      event.preventDefault();
      event.target.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
    });
    const note = left ? make("p.note", null, `${plural(left, "page", "pages")} further up are not drawn; the table has them.`) : null;
    return [memories.length > 1 ? make("h3", null, `Memory ${memory}`) : null, grid, note];
  }

  const key = (kind, text) => make("span", null, make(`i.${kind}`), text);
  return make(
    "div",
    null,
    make("div.legend", null, key("read", "upper half: reads"), key("write", "lower half: writes"), key("none", "untouched"), make("span", null, `the stronger, the more (by logarithm; at most ${grouped(busiest)})`)),
    ...memories.flatMap(mapOf),
    detail,
  );
}
