// node moonbit.js COMPILER SOURCE TARGET EXPORT: compiles one file of MoonBit to WebAssembly with
// garbage collection. The compiler is made for a worker of a browser, which calls it by messages.
const fs = require("fs");
const vm = require("vm");

const [compiler, source, target, exported] = process.argv.slice(2);
let listener = null;
let answered = null;
const worker = {
  console, TextDecoder, TextEncoder, MessageChannel, performance, queueMicrotask, setTimeout,
  addEventListener(kind, heard) { if (kind === "message") listener = heard; },
  removeEventListener() {},
  postMessage(message) { answered(message); },
};
worker.self = worker.globalThis = worker;
vm.createContext(worker);
vm.runInContext(fs.readFileSync(compiler, "utf8"), worker);

function call(name, argument) {
  return new Promise((done, failed) => {
    answered = (message) =>
      message.type === "RAW" ? done(message.value) : failed(new Error(JSON.stringify(message)));
    const argumentList = [{ type: "RAW", value: argument }];
    listener({ origin: "", data: { id: "1", type: "APPLY", path: [name], argumentList } });
  });
}

async function main() {
  const common = {
    target: "wasm-gc",
    pkgSources: ["real/program:real/program:/"],
    noOpt: false,
  };
  const built = await call("buildPackage", {
    ...common,
    mbtFiles: [["program.mbt", fs.readFileSync(source, "utf8")]],
    miFiles: [],
    indirectImportMiFiles: [],
    stdMiFiles: [],
    pkg: "real/program",
    isMain: true,
    errorFormat: "human",
    enableValueTracing: false,
  });
  if (!built.core) throw new Error(built.diagnostics.join(""));
  const linked = await call("linkCore", {
    ...common,
    coreFiles: [built.core],
    main: "real/program",
    exportedFunctions: [exported],
    outputFormat: "wasm",
    testMode: false,
    debug: false,
    sourceMap: false,
    sources: {},
    stopOnMain: false,
  });
  fs.writeFileSync(target, linked.result);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
