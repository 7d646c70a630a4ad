"""Save an instance between calls, and go on with it as often as one likes."""

import chiwawa

module = chiwawa.load("""(module
  (global $n (mut i32) (i32.const 0))
  (func (export "add") (param i32) (result i32)
    (global.set $n (i32.add (global.get $n) (local.get 0)))
    (global.get $n)))""")
instance = chiwawa.instantiate(module)
instance.exports.add(100)
saved = instance.checkpoint()
for step in (1, 2, 3):
    child = chiwawa.restore_instance(module, saved)
    print(child.exports.add(step))
