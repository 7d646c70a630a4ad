// The hot functions: a line for each, which opens to the function's listing with its counts.
"use strict";

const FIRST_FUNCTIONS = 20;
const MORE_FUNCTIONS = 200;
/** Lines of a listing that are made at a time. */
const LINES = 1000;
const DEEPEST_INDENT = 40;
const CONTROL = /^(block|loop|if|else|end|br|br_if|br_table|return|call|call_indirect|unreachable)$/;

/** Functions by index that have a listing, each with what opens it. */
const LISTED = new Map();

/** A function's name that leads to its listing, where there is one. */
function functionLink(index, text) {
  if (!LISTED.has(index)) return document.createTextNode(text);
  const button = make("button.link", { type: "button" }, text);
  button.addEventListener("click", () => LISTED.get(index)());
  return button;
}

function listingOf(lines) {
  const most = lines.reduce((most, line) => Math.max(most, line[3] ?? 0), 1);
  const hottest = lines.findIndex((line) => line[3] === most);
  const sourced = lines.some((line) => line[4] !== null);
  const body = make("tbody");
  const more = make("div.more");
  let shown = 0;

  function fill(upTo) {
    const next = lines.slice(shown, upTo);
    body.append(...next.map((line, at) => lineOf(line, lines[shown + at - 1], most, sourced)));
    shown += next.length;
    const left = lines.length - shown;
    more.hidden = !left;
    more.replaceChildren();
    if (!left) return;
    const button = make("button", { type: "button" }, `Show ${grouped(Math.min(left, LINES))} more lines`);
    button.addEventListener("click", () => fill(shown + LINES));
    more.append(button, make("span", null, `of ${grouped(left)}`));
  }
  fill(LINES);
  const box = make("div.code-box", { tabIndex: 0, "-role": "region", "-aria-label": "Listing" }, make("table.listing", null, body), more);
  if (hottest < 0) return box;
  const jump = make("button.link.mono", { type: "button" }, `${hex(lines[hottest][0], 4)} ${lines[hottest][2]}`);
  jump.addEventListener("click", () => {
    fill(Math.max(shown, hottest + 1));
    const line = body.rows[hottest];
    line.classList.add("hottest");
    box.scrollTop = line.offsetTop - box.clientHeight / 2;
  });
  return make("div", null, make("p.code-head", null, "Hottest: ", jump, ` — ${plural(most, "time", "times")}`), box);
}

function lineOf([offset, depth, text, count, source], before, most, sourced) {
  const bar = make("td.bar");
  if (count) {
    const heat = make("i");
    heat.style.width = `${Math.max((count / most) * 100, 2)}%`;
    heat.style.opacity = 0.3 + (0.7 * Math.log1p(count)) / Math.log1p(most);
    bar.append(heat);
  }
  const space = text.indexOf(" ");
  const word = space < 0 ? text : text.slice(0, space);
  const code = make("span", null, make("b", null, word), text.slice(word.length));
  code.style.setProperty("--depth", Math.min(depth, DEEPEST_INDENT));
  const kinds = (CONTROL.test(word) ? ".control" : "") + (count === 0 ? ".never" : "");
  return make(
    `tr${kinds}`,
    null,
    make("td.offset", null, hex(offset, 4)),
    make("td.count", null, count === null ? "" : grouped(count)),
    bar,
    make("td.wat", null, code),
    // Lines of source are said where they change.
    sourced ? make("td.source", null, source !== null && source !== before?.[4] ? source : "") : null,
  );
}

function hotFunctions(listing, unlisted) {
  const total = listing.reduce((sum, [, count]) => sum + count, 0);
  const most = listing.length ? listing[0][1] : 1;
  const list = make("div.functions");
  const more = make("div.more");
  const rows = listing.map(() => null);
  let shown = 0;

  function entry(at) {
    if (rows[at]) return rows[at];
    const [index, count, lines] = listing[at];
    const summary = make(
      "summary",
      null,
      make("span.name", null, RUN.functions[index]),
      track(count / (most || 1)),
      make("span.number", null, grouped(count)),
      make("span.number.soft", null, percent(count, total)),
    );
    const details = make("details", { "-data-function": index }, summary);
    const build = () => details.append(lines ? listingOf(lines) : make("p.note", null, "This listing was left out to keep the page small."));
    details.addEventListener("toggle", build, { once: true });
    rows[at] = details;
    return details;
  }

  function fill(upTo) {
    while (shown < Math.min(upTo, listing.length)) list.append(entry(shown++));
    const left = listing.length - shown;
    more.hidden = !left;
    more.replaceChildren();
    if (!left) return;
    const next = Math.min(left, MORE_FUNCTIONS);
    const button = make("button", { type: "button" }, `Show ${grouped(next)} more`);
    button.addEventListener("click", () => fill(shown + next));
    more.append(button, make("span", null, `${plural(left, "function", "functions")} of ${grouped(listing.length)} not shown`));
  }

  listing.forEach(([index], at) => {
    LISTED.set(index, () => {
      fill(at + 1);
      const details = entry(at);
      details.open = true;
      details.scrollIntoView({ block: "start" });
      details.querySelector("summary").focus({ preventScroll: true });
    });
  });
  fill(FIRST_FUNCTIONS);
  if (listing.length) entry(0).open = true;
  else return make("p.note", null, "No instruction was executed.");
  const left = unlisted ? make("p.note", null, `The listings of the coldest ${plural(unlisted, "function", "functions")} were left out to keep the page small.`) : null;
  return make("div", null, list, more, left);
}
