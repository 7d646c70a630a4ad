"""Give a program a function of the host's, which reads a text out of its memory."""

import chiwawa

module = chiwawa.load("""(module
  (import "host" "say" (func $say (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "good morning")
  (func (export "greet") (call $say (i32.const 16) (i32.const 12))))""")


def say(address: int, length: int) -> None:
    print(bytes(instance.memory("memory").data[address : address + length]).decode())


instance = chiwawa.instantiate(module, {"host": {"say": say}})
instance.exports.greet()
