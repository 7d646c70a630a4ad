// The flame graph: callers above what they call, as wide as the instructions begun beneath them.
"use strict";

/** Frames narrower than this share of the graph are not drawn: about a pixel. */
const NARROWEST = 0.001;
/** So many levels are drawn at a time. */
const LEVELS = 120;
/** Trees deeper than this are drawn with recursion folded, until one asks for it unfolded. */
const READABLE = 48;
const LEVEL_HEIGHT = 22;

/**
 * A tree by rows, parents first. `total` are the instructions of a row and all beneath it, `size`
 * how many contexts with instructions it consists of, `children` rows, the heaviest first.
 */
function grown(parents, functions, calls, own) {
  const count = parents.length;
  const total = Float64Array.from(own);
  const size = new Float64Array(count);
  const depth = new Int32Array(count);
  const children = Array.from({ length: count }, () => []);
  let deepest = 0;
  for (let row = 1; row < count; row++) {
    depth[row] = depth[parents[row]] + 1;
    deepest = Math.max(deepest, depth[row]);
  }
  for (let row = count - 1; row > 0; row--) {
    if (!total[row]) continue;
    size[row] += 1;
    total[parents[row]] += total[row];
    size[parents[row]] += size[row];
    children[parents[row]].push(row);
  }
  for (const list of children) list.sort((a, b) => total[b] - total[a] || functions[a] - functions[b]);
  return { parents, functions, calls, own, total, size, depth, deepest, children };
}

function treeOf(rows) {
  const column = (at) => rows.map((row) => row[at]);
  return grown(column(0), column(1), column(2), column(3));
}

/** The tree in which no function stands beneath itself: what it does there counts for its first. */
function foldedTree(tree) {
  const parents = [-1], functions = [-1], calls = [tree.calls[0]], own = [tree.own[0]];
  const places = [0];
  const made = [new Map()];
  for (let row = 1; row < tree.parents.length; row++) {
    const wanted = tree.functions[row];
    const above = places[tree.parents[row]];
    let place = above;
    while (place > 0 && functions[place] !== wanted) place = parents[place];
    if (place <= 0) place = made[above].get(wanted) ?? -1;
    if (place < 0) {
      place = parents.length;
      parents.push(above);
      functions.push(wanted);
      calls.push(0);
      own.push(0);
      made.push(new Map());
      made[above].set(wanted, place);
    }
    places.push(place);
    calls[place] += tree.calls[row];
    own[place] += tree.own[row];
  }
  return grown(parents, functions, calls, own);
}

/** A warm hue, the same for the same name everywhere; the hash is FNV-1a, with its bits mixed. */
function hueOf(name) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return 10 + (((hash ^ (hash >>> 13)) >>> 0) % 40);
}

