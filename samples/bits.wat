;; 64-bit integers: xorshift, rotations, counts of bits, a 128-bit product's upper half.
(module $bits
  ;; The upper 64 bits of the unsigned 128-bit product, from four products of 32-bit halves.
  (func $mul_high (export "mul_high") (param $a i64) (param $b i64) (result i64)
    (local $a_low i64) (local $a_high i64) (local $b_low i64) (local $b_high i64)
    (local $middle i64) (local $middle2 i64)
    (local.set $a_low (i64.and (local.get $a) (i64.const 0xFFFFFFFF)))
    (local.set $a_high (i64.shr_u (local.get $a) (i64.const 32)))
    (local.set $b_low (i64.and (local.get $b) (i64.const 0xFFFFFFFF)))
    (local.set $b_high (i64.shr_u (local.get $b) (i64.const 32)))
    (local.set $middle
      (i64.add
        (i64.mul (local.get $a_high) (local.get $b_low))
        (i64.shr_u (i64.mul (local.get $a_low) (local.get $b_low)) (i64.const 32))))
    (local.set $middle2
      (i64.add
        (i64.mul (local.get $a_low) (local.get $b_high))
        (i64.and (local.get $middle) (i64.const 0xFFFFFFFF))))
    (i64.add
      (i64.add
        (i64.mul (local.get $a_high) (local.get $b_high))
        (i64.shr_u (local.get $middle) (i64.const 32)))
      (i64.shr_u (local.get $middle2) (i64.const 32))))

  (func $mix (export "mix") (param $rounds i32) (result i64)
    (local $state i64) (local $sum i64)
    (local.set $state (i64.const 0x9E3779B97F4A7C15))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $rounds)))
        ;; Marsaglia's xorshift with the shifts 13, 7 and 17.
        (local.set $state
          (i64.xor (local.get $state) (i64.shl (local.get $state) (i64.const 13))))
        (local.set $state
          (i64.xor (local.get $state) (i64.shr_u (local.get $state) (i64.const 7))))
        (local.set $state
          (i64.xor (local.get $state) (i64.shl (local.get $state) (i64.const 17))))
        (local.set $sum
          (i64.add
            (i64.rotl (local.get $sum) (i64.popcnt (local.get $state)))
            (call $mul_high (local.get $state) (local.get $sum))))
        (local.set $sum
          (i64.xor
            (local.get $sum)
            (i64.shr_s
              (local.get $state)
              (i64.add (i64.clz (local.get $sum)) (i64.ctz (local.get $state))))))
        (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
        (br $next)))
    (local.get $sum)))
