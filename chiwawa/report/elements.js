// Elements, numbers and tables. Text becomes nodes of text and never markup.
"use strict";

/** An element: `what` is "tag.class.class"; properties that begin with "-" are attributes. */
function make(what, properties, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name.startsWith("-")) element.setAttribute(name.slice(1), value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const GROUPED = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const grouped = (number) => GROUPED.format(number);
const plural = (number, one, many) => `${grouped(number)} ${number === 1 ? one : many}`;

/** What `part` is of `whole`, for people: never 0 % nor 100 % of what is neither. */
function percent(part, whole) {
  if (!whole || !part) return "0 %";
  const share = (100 * part) / whole;
  if (share < 0.01) return "< 0.01 %";
  if (part < whole && share > 99.99) return "> 99.99 %";
  return `${share.toFixed(share < 10 ? 2 : 1)} %`;
}

const hex = (number, digits) => `0x${number.toString(16).padStart(digits, "0")}`;

function track(share) {
  const bar = make("i");
  bar.style.width = `${Math.min(Math.max(share, 0), 1) * 100}%`;
  return make("div.track", { "-aria-hidden": "true" }, bar);
}

/** Calls `act` when typing has paused. */
function whenTyped(input, act) {
  let timer = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(act, 120);
  });
}

// Tables.

/** Which column names the function that a column has the index of. */
const NAME_OF = { function: "name", caller: "caller name", callee: "callee name" };
/** Columns of numbers that count nothing. */
const INDICES = ["function", "caller", "callee", "global", "memory", "page", "depth"];
const FIRST_ROWS = 15;
const MORE_ROWS = 1000;

/** What kind of cells each column has: share, index, offset, code, number or text. */
function kindsOf(table) {
  return table.columns.map((column, at) => {
    if (column === "share" || column === "percent") return "share";
    if (INDICES.includes(column)) return "index";
    if (column === "offset" || column.endsWith(" offset")) return "offset";
    if (column === "instruction" || column === "opcode") return "code";
    const texts = table.rows.some((row) => typeof row[at] === "string");
    return texts || !table.rows.some((row) => row[at] !== null) ? "text" : "number";
  });
}

function cellOf(table, kind, row, at) {
  const value = row[at];
  const cell = make(`td.${kind}`);
  if (value === null) return cell;
  if (kind === "share" && typeof value === "number") {
    cell.append(make("div.meter", null, track(value / 100), make("span", null, `${value.toFixed(2)} %`)));
  } else if (kind === "offset" && typeof value === "number") {
    cell.append(hex(value, 4));
  } else if (typeof value === "number") {
    cell.append(kind === "index" ? String(value) : grouped(value));
  } else {
    const index = Object.keys(NAME_OF).find((name) => NAME_OF[name] === table.columns[at]);
    const named = index === undefined ? null : row[table.columns.indexOf(index)];
    cell.append(functionLink(named, value));
  }
  return cell;
}

/** A table of a monitor: sorted by a click on a column, filtered by a text, a few rows at first. */
function tableOf(name, table) {
  const kinds = kindsOf(table);
  const body = make("tbody");
  const more = make("div.more");
  let rows = table.rows;
  let shown = FIRST_ROWS;

  function fill() {
    body.replaceChildren(
      ...rows.slice(0, shown).map((row) => {
        const sum = row[0] === null && (row[1] === "all" || row[1] === "total");
        return make(sum ? "tr.sum" : "tr", null, ...row.map((_, at) => cellOf(table, kinds[at], row, at)));
      }),
    );
    const left = rows.length - Math.min(shown, rows.length);
    more.replaceChildren();
    if (left) {
      const next = Math.min(left, MORE_ROWS);
      const button = make("button", { type: "button" }, `Show ${next === left ? "all" : `${grouped(next)} more`}`);
      button.addEventListener("click", () => {
        shown += next;
        fill();
      });
      more.append(button, make("span", null, `${plural(left, "row", "rows")} of ${grouped(rows.length)} not shown`));
    }
    more.hidden = !left;
  }

  const heads = table.columns.map((column, at) => {
    const button = make("button", { type: "button" }, column);
    const head = make(`th.${kinds[at]}`, { scope: "col" }, button);
    button.addEventListener("click", () => {
      const numeric = kinds[at] === "number" || kinds[at] === "share";
      const before = head.getAttribute("aria-sort");
      const down = before === null ? numeric : before === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      rows = [...rows].sort((one, two) => sign * compare(one[at], two[at]));
      fill();
    });
    return head;
  });

  const parts = [];
  if (table.rows.length > FIRST_ROWS) {
    const input = make("input", { type: "search", placeholder: "Filter rows", "-aria-label": `Filter ${name}` });
    const sorted = () => heads.find((head) => head.hasAttribute("aria-sort"));
    whenTyped(input, () => {
      const wanted = input.value.toLowerCase();
      rows = table.rows.filter((row) => row.some((cell) => String(cell).toLowerCase().includes(wanted)));
      shown = FIRST_ROWS;
      sorted()?.removeAttribute("aria-sort");
      fill();
    });
    parts.push(make("div.toolbar", null, input));
  }
  fill();
  const element = make("table.data", { "-data-monitor": name }, make("thead", null, make("tr", null, ...heads)), body);
  parts.push(table.rows.length ? make("div.scroll", null, element) : make("p.note", null, "Nothing was counted."));
  parts.push(more);
  if (table.note !== null) parts.push(make("p.note", null, `Note: ${table.note}.`));
  return make("div", null, ...parts);
}

/** Nulls last when ascending; texts by code units, so the order is the same everywhere. */
function compare(one, two) {
  if (one === two) return 0;
  if (one === null || two === null) return one === null ? 1 : -1;
  if (typeof one !== typeof two) return typeof one === "number" ? -1 : 1;
  return one < two ? -1 : 1;
}

/** Something closed whose content is made when it is first opened. */
function folded(title, build) {
  const details = make("details.plain", null, make("summary", null, title));
  details.addEventListener("toggle", () => details.append(build()), { once: true });
  return details;
}
