// node under_node.mjs PYODIDE.mjs CODE FOLDER PATH ARGS…: Pyodide executes CODE, with FOLDER as /work
// and the folders of PATH to import from. It ends with the status that the Python inside ends with.

import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const [module, code, folder, places, ...args] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(module).href);
const imports = places.split(path.delimiter).map((place, i) => [`/python${i}`, place]);
const pyodide = await loadPyodide({
  env: {
    HOME: "/home/pyodide",
    PYTHONPATH: imports.map(([name]) => name).join(":"),
    PYTHONDONTWRITEBYTECODE: "1",
    PYTHONSAFEPATH: "1",
  },
});
pyodide.mountNodeFS("/work", folder);
for (const [name, place] of imports) pyodide.mountNodeFS(name, place);
pyodide.globals.set("arguments", pyodide.toPy([code, ...args]));
process.exitCode = pyodide.runPython(`
import sys, traceback
# What is mounted was not there when Python looked.
sys.path_importer_cache.clear()
code, *sys.argv[1:] = arguments
sys.argv[0] = "-c"
status = 0
try:
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
except SystemExit as ended:
    status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
except BaseException:
    traceback.print_exc()
    status = 1
sys.stdout.flush()
sys.stderr.flush()
status
`);
