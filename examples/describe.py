"""Say what a module needs and has, without an instance."""

import chiwawa

module = chiwawa.load("""(module
  (import "env" "clock" (func (result i64)))
  (memory (export "memory") 1 4)
  (global (export "version") i32 (i32.const 3))
  (func (export "scale") (param f64 f64) (result f64) (f64.mul (local.get 0) (local.get 1))))""")
for needed in module.imports:
    print("needs", needed.module, needed.name, isinstance(needed.type, chiwawa.FuncType))
for given in module.exports:
    print("has", given.name, type(given.type).__name__)
