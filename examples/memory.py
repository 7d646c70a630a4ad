"""Put bytes into a program's memory, let it work on them, and take them out."""

import chiwawa

module = chiwawa.load("""(module
  (memory (export "memory") 1)
  (func (export "upper") (param $at i32) (param $end i32) (local $c i32)
    (loop $next
      (local.set $c (i32.load8_u (local.get $at)))
      (if (i32.and (i32.ge_u (local.get $c) (i32.const 97))
                   (i32.le_u (local.get $c) (i32.const 122)))
        (then (i32.store8 (local.get $at) (i32.sub (local.get $c) (i32.const 32)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))))""")
instance = chiwawa.instantiate(module)
text = b"a quiet word"
data = instance.memory("memory").data
data[0 : len(text)] = text
instance.exports.upper(0, len(text))
print(bytes(data[0 : len(text)]).decode())
