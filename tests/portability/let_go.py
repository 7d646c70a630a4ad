"""Makes native instances that hold objects of the host's, and lets go of them some at a time."""

from __future__ import annotations

import gc

import chiwawa

MODULE = chiwawa.load("""(module
  (global $held (mut externref) (ref.null extern))
  (table $table 2 externref)
  (func (export "hold") (param externref) (result i32)
    (global.set $held (local.get 0))
    (table.set $table (i32.const 1) (local.get 0))
    (ref.is_null (table.get $table (i32.const 1)))))""")


def main() -> None:
    for count in range(1, 121):
        instance = chiwawa.instantiate(MODULE, path="native")
        assert instance.invoke("hold", [object()]) == [0]
        if not count % 20:
            gc.collect()
    print("all gone")


if __name__ == "__main__":
    main()
