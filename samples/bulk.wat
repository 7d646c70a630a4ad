;; Memory that grows and moves in bulk, and tables that do the same; segments that are dropped.
;; All of that is state that a checkpoint has to carry.
(module $bulk
  (type $number (func (result i32)))
  (memory (export "memory") 1 64)
  (table $ops (export "ops") 4 64 funcref)
  (table $spare 8 funcref)
  (data $greeting "chiwawa carries its memory along.")
  (data (i32.const 16) "here from the start")
  (elem $numbers func $one $two $three)
  (elem (table $spare) (i32.const 2) func $three $one)

  (func $one (type $number) (i32.const 1))
  (func $two (type $number) (i32.const 2))
  (func $three (type $number) (i32.const 3))

  ;; FNV-1a of `length` bytes from `address`.
  (func $hash (export "hash") (param $address i32) (param $length i32) (result i32)
    (local $sum i32)
    (local.set $sum (i32.const 0x811C9DC5))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $length)))
        (local.set $sum
          (i32.mul
            (i32.xor (local.get $sum) (i32.load8_u (local.get $address)))
            (i32.const 0x01000193)))
        (local.set $address (i32.add (local.get $address) (i32.const 1)))
        (local.set $length (i32.sub (local.get $length) (i32.const 1)))
        (br $next)))
    (local.get $sum))

  ;; Grows the memory by one page `pages` times. Each new page is filled, copied into in halves
  ;; that overlap, and hashed at its seam. The sum mixes in what grow answers, -1 at the limit.
  (func $grow (export "grow") (param $pages i32) (result i32)
    (local $base i32) (local $old i32) (local $sum i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $pages)))
        (local.set $old (memory.grow (i32.const 1)))
        (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (local.get $old)))
        (br_if $done (i32.eq (local.get $old) (i32.const -1)))
        (local.set $base (i32.shl (local.get $old) (i32.const 16)))
        (memory.fill (local.get $base) (local.get $pages) (i32.const 256))
        (memory.copy
          (i32.add (local.get $base) (i32.const 100))
          (i32.const 16)
          (i32.const 19))
        (memory.copy ;; onto itself, upwards
          (i32.add (local.get $base) (i32.const 110))
          (i32.add (local.get $base) (i32.const 100))
          (i32.const 64))
        (memory.copy ;; and downwards, across the seam of two pages
          (i32.sub (local.get $base) (i32.const 20))
          (local.get $base)
          (i32.const 200))
        (local.set $sum
          (i32.xor
            (local.get $sum)
            (call $hash (i32.sub (local.get $base) (i32.const 32)) (i32.const 320))))
        (local.set $pages (i32.sub (local.get $pages) (i32.const 1)))
        (br $next)))
    (i32.add (local.get $sum) (memory.size)))

  ;; Copies the passive segment in, drops it, and copies nothing of it again, which is allowed.
  (func $greet (export "greet") (param $address i32) (result i32)
    (memory.init $greeting (local.get $address) (i32.const 0) (i32.const 33))
    (data.drop $greeting)
    (memory.init $greeting (local.get $address) (i32.const 0) (i32.const 0))
    (call $hash (local.get $address) (i32.const 33)))

  (func $call_at (param $index i32) (result i32)
    (if (result i32) (ref.is_null (table.get $ops (local.get $index)))
      (then (i32.const 7))
      (else (call_indirect $ops (type $number) (local.get $index)))))

  ;; Grows, fills, copies and initialises the table, then folds what its functions answer.
  (func $tables (export "tables") (param $extra i32) (result i32)
    (local $index i32) (local $sum i32)
    (drop (table.grow $ops (ref.func $two) (local.get $extra)))
    (table.init $ops $numbers (i32.const 0) (i32.const 0) (i32.const 3))
    (elem.drop $numbers)
    (table.copy $ops $spare (i32.const 3) (i32.const 2) (i32.const 1))
    (table.copy $ops $ops (i32.const 1) (i32.const 0) (i32.const 3))
    (table.fill $ops (i32.const 2) (ref.null func) (i32.const 1))
    (table.set $ops (i32.const 0) (table.get $spare (i32.const 3)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $index) (table.size $ops)))
        (local.set $sum
          (i32.add
            (i32.mul (local.get $sum) (i32.const 5))
            (call $call_at (local.get $index))))
        (local.set $index (i32.add (local.get $index) (i32.const 1)))
        (br $next)))
    (local.get $sum))

  ;; All three, on a fresh instance.
  (func (export "all") (param $pages i32) (result i32)
    (i32.add
      (i32.add (call $grow (local.get $pages)) (call $greet (i32.const 200)))
      (call $tables (local.get $pages)))))
