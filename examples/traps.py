"""Tell a trap of the program from an error of the host function that it called."""

import chiwawa

module = chiwawa.load("""(module
  (import "env" "look_up" (func $look_up (param i32) (result i32)))
  (func $inverse (export "inverse") (param i32) (result i32)
    (i32.div_s (i32.const 1000) (call $look_up (local.get 0)))))""")
instance = chiwawa.instantiate(module, {"env": {"look_up": [4, 0].__getitem__}})
for number in range(3):
    try:
        print(instance.exports.inverse(number))
    except chiwawa.Trap as trap:
        print("the program:", trap.message)
    except chiwawa.HostError as error:
        print("the host:", repr(error.__cause__))
