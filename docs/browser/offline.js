// Keeps what the page is made of, so that it can be loaded again without a network. Where there is one,
// what it gives comes first.

const NAME = "chiwawa";
const FILES = [
  ...["index.html", "page.css", "page.js", "examples.js", "worker.js", "program.py", "packages.zip"],
  ...["pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"].map(
    (name) => `pyodide/${name}`,
  ),
];

oninstall = (event) => event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(FILES)));
onactivate = (event) => event.waitUntil(clients.claim());
onfetch = (event) => event.respondWith(answer(event.request));

async function answer(request) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await caches.match(request, { ignoreSearch: true });
    if (kept === undefined) throw error;
    return kept;
  }
}
