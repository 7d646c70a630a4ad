;; How many ways are there to put eleven queens on a board of eleven by eleven squares, so that none
;; attacks another? Counted by trying them all, and printed for each place of the first queen.
(module $demo
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovecs i32) (param $count i32) (param $written i32)
      (result i32)))
  (memory (export "memory") 1)
  (global $size i32 (i32.const 11))

  (data (i32.const 64) "first queen in column ")
  (data (i32.const 96) ": ")
  (data (i32.const 112) " solutions\n")
  (data (i32.const 128) "in all: ")

  ;; The solutions in the rows that are left. A bit stands for a column: those that are taken, and
  ;; those that a queen above attacks along each diagonal.
  (func $place (param $taken i32) (param $left i32) (param $right i32) (result i32)
    (local $free i32) (local $queen i32) (local $solutions i32)
    (local.set $free
      (i32.sub (i32.shl (i32.const 1) (global.get $size)) (i32.const 1)))
    (if (i32.eq (local.get $taken) (local.get $free))
      (then (return (i32.const 1))))
    (local.set $free
      (i32.and (local.get $free)
        (i32.xor (i32.const -1)
          (i32.or (local.get $taken) (i32.or (local.get $left) (local.get $right))))))
    (block $done
      (loop $columns
        (br_if $done (i32.eqz (local.get $free)))
        ;; The lowest bit.
        (local.set $queen
          (i32.and (local.get $free) (i32.sub (i32.const 0) (local.get $free))))
        (local.set $free (i32.xor (local.get $free) (local.get $queen)))
        (local.set $solutions
          (i32.add
            (local.get $solutions)
            (call $place
              (i32.or (local.get $taken) (local.get $queen))
              (i32.shl (i32.or (local.get $left) (local.get $queen)) (i32.const 1))
              (i32.shr_u (i32.or (local.get $right) (local.get $queen)) (i32.const 1)))))
        (br $columns)))
    (local.get $solutions))

  (func $print (param $address i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $address))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))

  ;; In decimal, from the last digit to the first.
  (func $print_number (param $number i32)
    (local $at i32)
    (local.set $at (i32.const 32))
    (loop $digits
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at)
        (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
      (local.set $number (i32.div_u (local.get $number) (i32.const 10)))
      (br_if $digits (local.get $number)))
    (call $print (local.get $at) (i32.sub (i32.const 32) (local.get $at))))

  (func $main (export "_start")
    (local $column i32) (local $queen i32) (local $solutions i32) (local $all i32)
    (loop $columns
      (local.set $queen (i32.shl (i32.const 1) (local.get $column)))
      (local.set $solutions
        (call $place
          (local.get $queen)
          (i32.shl (local.get $queen) (i32.const 1))
          (i32.shr_u (local.get $queen) (i32.const 1))))
      (local.set $all (i32.add (local.get $all) (local.get $solutions)))
      (local.set $column (i32.add (local.get $column) (i32.const 1)))
      (call $print (i32.const 64) (i32.const 22))
      (call $print_number (local.get $column))
      (call $print (i32.const 96) (i32.const 2))
      (call $print_number (local.get $solutions))
      (call $print (i32.const 112) (i32.const 11))
      (br_if $columns (i32.lt_u (local.get $column) (global.get $size))))
    (call $print (i32.const 128) (i32.const 8))
    (call $print_number (local.get $all))
    (call $print (i32.const 112) (i32.const 11))))
