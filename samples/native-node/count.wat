;; Looks for numbers whose sequence (halve it, or three times it and one) is longer than that of all
;; numbers before, and says each, until it has passed the number that it was given.
(module $count
  (import "host" "say" (func $say (param i32 i32)))
  (memory (export "memory") 1)
  (global $longest (export "longest") (mut i32) (i32.const 0))
  (table 2 funcref)
  (elem (i32.const 0) $half $more)
  (type $step (func (param i64) (result i64)))
  (func $half (type $step) (i64.shr_u (local.get 0) (i64.const 1)))
  (func $more (type $step) (i64.add (i64.mul (local.get 0) (i64.const 3)) (i64.const 1)))
  (func $length (param $n i64) (result i32) (local $steps i32)
    (block $done
      (loop $next
        (br_if $done (i64.eq (local.get $n) (i64.const 1)))
        (local.set $n
          (call_indirect (type $step)
            (local.get $n)
            (i32.and (i32.wrap_i64 (local.get $n)) (i32.const 1))))
        (local.set $steps (i32.add (local.get $steps) (i32.const 1)))
        (br $next)))
    (local.get $steps))
  (func (export "count") (param $last i32) (result i32) (local $n i32) (local $steps i32)
    (loop $next
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (local.set $steps (call $length (i64.extend_i32_u (local.get $n))))
      (if (i32.gt_u (local.get $steps) (global.get $longest))
        (then
          (global.set $longest (local.get $steps))
          (i32.store (i32.const 16) (local.get $n))
          (call $say (local.get $n) (local.get $steps))))
      (br_if $next (i32.lt_u (local.get $n) (local.get $last))))
    (i32.load (i32.const 16))))
