// A host of rewritten modules in JavaScript, written from docs/native.md alone: it runs an export of
// one, stops it in the middle, and writes all of its state as JSON.
//
//   node host.mjs FILE_native.wasm EXPORT ARGUMENTS... --stop-after N --state STATE.json
//
// The module may import host.say, which takes two i32. At the N-th of its calls the host asks the
// program to stop, which it does at its next safepoint. Without --stop-after it runs to its end.

import { readFileSync, writeFileSync } from "node:fs";

// Cells of the shadow memory.
const POLL = 0, CEILING = 4, LIMIT = 8, REFERENCES = [24, 28], BACK = 44, DROPPED = 72;
// Where the first record is, in the memory of records.
const FIRST = 16;
const UNWINDING = 1;
const DEEPEST = 131072, NO_LIMIT = 2n ** 55n - 1n;
const KINDS = ["entry", "loop", "host", "call", "trap"];
const TYPES = { 0x7f: "i32", 0x7e: "i64", 0x7d: "f32", 0x7c: "f64", 0x70: "funcref", 0x6f: "externref" };

// Reads unsigned LEB128 and bytes.
class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }
  byte() {
    return this.bytes[this.at++];
  }
  number() {
    let value = 0, scale = 1, byte;
    do {
      byte = this.byte();
      value += (byte & 0x7f) * scale;
      scale *= 128;
    } while (byte & 0x80);
    return value;
  }
  list(read) {
    return Array.from({ length: this.number() }, () => read(this));
  }
}

// The tables that tell what is in a record: of each function that can be suspended, its locals and
// its entries.
function readTables(module) {
  const [section] = WebAssembly.Module.customSections(module, "chiwawa");
  if (section === undefined) throw new Error("this is no rewritten module");
  // A digest and flags come first.
  const bytes = new Uint8Array(section).subarray(36);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (at) => view.getUint32(at, true);
  if (word(0) !== 3) throw new Error(`tables of version ${word(0)}`);
  const count = word(12), parts = 48 + 4 * (count + 1);
  const functions = [];
  for (let i = 0; i < count; i++) {
    const r = new Reader(bytes.subarray(parts + word(48 + 4 * i), parts + word(52 + 4 * i)));
    if (r.bytes.length === 0 || r.number() !== 1) {
      functions.push(null);
      continue;
    }
    const type = () => TYPES[r.byte()];
    const locals = r.list(() => Array(r.number()).fill(type())).flat();
    const entries = r.list(() => ({ kind: KINDS[r.number()], offset: r.number(), types: r.list(type) }));
    functions.push({ locals, entries });
  }
  const hash = Buffer.from(bytes.subarray(16, 48)).toString("hex");
  return { counting: word(4) === 1, segments: word(8), functions, hash };
}

class Host {
  constructor(file, stopAfter) {
    const module = new WebAssembly.Module(readFileSync(file));
    this.tables = readTables(module);
    let said = 0;
    const say = (n, steps) => {
      console.log(`${n >>> 0} takes ${steps} steps`);
      if (++said === stopAfter) this.request(true);
    };
    this.exports = new WebAssembly.Instance(module, { host: { say } }).exports;
    this.shadow.setUint32(CEILING, DEEPEST, true);
    this.shadow.setUint32(BACK, DEEPEST << 8, true);
    this.shadow.setBigUint64(LIMIT, NO_LIMIT, true);
    this.exports["chiwawa:initialise"]();
    this.exports["chiwawa:start"]?.();
  }
  get shadow() {
    return new DataView(this.exports["chiwawa:shadow"].buffer);
  }
  // Each byte is written at once, so another thread could do it.
  request(pending) {
    if (!this.tables.counting) this.shadow.setUint8(CEILING + 3, pending ? 0x80 : 0);
    this.shadow.setUint8(LIMIT + 7, pending ? 0x80 : 0);
    this.shadow.setUint8(POLL, pending ? 1 : 0);
  }
  // What the export returns, or null where it is suspended.
  call(name, args) {
    this.exports["chiwawa:depth"].value = 0;
    const result = this.exports[name](...args);
    const mode = this.exports["chiwawa:mode"].value;
    if (mode === 0) return result;
    if (mode !== UNWINDING) throw new Error(`the program trapped (mode ${mode})`);
    return null;
  }
  // The frames that have been saved, the youngest first, with values by their bits.
  frames() {
    if (REFERENCES.some((at) => this.shadow.getUint32(at, true))) throw new Error("references in frames");
    const records = new DataView(this.exports["chiwawa:records"].buffer), frames = [];
    const end = this.exports["chiwawa:sp"].value;
    for (let at = FIRST; at < end; at += records.getUint32(at, true)) {
      const index = records.getUint32(at + 4, true);
      const { locals, entries } = this.tables.functions[index];
      const { offset, types } = entries[records.getUint32(at + 8, true)];
      const value = (type, slot) => {
        const wide = type === "i64" || type === "f64", place = at + 16 + 8 * slot;
        return [type, wide ? String(records.getBigUint64(place, true)) : String(records.getUint32(place, true))];
      };
      frames.push({
        function: index,
        offset,
        locals: locals.map(value),
        stack: types.map((type, i) => value(type, locals.length + i)),
      });
    }
    return frames;
  }
  all(kind) {
    const found = [];
    for (let i = 0; `chiwawa:${kind}:${i}` in this.exports; i++) found.push(this.exports[`chiwawa:${kind}:${i}`]);
    return found;
  }
  // Everything that a checkpoint holds.
  state() {
    const functions = this.exports["chiwawa:functions"];
    const indices = new Map();
    for (let i = 0; i < functions.length; i++) if (functions.get(i) !== null) indices.set(functions.get(i), i);
    const elements = (table) =>
      Array.from({ length: table.length }, (_, i) => (table.get(i) === null ? null : indices.get(table.get(i))));
    const marks = new Uint8Array(this.exports["chiwawa:shadow"].buffer).slice(DROPPED, DROPPED + this.tables.segments);
    return {
      module: this.tables.hash,
      frames: this.frames(),
      memories: this.all("memory").map((memory) => Buffer.from(memory.buffer).toString("base64")),
      globals: this.all("global").map((each) => String(each.value)),
      tables: this.all("table").map(elements),
      dropped: Array.from(marks),
    };
  }
}

const words = process.argv.slice(2);
const option = (name) => {
  const at = words.indexOf(name);
  return at < 0 ? undefined : words.splice(at, 2)[1];
};
const stopAfter = Number(option("--stop-after") ?? Infinity), out = option("--state") ?? "state.json";
const [file, name, ...args] = words;
const host = new Host(file, stopAfter);
const result = host.call(name, args.map(Number));
if (result === null) {
  writeFileSync(out, JSON.stringify(host.state()));
  console.error(`stopped: ${out} has its state`);
} else {
  console.log(String(result));
}
