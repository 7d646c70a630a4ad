"""Run what may never end: a little at a time, and no longer than one likes."""

import chiwawa

module = chiwawa.load('(module (func (export "forever") (loop $on (br $on))))')
run = chiwawa.start(module, "forever", limits=chiwawa.Limits(memory=1 << 20))
for _ in range(3):
    if run.resume(fuel=1000):
        break
    print(run.reasons, [frame.name for frame in run.frames])
