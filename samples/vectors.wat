;; Vectors wherever a program can have them: parameters, results, locals, globals, memory, operands
;; that wait for a call, what a block and a select give.
(module $vectors
  (memory 1)
  (global $total (mut v128) (v128.const i32x4 1 2 3 4))
  (global $scale v128 (v128.const f32x4 0.5 -2 0x1p-20 nan:0x200001))

  ;; A step of a hash of four lanes at once.
  (func $step (param $state v128) (param $word v128) (result v128)
    (local $mixed v128)
    (local.set $mixed
      (v128.xor (i32x4.add (local.get $state) (local.get $word)) (v128.const i32x4 97 98 99 100)))
    (i8x16.shuffle 4 5 6 7 8 9 10 11 12 13 14 15 0 1 2 3
      (v128.or (i32x4.shl (local.get $mixed) (i32.const 7)) (i32x4.shr_u (local.get $mixed) (i32.const 25)))
      (local.get $mixed)))

  ;; Hashes `count` vectors that it makes of their numbers. At the call in the loop two vectors wait.
  (func $mix (export "mix") (param $count i32) (result i64)
    (local $at i32) (local $state v128)
    (local.set $state (v128.const i64x2 0x0123456789abcdef 0xfedcba9876543210))
    (loop $again
      (local.set $state
        (i16x8.add_sat_s
          (i8x16.sub (local.get $state) (i8x16.splat (local.get $at)))
          (call $step (local.get $state) (i32x4.splat (local.get $at)))))
      (v128.store (i32.shl (i32.and (local.get $at) (i32.const 63)) (i32.const 4)) (local.get $state))
      (global.set $total (i64x2.add (global.get $total) (local.get $state)))
      (br_if $again (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $count))))
    (i64.xor
      (i64x2.extract_lane 0 (local.get $state))
      (i64x2.extract_lane 1 (global.get $total))))

  ;; A sum of floats by recursion: each frame has a vector in a local and one that waits.
  (func $sum (param $depth i32) (param $value v128) (result v128)
    (local $half v128)
    (local.set $half (f32x4.mul (local.get $value) (v128.const f32x4 0.5 0.25 0.75 1.5)))
    (if (result v128) (local.get $depth)
      (then
        (f32x4.add
          (f32x4.sqrt (f32x4.abs (local.get $half)))
          (call $sum (i32.sub (local.get $depth) (i32.const 1)) (local.get $half))))
      (else
        (select (result v128) (local.get $half) (local.get $value)
          (v128.any_true (local.get $half))))))
  (func $sums (export "sums") (param $depth i32) (result f32)
    (local $given v128)
    (local.set $given
      (call $sum (local.get $depth)
        (f32x4.convert_i32x4_s (v128.const i32x4 3 -7 100000 1))))
    (f32.add
      (f32.add (f32x4.extract_lane 0 (local.get $given)) (f32x4.extract_lane 1 (local.get $given)))
      (f32.add (f32x4.extract_lane 2 (local.get $given)) (f32x4.extract_lane 3 (local.get $given)))))

  ;; What NaN lanes, loads and stores of parts, and lanes do; a block with a vector as parameter.
  (func $parts (export "parts") (param $at i32) (result i64)
    (local $lanes v128)
    (v128.store (i32.const 1027) (global.get $scale))
    (v128.store32_lane 1 (local.get $at) (v128.load8x8_s (i32.const 1027)))
    (local.set $lanes (v128.load16_lane 3 (local.get $at) (v128.load32_splat (i32.const 1030))))
    (block $done (result v128)
      (local.get $lanes)
      (loop (param v128) (result v128)
        (f32x4.pmin
          (i16x8.replace_lane 6 (v128.load64_zero (local.get $at)) (i32.const 51966))))
      (br $done))
    (local.set $lanes)
    (i64.add
      (i64x2.extract_lane 1 (f64x2.promote_low_f32x4 (local.get $lanes)))
      (i64.extend_i32_u (i8x16.bitmask (local.get $lanes))))))
