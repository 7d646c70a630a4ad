// The worker: Pyodide, and in it the program in program.py, which has the module that runs.
//
// What the page asks for comes as a message while a module runs, too: it gives way to the event loop
// every few milliseconds.

let program;
const tell = (heard, given = {}) => postMessage({ heard, ...given });
const plain = (value) => {
  const made = value.toJs({ dict_converter: Object.fromEntries });
  value.destroy();
  return made;
};

async function load() {
  tell("loading", { text: "Loading Python…" });
  let loadPyodide;
  try {
    ({ loadPyodide } = await import("./pyodide/pyodide.mjs"));
  } catch {
    throw new Error("Pyodide is not beside this page. What puts it there: python docs/complete_site.py SITE");
  }
  const [pyodide, packages, code] = await Promise.all([
    loadPyodide(),
    fetched("packages.zip").then((response) => response.arrayBuffer()),
    fetched("program.py").then((response) => response.text()),
  ]);
  tell("loading", { text: "Loading chiwawa…" });
  pyodide.unpackArchive(packages, "zip");
  pyodide.FS.writeFile("/home/pyodide/program.py", code);
  const module = pyodide.pyimport("program");
  program = module.Program((text) => tell("printed", { text }));
  tell("ready", { text: module.versions() });
}

async function fetched(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name} is not beside this page`);
  return response;
}

// What is wrong with it, or where the run stands once it has gone on. What comes before it goes on is done
// at once, so that whoever wants to stop it then stops this run.
const stands = async (wrong) => tell("stands", plain(wrong ?? (await program.go())));

const ASKED = {
  look: ({ number, text }) => tell("looked", { number, ...plain(program.look(text)) }),
  begin: (asked) => stands(program.begin(asked.text, asked.name, asked.arguments, asked.path)),
  on: ({ path, steps }) => stands(program.allow(path, steps)),
  restore: ({ text, data, path }) => tell("stands", plain(program.restore(text, data, path))),
  stop: () => program.stop(),
  save: () => tell("saved", { data: plain(program.save()) }),
};

onmessage = async ({ data }) => {
  try {
    await ASKED[data.what](data);
  } catch (error) {
    tell("failed", { text: error.message });
  }
};
load().catch((error) => tell("failed", { text: error.message }));