function flameGraph(rows) {
  const whole = treeOf(rows);
  if (!whole.total[0]) return make("p.note", null, "No instruction was executed.");
  let tree = whole;
  let zoom = 0;
  let wanted = "";
  const elements = new Map();

  const graph = make("div.flame", { "-role": "tree", "-aria-label": "Flame graph" });
  const crumbs = make("div.crumbs", { "-aria-label": "Zoomed into" });
  const detail = make("p.detail.line");
  const cut = make("p.note", { id: "flame-cut" });
  const found = make("span.found", { "-role": "status" });
  const search = make("input", { type: "search", id: "flame-search", placeholder: "Search functions  ( / )", "-aria-label": "Search the flame graph" });
  const fold = make("input", { type: "checkbox", id: "flame-fold" });
  const reset = make("button", { type: "button" }, "Zoom out");

  const nameOf = (row) => (row ? RUN.functions[tree.functions[row]] : "whole run");
  const within = (row) => percent(tree.total[row], tree.total[0]);

  function describe(row) {
    const own = `${grouped(tree.own[row])} itself`;
    const called = row ? `, ${plural(tree.calls[row], "call", "calls")}` : "";
    return `${plural(tree.total[row], "instruction", "instructions")} (${within(row)}), ${own}${called}`;
  }

  function showDetail(row) {
    const link = row && LISTED.has(tree.functions[row]) ? functionLink(tree.functions[row], "Listing") : null;
    detail.replaceChildren(make("span", null, make("b", null, nameOf(row)), ` — ${describe(row)}`), link ?? "");
  }

  function help() {
    detail.replaceChildren(make("span", null, "Point at a frame, or move with the arrow keys. A click or Enter zooms in, Escape zooms out."));
  }

  function frame(row, level, left, share) {
    const name = nameOf(row);
    const element = make(row ? "div.frame" : "div.frame.root", {
      title: `${name} — ${describe(row)}`,
      tabIndex: level ? -1 : 0,
      "-role": "treeitem",
      "-aria-level": level + 1,
      "-aria-label": `${name}, ${describe(row)}`,
      "-data-row": row,
      "-data-total": tree.total[row],
    });
    element.style.left = `${left * 100}%`;
    element.style.width = `${share * 100}%`;
    element.style.top = `${level * LEVEL_HEIGHT}px`;
    element.style.setProperty("--hue", row ? hueOf(name) : 0);
    if (share > 0.012) element.textContent = name;
    else element.classList.add("narrow");
    element.place = { row, level, left };
    elements.set(row, element);
    return element;
  }

  function draw() {
    elements.clear();
    const all = tree.total[zoom];
    const drawn = [];
    const narrow = { contexts: 0, instructions: 0 };
    const deep = { contexts: 0, instructions: 0 };
    let levels = 1;
    const work = [[zoom, 0, 0]];
    while (work.length) {
      const [row, level, left] = work.pop();
      levels = Math.max(levels, level + 1);
      drawn.push(frame(row, level, left, tree.total[row] / all));
      const below = [];
      let at = left;
      for (const child of tree.children[row]) {
        const share = tree.total[child] / all;
        const lost = share < NARROWEST ? narrow : level + 1 >= LEVELS ? deep : null;
        if (lost) {
          lost.contexts += tree.size[child];
          lost.instructions += tree.total[child];
        } else below.push([child, level + 1, at]);
        at += share;
      }
      work.push(...below.reverse());
    }
    graph.style.height = `${levels * LEVEL_HEIGHT}px`;
    graph.replaceChildren(...drawn);
    const cuts = [];
    if (narrow.contexts) cuts.push(`${plural(narrow.contexts, "context", "contexts")} (${percent(narrow.instructions, all)} of the instructions here) too narrow to draw`);
    if (deep.contexts) cuts.push(`${plural(deep.contexts, "context", "contexts")} (${percent(deep.instructions, all)}) more than ${LEVELS} levels down`);
    cut.textContent = cuts.length ? `Not drawn: ${cuts.join("; ")}. Zoom in to see them.` : "";
    cut.hidden = !cuts.length;
    drawCrumbs();
    mark();
    help();
  }

  function drawCrumbs() {
    const path = [];
    for (let row = zoom; row > 0; row = tree.parents[row]) path.push(tree.parents[row]);
    path.reverse();
    const left = path.length > 8 ? path.length - 6 : 0;
    const shown = left ? [...path.slice(0, 3), null, ...path.slice(-3)] : path;
    crumbs.replaceChildren(
      ...shown.flatMap((row) => {
        if (row === null) return [make("span", null, `… ${grouped(left)} more ›`)];
        const button = make("button.link", { type: "button" }, nameOf(row));
        button.addEventListener("click", () => zoomTo(row));
        return [button, make("span", null, "›")];
      }),
    );
    reset.disabled = zoom === 0;
  }

  function zoomTo(row) {
    zoom = row;
    draw();
    elements.get(row).focus({ preventScroll: true });
    showDetail(row);
  }

  /** Highlights what is searched for, and says how much it is, no context counted twice. */
  function mark() {
    graph.classList.toggle("searching", wanted !== "");
    found.textContent = "";
    if (!wanted) return;
    const matches = RUN.functions.map((name) => name.toLowerCase().includes(wanted));
    for (const [row, element] of elements) element.classList.toggle("match", row > 0 && matches[tree.functions[row]]);
    const inside = new Uint8Array(tree.parents.length);
    let contexts = 0;
    let instructions = 0;
    for (let row = 1; row < tree.parents.length; row++) {
      const outer = inside[tree.parents[row]];
      const here = matches[tree.functions[row]] && tree.total[row] > 0;
      inside[row] = outer || here ? 1 : 0;
      if (here) contexts += 1;
      if (here && !outer) instructions += tree.total[row];
    }
    found.textContent = `${plural(contexts, "context", "contexts")}, ${percent(instructions, tree.total[0])} of all instructions`;
  }

  /** The frame that an arrow key leads to from `place`. */
  function neighbour(place, key) {
    if (key === "ArrowUp") return place.row === zoom ? null : elements.get(tree.parents[place.row]);
    if (key === "ArrowDown") return tree.children[place.row].map((row) => elements.get(row)).find(Boolean);
    const level = [...elements.values()].filter((element) => element.place.level === place.level);
    level.sort((one, two) => one.place.left - two.place.left);
    const at = level.findIndex((element) => element.place.row === place.row);
    return level[at + (key === "ArrowRight" ? 1 : -1)];
  }

  const placeOf = (event) => event.target.closest(".frame")?.place;
  graph.addEventListener("click", (event) => {
    const place = placeOf(event);
    if (place) zoomTo(place.row === zoom && zoom ? tree.parents[zoom] : place.row);
  });
  for (const kind of ["pointerover", "focusin"]) {
    graph.addEventListener(kind, (event) => {
      const place = placeOf(event);
      if (place) showDetail(place.row);
    });
  }
  graph.addEventListener("keydown", (event) => {
    const place = placeOf(event);
    if (!place) return;
    if (event.key === "Enter" || event.key === " ") zoomTo(place.row);
    else if (event.key === "Escape") zoomTo(0);
    else if (event.key.startsWith("Arrow")) {
      const next = neighbour(place, event.key);
      if (next) {
        for (const element of elements.values()) element.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
    } else return;
    event.preventDefault();
  });
  reset.addEventListener("click", () => zoomTo(0));
  whenTyped(search, () => {
    wanted = search.value.toLowerCase();
    mark();
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof HTMLInputElement) return;
    event.preventDefault();
    search.focus();
  });
  function refold() {
    tree = fold.checked ? foldedTree(whole) : whole;
    zoom = 0;
    draw();
  }
  fold.checked = whole.deepest > READABLE;
  fold.addEventListener("change", refold);
  refold();

  const deepest = `the deepest chain is ${plural(whole.deepest, "call", "calls")}`;
  return make(
    "div",
    null,
    make("div.toolbar", null, search, make("label", { title: "Draw a function called beneath itself as part of its first frame" }, fold, `Fold recursion (${deepest})`), reset, found),
    crumbs,
    detail,
    graph,
    cut,
  );
}
