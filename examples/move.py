"""Stop a program in its middle, and go on with it on another path, as another machine would."""

import chiwawa

module = chiwawa.load("""(module
  (func (export "sum") (param $n i64) (result i64) (local $total i64)
    (loop $next
      (local.set $total (i64.add (local.get $total) (local.get $n)))
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (br_if $next (i64.ne (local.get $n) (i64.const 0))))
    (local.get $total)))""")
run = chiwawa.start(module, "sum", [1000], path="interp", limits=chiwawa.Limits(fuel=400))
assert not run.go()
data = run.checkpoint()
with open("sum.checkpoint", "wb") as file:
    file.write(data)

again = chiwawa.restore(module, data, path="aot")
assert again.go()
print(again.results)
