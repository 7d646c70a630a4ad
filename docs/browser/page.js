// The page: what is typed and pressed goes to the worker, which runs the module; what it says is shown.

import { EXAMPLES } from "./examples.js";

const $ = (id) => document.getElementById(id);
const worker = new Worker("worker.js", { type: "module" });
// What the program has printed is cut at its start beyond this.
const MOST_PRINTED = 200_000;
let ready = false;
let valid = false;
let going = false;
let stopped = false;
let asked = 0;
let typing = 0;

const ask = (what, given = {}) => worker.postMessage({ what, ...given });

function show() {
  $("run").disabled = !ready || !valid || going;
  $("stop").disabled = !going;
  for (const id of ["on", "step", "save"]) $(id).disabled = going || !stopped;
  $("open").disabled = !ready || !valid || going;
  $("standing").hidden = going || !stopped;
}

function look() {
  clearTimeout(typing);
  valid = false;
  show();
  if (ready) typing = setTimeout(() => ask("look", { number: ++asked, text: $("text").value }), 250);
}

function print(text, kind = "") {
  const output = $("output");
  const piece = document.createElement("span");
  piece.className = kind;
  piece.textContent = text;
  output.append(piece);
  let length = output.textContent.length;
  while (length > MOST_PRINTED && output.firstChild !== piece) {
    length -= output.firstChild.textContent.length;
    output.firstChild.remove();
  }
  output.scrollTop = output.scrollHeight;
}

function cells(...texts) {
  const row = document.createElement("tr");
  for (const text of texts) row.insertCell().textContent = text;
  return row;
}

function begin(what, given) {
  $("output").replaceChildren();
  leave(what, given);
}

function leave(what, given) {
  going = true;
  $("state").textContent = "Running.";
  ask(what, { path: $("path").value, ...given });
  show();
}

const HEARD = {
  loading: ({ text }) => ($("status").textContent = text),
  failed: ({ text }) => {
    $("status").textContent = text;
    $("status").className = "bad";
  },
  ready: ({ text }) => {
    ready = true;
    $("status").textContent = text;
    look();
  },
  looked: ({ number, functions, complaint }) => {
    if (number !== asked) return;
    valid = !complaint;
    $("complaint").hidden = valid;
    $("complaint").textContent = complaint ?? "";
    if (valid) {
      const chosen = $("function").value;
      $("function").replaceChildren(...functions.map(({ name, type }) => new Option(`${name} ${type}`, name)));
      if (functions.some(({ name }) => name === chosen)) $("function").value = chosen;
    }
    show();
  },
  printed: ({ text }) => print(text),
  stands: ({ state, frames, depth, all, stopped: stands, failure, result }) => {
    going = false;
    stopped = stands;
    $("state").textContent = state;
    if (result) print(`${result}\n`);
    if (failure) print(`${failure}\n`, "bad");
    $("depth").textContent = depth > frames.length ? `the youngest ${frames.length} of ${depth}` : `${depth}`;
    $("frames").replaceChildren(...frames.map((frame) => cells(...frame)));
    $("all").textContent = all;
    show();
  },
  saved: ({ data }) => {
    if (!data.length) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([data], { type: "application/octet-stream" }));
    link.download = "checkpoint.bin";
    link.click();
    URL.revokeObjectURL(link.href);
  },
};

worker.onmessage = ({ data }) => HEARD[data.heard](data);
worker.onerror = (event) => HEARD.failed({ text: `The worker has failed: ${event.message}` });

const call = () => ({ text: $("text").value, name: $("function").value, arguments: $("arguments").value });
$("run").onclick = () => begin("begin", call());
$("stop").onclick = () => ask("stop");
$("on").onclick = () => leave("on", { steps: undefined });
$("step").onclick = () => leave("on", { steps: Math.max(1, Math.floor(Number($("steps").value)) || 1) });
$("save").onclick = () => ask("save");
$("open").onclick = () => $("file").click();
$("file").onchange = async () => {
  const [file] = $("file").files;
  $("file").value = "";
  if (file) begin("restore", { text: $("text").value, data: new Uint8Array(await file.arrayBuffer()) });
};
$("text").oninput = look;
$("example").onchange = () => {
  const example = EXAMPLES[$("example").value];
  $("text").value = example.text;
  $("arguments").value = example.arguments;
  look();
};

$("example").replaceChildren(...Object.keys(EXAMPLES).map((name) => new Option(name, name)));
$("example").onchange();
show();
// It can be loaded again without a network.
if ("serviceWorker" in navigator) navigator.serviceWorker.register("offline.js").catch(() => {});
