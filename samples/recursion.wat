;; Recursion: a function that calls itself twice, two that call each other, and one that only
;; goes deep. The frames of all of them are what a checkpoint has to carry.
(module $recursion
  (func $fib (export "fib") (param $n i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
      (then (local.get $n))
      (else
        (i32.add
          (call $fib (i32.sub (local.get $n) (i32.const 1)))
          (call $fib (i32.sub (local.get $n) (i32.const 2)))))))

  ;; The sum of `rounds` times fib(12): linear work for a benchmark.
  (func $fibs (export "fibs") (param $rounds i32) (result i32)
    (local $sum i32)
    (if (local.get $rounds)
      (then
        (loop $again
          (local.set $sum (i32.add (local.get $sum) (call $fib (i32.const 12))))
          (br_if $again
            (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))))
    (local.get $sum))

  (func $is_even (export "is_even") (param $n i32) (result i32)
    (if (result i32) (i32.eqz (local.get $n))
      (then (i32.const 1))
      (else (call $is_odd (i32.sub (local.get $n) (i32.const 1))))))

  (func $is_odd (export "is_odd") (param $n i32) (result i32)
    (if (result i32) (i32.eqz (local.get $n))
      (then (i32.const 0))
      (else (call $is_even (i32.sub (local.get $n) (i32.const 1))))))

  ;; Asks of each round's number, from 0 to 63 and from 0 again, whether it is even; counts yes.
  (func $evens (export "evens") (param $rounds i32) (result i32)
    (local $count i32)
    (if (local.get $rounds)
      (then
        (loop $again
          (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
          (local.set $count
            (i32.add
              (local.get $count)
              (call $is_even (i32.and (local.get $rounds) (i32.const 63)))))
          (br_if $again (local.get $rounds)))))
    (local.get $count))

  ;; 1 + 1 + … `n` frames deep; its sum is ready only when all of them return.
  (func $depth (export "depth") (param $n i32) (result i32)
    (if (result i32) (i32.eqz (local.get $n))
      (then (i32.const 0))
      (else
        (i32.add (call $depth (i32.sub (local.get $n) (i32.const 1))) (i32.const 1))))))
