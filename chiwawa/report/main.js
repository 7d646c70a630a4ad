// The page's sections, from the run's data.
"use strict";

const RUN = JSON.parse(document.getElementById("run").textContent);

/** The monitors that are tables and nothing more: title, and what it is about. */
const TABLES = {
  icount: ["Instructions", "Instructions executed in each function, without those of its callees."],
  opcodes: ["Opcodes", "How often each opcode was executed."],
  calls: ["Calls", "Who called whom, and how often."],
  branches: ["Branches", "How often each branch was taken."],
  loops: ["Loops", "How often each loop was entered, and how often it was arrived at, branches back included."],
  blocks: ["Blocks", "How often each basic block was entered."],
  globals: ["Globals", "Reads and writes of each global by the module's own code."],
};

function section(id, title, about, ...children) {
  document.querySelector("nav ul").append(make("li", null, make("a", { href: `#${id}` }, title)));
  const head = make("h2", null, title);
  return make("section", { id, "-aria-label": title }, head, about === null ? null : make("p.about", null, about), ...children);
}

function absent(names) {
  const command = `chiwawa run FILE --monitor ${names} --json --monitor-output RUN.json`;
  return make("p.absent", null, "Not measured in this run. To have it here: ", make("code", null, command));
}

function drawFlame() {
  const about = "Callers above what they call; the width is the instructions executed in a function and in all that it called.";
  if (!RUN.tree) return section("flame", "Flame graph", null, absent("profile"));
  const table = folded("The same as a table", () => tableOf("profile", RUN.tables.profile));
  return section("flame", "Flame graph", about, flameGraph(RUN.tree), table);
}

function drawFunctions(content) {
  if (!RUN.listing) return section("functions", "Hot functions", null, absent("hotness"));
  const about = "Instructions executed in each function itself, and how often each of its own was. What never ran is grey.";
  const table = folded("The hottest instructions", () => tableOf("hotness", RUN.tables.hotness));
  return section("functions", "Hot functions", about, content, table);
}

function drawCoverage() {
  const table = RUN.tables.coverage;
  if (!table) return section("coverage", "Coverage", null, absent("coverage"));
  const about = "Of each function's instructions that can be reached, how many were executed at least once.";
  return section("coverage", "Coverage", about, tableOf("coverage", table));
}

function drawMemory() {
  if (!RUN.pages) return section("memory", "Memory", null, absent("memory"));
  const about = "Loads and stores by page of 64 KiB; a bulk instruction counts once for each page that it touches.";
  const table = folded("The same as a table, with grow, fill, copy and init", () => tableOf("memory", RUN.tables.memory));
  return section("memory", "Memory", about, memoryMap(RUN.pages), table);
}

function drawTables() {
  const apart = ["profile", "hotness", "coverage", "memory", ...Object.keys(TABLES)];
  const others = Object.keys(RUN.tables).filter((name) => !apart.includes(name));
  const present = Object.keys(TABLES).filter((name) => RUN.tables[name]);
  const missing = Object.keys(TABLES).filter((name) => !RUN.tables[name]);
  const sections = [...present, ...others].map((name) => {
    const [title, about] = TABLES[name] ?? [name, null];
    return section(`monitor-${name}`, title, about, tableOf(name, RUN.tables[name]));
  });
  if (missing.length) sections.push(section("more", "More monitors", null, absent(missing.join(","))));
  return sections;
}

function drawPage() {
  document.querySelector("nav").append(make("ul"));
  // Before all others, which link to listings; it is shown second.
  const hot = RUN.listing ? hotFunctions(RUN.listing, RUN.unlisted) : null;
  document.querySelector("main").append(drawFlame(), drawFunctions(hot), drawCoverage(), drawMemory(), ...drawTables());
  document.documentElement.dataset.drawn = "yes";
}

drawPage();
