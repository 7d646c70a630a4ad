"""Load a module, make an instance, call what it exports."""

import chiwawa

module = chiwawa.load("""(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "divided") (param i32 i32) (result i32 i32)
    (i32.div_s (local.get 0) (local.get 1))
    (i32.rem_s (local.get 0) (local.get 1))))""")
instance = chiwawa.instantiate(module)
print(instance.exports.add(2, -3))
print(instance.exports["divided"](17, 5))
