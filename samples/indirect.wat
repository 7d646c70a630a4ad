;; Indirect calls: a table of operations, one chosen at each step by a generator of numbers.
(module $indirect
  (type $operation (func (param i32 i32) (result i32)))
  (table funcref (elem $add $sub $mul $xor $rotate $larger $mix $mask))

  (func $add (type $operation) (i32.add (local.get 0) (local.get 1)))
  (func $sub (type $operation) (i32.sub (local.get 0) (local.get 1)))
  (func $mul (type $operation) (i32.mul (local.get 0) (i32.or (local.get 1) (i32.const 1))))
  (func $xor (type $operation) (i32.xor (local.get 0) (local.get 1)))
  (func $rotate (type $operation) (i32.rotl (local.get 0) (local.get 1)))
  (func $larger (type $operation)
    (select
      (local.get 0)
      (local.get 1)
      (i32.gt_s (local.get 0) (local.get 1))))
  ;; This one makes an indirect call of its own: of $add or of $sub.
  (func $mix (type $operation)
    (call_indirect (type $operation)
      (local.get 1)
      (local.get 0)
      (i32.and (local.get 0) (i32.const 1))))
  (func $mask (type $operation)
    (i32.or (local.get 0) (i32.and (local.get 1) (i32.const 0xFFFF))))

  ;; Applies one of the eight, by number: traps where there is none.
  (func $apply (export "apply") (param $number i32) (param $a i32) (param $b i32) (result i32)
    (call_indirect (type $operation)
      (local.get $a)
      (local.get $b)
      (local.get $number)))

  (func $steps (export "steps") (param $count i32) (result i32)
    (local $value i32) (local $seed i32)
    (local.set $seed (i32.const 12345))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $seed
          (i32.add (i32.mul (local.get $seed) (i32.const 1664525)) (i32.const 1013904223)))
        (local.set $value
          (call_indirect (type $operation)
            (local.get $value)
            (local.get $seed)
            (i32.shr_u (local.get $seed) (i32.const 29))))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (local.get $value)))
